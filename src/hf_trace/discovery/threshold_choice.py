"""A threshold chosen on sequences with known causes, for use on others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from hf_trace.discovery.scoring import scored
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Bound
from hf_trace.errors import SettingsError, preview
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.runs.event_model import EventModel


@dataclass(frozen=True)
class LabelledPairs:
    """Tested pairs of one sequence, with their score and whether they are true.

    Attributes:
        cause: Event type of the cause, by number.
        effect: Event type of the effect.
        lag: Distance in events.
        score: Score of a method; larger means more likely an edge.
        is_true: Whether the pair is known to be cause and effect.
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

        Pairs at lags beyond the columns of the truth are false.
        """
        cause, effect, lag = scores.cause_position, scores.effect_position, scores.lag
        known = np.minimum(lag, truth.shape[1])
        return cls(codes[cause], codes[effect], lag, scores.cmi, truth[cause, known - 1] & (lag == known))

    def f1(self, keep: Bool[np.ndarray, " pair"]) -> float:
        """F1 of the summary graph of the kept pairs; 1 if both it and the true one are empty."""
        other = self.cause != self.effect
        types = int(max(self.cause.max(initial=0), self.effect.max(initial=0))) + 1
        keys = self.cause.astype(np.int64) * types + self.effect
        found, real = np.unique(keys[keep & other]), np.unique(keys[self.is_true & other])
        if not len(found) and not len(real):
            return 1.0
        return 2 * len(np.intersect1d(found, real, assume_unique=True)) / (len(found) + len(real))


def mean_f1(sequences: Sequence[LabelledPairs], threshold: float) -> float:
    """Mean summary F1 over sequences if pairs above ``threshold`` are kept; -infinity keeps all.

    Example:
        >>> pairs = LabelledPairs(*map(np.array, ([0, 0], [1, 2], [1, 2], [0.9, 0.1], [True, False])))
        >>> mean_f1([pairs], 0.5)
        1.0
    """
    return float(np.mean([pairs.f1(pairs.score > threshold) for pairs in sequences]))


def best_threshold(sequences: Sequence[LabelledPairs], *, candidates: int = 60) -> float:
    """The threshold with the highest mean summary F1; evaluate it on other sequences.

    Args:
        sequences: Scored sequences with known causes.
        candidates: Number of quantiles of the scores to try, denser towards the top.
    """
    scores = np.concatenate([pairs.score for pairs in sequences])
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        raise ValueError("No pair has a finite score, expected some to choose a threshold among.")
    shares = 1 - np.concatenate([[0], np.geomspace(1e-4, 1, candidates)])
    tried = np.unique(np.quantile(scores, shares))
    return float(tried[int(np.argmax([mean_f1(sequences, value) for value in tried]))])


def recall_by_lag(sequences: Sequence[LabelledPairs], threshold: float, max_lag: int) -> NDArray[np.float64]:
    """Share of the true pairs of positions at each lag whose score exceeds the threshold; NaN if none is true."""
    lag, score, is_true = (
        np.concatenate([getattr(pairs, name) for pairs in sequences]) for name in ("lag", "score", "is_true")
    )
    found = [(score[is_true & (lag == step)] > threshold) for step in range(1, max_lag + 1)]
    return np.array([hits.mean() if len(hits) else np.nan for hits in found])


def labelled(sequence: EventSequence, scores: PairScores, truth: CausalGraph) -> LabelledPairs:
    """Join the scores of a sequence with known pairs of types: all positions of a true pair of types are true.

    Args:
        sequence: The events.
        scores: Its tested pairs.
        truth: Known edges between types; all other pairs are false.
    """
    known = {(edge["cause"], edge["effect"]) for edge in truth.edges}
    number: dict[str, int] = {}
    codes = np.array([number.setdefault(event, len(number)) for event in sequence.events], dtype=np.int64)
    names = list(number)
    cause, effect = codes[scores.cause_position], codes[scores.effect_position]
    keys, place = np.unique(cause * len(names) + effect, return_inverse=True)
    is_true = [(names[key // len(names)], names[key % len(names)]) in known for key in keys]
    return LabelledPairs(cause, effect, scores.lag, scores.cmi, np.array(is_true, dtype=np.bool_)[place])


def validated(sequences: Sequence[LabelledPairs]) -> Bound:
    """The ``fixed:`` threshold with the highest F1 of pairs of types, averaged over sequences with known causes.

    Args:
        sequences: Scored sequences; evaluate the threshold on others.

    Raises:
        SettingsError: If no tested pair is known to be a cause and its effect.

    Example:
        >>> columns = ([0, 0, 1], [1, 2, 2], [1, 2, 1], [0.9, 0.2, 0.1], [True, False, False])
        >>> 0.2 < validated([LabelledPairs(*map(np.array, columns))]).value < 0.9
        True
    """
    if not any(pairs.is_true[pairs.cause != pairs.effect].any() for pairs in sequences):
        raise SettingsError(
            f"None of the pairs tested in {len(sequences)} sequences is a known cause and its effect, expected at "
            "least one. Give a truth with the names of the log, or more sequences."
        )
    return Bound("fixed", best_threshold(sequences))


def check_names(truth: CausalGraph, event_types: Sequence[str]) -> None:
    """Refuse a truth that shares no event type with the data.

    Raises:
        SettingsError: If it shares none.
    """
    if not set(truth.events).intersection(event_types):
        raise SettingsError(
            f"The truth and the log share no event type: {preview(truth.events)} against {preview(event_types)}. "
            "Expected the same names in both."
        )


SHARE = 0.2


@dataclass(frozen=True)
class ChosenThreshold:
    """A chosen threshold and the sequences to use it on.

    Attributes:
        threshold: The threshold.
        f1: Mean F1 of pairs of types on the sequences that it was chosen on; optimistic for others.
        validation: Number of those sequences.
        rest: All other sequences.
        seed: Seed of the split.
    """

    threshold: Bound
    f1: float
    validation: int
    rest: EventLog
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The choice as it is written with a graph."""
        return {
            "threshold": str(self.threshold),
            "f1": self.f1,
            "sequences": self.validation,
            "share": SHARE,
            "seed": self.seed,
        }


