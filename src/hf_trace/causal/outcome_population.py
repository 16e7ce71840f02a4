"""Causes of outcomes over many sequences: how often an event type carries an outcome, and by how much it moves it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from hf_trace.causal.frequencies import wilson_interval
from hf_trace.causal.graphs import direction
from hf_trace.causal.outcomes import OutcomeScores

_RESAMPLES = 1000
# Means of more sequences are normal, and need no resampling.
_MOST_RESAMPLED = 2000


class _InSequence(NamedTuple):
    """What one event type did in one sequence."""

    carries: bool
    cmi: float
    gain: float


class OutcomePool:
    """Adds up scored sequences, outcome by outcome.

    Args:
        outcomes: Names of the outcomes, in the order of the scores.
        bound: An event carries an outcome when its ``cmi`` is above this, in nats.
    """

    def __init__(self, outcomes: Sequence[str], *, bound: float = 0.05) -> None:
        self.outcomes = list(outcomes)
        self.bound = bound
        self.sequences = [0] * len(self.outcomes)
        self._probability = [0.0] * len(self.outcomes)
        self._found: list[dict[str, list[_InSequence]]] = [defaultdict(list) for _ in self.outcomes]

    def add(self, events: Sequence[str], scores: OutcomeScores, outcomes: Sequence[int]) -> None:
        """Add one sequence.

        Args:
            events: Its events.
            scores: What each did.
            outcomes: Which outcomes it is to count for, as a rule those it had.
        """
        places: dict[str, list[int]] = defaultdict(list)
        for row, position in enumerate(scores.position.tolist()):
            places[events[position]].append(row)
        for outcome in outcomes:
            self.sequences[outcome] += 1
            self._probability[outcome] += float(scores.probability[outcome])
            for event, rows in places.items():
                cmi, gain = scores.cmi[rows, outcome], scores.gain[rows, outcome]
                carries = bool((cmi > self.bound).any())
                self._found[outcome][event].append(
                    _InSequence(carries, float(cmi.mean()), float(gain.mean()))
                )

    def causes(
        self, *, min_frequency: float = 0.05, min_support: int = 2, seed: int = 0
    ) -> list[dict[str, Any]]:
        """Every outcome with its causes, the strongest first.

        Args:
            min_frequency: A type is a cause when the lower end of the Wilson interval of its frequency exceeds this.
            min_support: Least number of sequences that have the type.
            seed: Seed of the bootstrap over sequences.

        Returns:
            For each outcome ``sequences`` pooled, ``probability`` (mean) and ``causes``; for each of those
            ``support`` (sequences with the type), ``frequency`` (share in which it carries the outcome) with interval,
            mean ``cmi`` and mean ``gain`` over sequences, each with a bootstrap interval, and ``direction``. ``tested``
            holds the same of every type, causes or not.
        """
        documents = []
        for number, name in enumerate(self.outcomes):
            generator = np.random.default_rng([seed, number])
            tested = [_type(event, found, generator) for event, found in sorted(self._found[number].items())]
            tested.sort(key=lambda each: -each["cmi"])
            pooled = self.sequences[number]
            documents.append(
                {
                    "outcome": name,
                    "sequences": pooled,
                    "probability": self._probability[number] / pooled if pooled else None,
                    "causes": [
                        each
                        for each in tested
                        if each["frequency_low"] > min_frequency and each["support"] >= min_support
                    ],
                    "tested": tested,
                }
            )
        return documents


def _type(event: str, found: list[_InSequence], generator: np.random.Generator) -> dict[str, Any]:
    carries, cmi, gain = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    low, high = wilson_interval(carries.sum(), len(found))
    (cmi_low, gain_low), (cmi_high, gain_high) = _mean_interval(np.stack([cmi, gain], axis=1), generator)
    return {
        "event": event,
        "direction": direction(float(gain.mean())),
        "support": len(found),
        "frequency": float(carries.mean()),
        "frequency_low": float(low),
        "frequency_high": float(high),
        "cmi": float(cmi.mean()),
        "cmi_low": float(cmi_low),
        "cmi_high": float(cmi_high),
        "gain": float(gain.mean()),
        "gain_low": float(gain_low),
        "gain_high": float(gain_high),
    }


def _mean_interval(
    values: NDArray[np.float64], generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of the means of columns over resampled rows; normal where there are many, open from one."""
    count = len(values)
    if count < 2:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    if count > _MOST_RESAMPLED:
        reach = norm.ppf(0.975) * values.std(0, ddof=1) / np.sqrt(count)
        return values.mean(0) - reach, values.mean(0) + reach
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) / count
    low, high = np.percentile(drawn @ values, [2.5, 97.5], axis=0)
    return low, high
