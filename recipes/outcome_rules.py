"""Outcomes of whole sequences by a known rule: logistic in which events, and which ordered pairs, a sequence holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from hf_trace.errors import SettingsError


@dataclass(frozen=True)
class OutcomeRule:
    """What makes an outcome likely.

    Attributes:
        intercept: Log-odds of a sequence that holds none of the causes.
        events: Log-odds that holding an event type adds.
        pairs: Log-odds that holding one type before another adds.

    Raises:
        SettingsError: If a weight is not a finite number.

    Example:
        >>> rule = OutcomeRule(-1.0, {0: 2.0}, {(1, 2): 1.0})
        >>> rule.log_odds(np.array([[0, 2, 1], [1, 0, 2], [2, 1, 1]])).tolist()
        [1.0, 2.0, -1.0]
    """

    intercept: float
    events: Mapping[int, float] = field(default_factory=dict)
    pairs: Mapping[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weights = [self.intercept, *self.events.values(), *self.pairs.values()]
        if not np.isfinite(weights).all():
            wrong = next(weight for weight in weights if not np.isfinite(weight))
            raise SettingsError(f"A weight of the outcome rule is {wrong}, expected a finite number.")

    @property
    def causes(self) -> set[int]:
        """Event types that the outcome depends on."""
        return {*self.events, *(event for pair in self.pairs for event in pair)}

    def log_odds(self, sequences: Int[np.ndarray, "sequence pos"]) -> Float[np.ndarray, " sequence"]:
        """Log-odds of the outcome for sequences of one length; -1 stands for no event."""
        found = np.full(len(sequences), self.intercept)
        for event, weight in self.events.items():
            found += weight * (sequences == event).any(1)
        for (first, second), weight in self.pairs.items():
            found += weight * _before(sequences == first, sequences == second)
        return found

    def probability(self, sequences: Int[np.ndarray, "sequence pos"]) -> Float[np.ndarray, " sequence"]:
        """P(yes) for sequences of one length.

        Example:
            >>> OutcomeRule(0.0).probability(np.array([[1, 2]])).tolist()
            [0.5]
        """
        chance: Float[np.ndarray, " sequence"] = 1 / (1 + np.exp(-self.log_odds(sequences)))
        return chance

    def gains(
        self, sequence: Int[np.ndarray, " pos"], types: int
    ) -> tuple[Float[np.ndarray, " pos"], Float[np.ndarray, " pos"]]:
        """What each event of one sequence does to P(yes): against every type in its place, all alike.

        Returns:
            P(yes) minus its mean after replacement, and that mean.

        Example:
            >>> gain, mean = OutcomeRule(0.0, {0: 2.0}).gains(np.array([0, 1]), 2)
            >>> gain.round(3).tolist()  # 0 goes in half of the cases: .881 against .881 and .5
            [0.19, 0.0]
        """
        length = len(sequence)
        rows = np.tile(sequence, (length * types, 1))
        place = np.repeat(np.arange(length), types)
        rows[np.arange(len(rows)), place] = np.tile(np.arange(types), length)
        mean = self.probability(rows).reshape(length, types).mean(1)
        return self.probability(sequence[None])[0] - mean, mean


def _before(
    first: Bool[np.ndarray, "sequence pos"], second: Bool[np.ndarray, "sequence pos"]
) -> Bool[np.ndarray, " sequence"]:
    """Whether a first stands before a second."""
    seen = np.maximum.accumulate(first, axis=1)
    found: Bool[np.ndarray, " sequence"] = (seen[:, :-1] & second[:, 1:]).any(1)
    return found