def validation_split(log: EventLog, seed: int) -> tuple[EventLog, EventLog]:
    """A random fifth of the sequences, and all others; both in the order of the log.

    Raises:
        SettingsError: If there is only one sequence.
    """
    if len(log) < 2:
        raise SettingsError(
            "threshold is 'validated', but there is only 1 sequence, expected some to choose on and some to use it on. "
            "Choose on the whole log, then pass the value it reports: `--threshold fixed:VALUE`."
        )
    order = np.random.default_rng(seed).permutation(len(log))
    count = max(1, round(SHARE * len(log)))
    return log.select(np.sort(order[:count])), log.select(np.sort(order[count:]))


def choose_threshold(
    model: EventModel,
    log: EventLog,
    truth: CausalGraph,
    request: DiscoveryRequest,
    *,
    advance: Callable[[float], None] = lambda _: None,
) -> ChosenThreshold:
    """Choose the threshold that agrees best with known causes on a fifth of a log.

    Args:
        model: The scoring model.
        log: Sequences, as passed to discovery.
        truth: Known edges between event types.
        request: How pairs are scored; its ``seed`` also seeds the split.
        advance: Called with the share of the work done, 0 to 1.

    Raises:
        SettingsError: If truth and log share no event type, or no true pair is tested.
    """
    check_names(truth, log.event_types)
    request = request.updated(threshold="fixed:0")
    seed = request.settings.seed
    validation, rest = validation_split(log, seed)
    pairs = []
    for sequence, scores in scored(model, validation, request):
        pairs.append(labelled(sequence, scores, truth))
        advance(len(pairs) / len(validation))
    threshold = validated(pairs)
    return ChosenThreshold(threshold, mean_f1(pairs, threshold.value), len(validation), rest, seed)
