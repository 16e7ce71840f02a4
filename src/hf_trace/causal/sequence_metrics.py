"""How well the scores of single sequences agree with their known causes: TRACE's measure, and recall by lag.

A sequence's summary graph joins event types: u causes v where some pair of positions says so; self-loops do not
count. F1 is taken per sequence and averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from hf_trace.causal.pairs import PairScores


@dataclass(frozen=True)
class LabelledPairs:
    """Tested pairs of one sequence, with their score and whether they are true.

    Attributes:
        cause: Event type of the cause, by number.
        effect: Event type of the effect.
        lag: Distance in events.
        score: What a method says; larger is more surely an edge.
        is_true: What is known.
    """

    cause: Int[np.ndarray, " pair"]
    effect: Int[np.ndarray, " pair"]
    lag: Int[np.ndarray, " pair"]
    score: Float[np.ndarray, " pair"]
    is_true: Bool[np.ndarray, " pair"]

    @classmethod
    def of(
        cls, codes: Int[np.ndarray, " event"], scores: PairScores, truth: Bool[np.ndarray, "event lag"]
    ) -> "LabelledPairs":
        """Join the scores of a sequence with its truth, ``truth[i, k - 1]`` for cause i and effect i + k.

        At longer lags than the truth has columns nothing is true.
        """
        cause, effect, lag = scores.cause_position, scores.effect_position, scores.lag
        known = np.minimum(lag, truth.shape[1])
        return cls(codes[cause], codes[effect], lag, scores.cmi, truth[cause, known - 1] & (lag == known))

    def f1(self, keep: Bool[np.ndarray, " pair"]) -> float:
        """F1 of the summary graph of the kept pairs; 1 where there is nothing to find and nothing found."""
        other = self.cause != self.effect
        types = int(max(self.cause.max(initial=0), self.effect.max(initial=0))) + 1
        keys = self.cause.astype(np.int64) * types + self.effect
        found, real = np.unique(keys[keep & other]), np.unique(keys[self.is_true & other])
        if not len(found) and not len(real):
            return 1.0
        return 2 * len(np.intersect1d(found, real, assume_unique=True)) / (len(found) + len(real))


def mean_f1(sequences: Sequence[LabelledPairs], threshold: float) -> float:
    """Mean summary F1 where pairs above ``threshold`` are kept; -infinity keeps all.

    Example:
        >>> pairs = LabelledPairs(*map(np.array, ([0, 0], [1, 2], [1, 2], [0.9, 0.1], [True, False])))
        >>> mean_f1([pairs], 0.5)
        1.0
    """
    return float(np.mean([pairs.f1(pairs.score > threshold) for pairs in sequences]))


def best_threshold(sequences: Sequence[LabelledPairs], *, candidates: int = 60) -> float:
    """The threshold with the highest mean summary F1; use it on other sequences than these.

    Args:
        sequences: Scored sequences with known causes.
        candidates: Quantiles of the scores that are tried, denser towards the top.
    """
    scores = np.concatenate([pairs.score for pairs in sequences])
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        raise ValueError("No pair has a finite score, expected some to choose a threshold among.")
    shares = 1 - np.concatenate([[0], np.geomspace(1e-4, 1, candidates)])
    tried = np.unique(np.quantile(scores, shares))
    return float(tried[int(np.argmax([mean_f1(sequences, value) for value in tried]))])


def recall_by_lag(sequences: Sequence[LabelledPairs], threshold: float, max_lag: int) -> NDArray[np.float64]:
    """Share of the true pairs of positions at each lag whose score exceeds the threshold; NaN where none is true."""
    lag, score, is_true = (
        np.concatenate([getattr(pairs, name) for pairs in sequences]) for name in ("lag", "score", "is_true")
    )
    found = [(score[is_true & (lag == step)] > threshold) for step in range(1, max_lag + 1)]
    return np.array([hits.mean() if len(hits) else np.nan for hits in found])
