"""Scores of pairs of positions of one sequence: what discovery computes and graphs are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PairScores:
    """Every tested pair of positions of one sequence, as parallel arrays ordered by cause, then effect.

    Attributes:
        cause_position: Index of the cause among the events of the sequence.
        effect_position: Index of the effect; always later.
        cmi: The statistic of the run, in nats for the divergences.
        gain: p minus the mean probability after replacement; its sign is the direction.
        standard_error: Monte Carlo standard error of ``cmi``, in nats; 0 if nothing was sampled, NaN if unknown.
        order_difference: Of events at the same time, scored in both orders: by how much the cmi is larger in the order
            in which they are listed, in nats; NaN for others. None where ties were read as they are listed.
        order_error: Monte Carlo standard error of that.
        by_oracle: Where several oracles were asked, what each said of the same pairs.
    """

    cause_position: NDArray[np.int64]
    effect_position: NDArray[np.int64]
    cmi: NDArray[np.float64]
    gain: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    by_oracle: "tuple[PairScores, ...]" = ()
    order_difference: NDArray[np.float64] | None = None
    order_error: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.cmi)

    @property
    def tied(self) -> NDArray[np.bool_]:
        """Where a pair was scored in both orders."""
        if self.order_difference is None:
            return np.zeros(len(self), dtype=np.bool_)
        return ~np.isnan(self.order_difference)

    @property
    def lag(self) -> NDArray[np.int64]:
        """Distance from cause to effect, in events."""
        return self.effect_position - self.cause_position


def scores_by_sequence(found: Sequence[NDArray[np.float64]], sequences: int) -> list[PairScores]:
    """Sort rows ``(sequence, cause, effect, cmi, gain, standard_error)`` into one ``PairScores`` per sequence."""
    table = np.concatenate(found) if found else np.empty((0, 6))
    table = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))]
    cuts = np.searchsorted(table[:, 0], np.arange(sequences + 1))
    return [
        PairScores(
            cause_position=part[:, 1].astype(np.int64),
            effect_position=part[:, 2].astype(np.int64),
            cmi=part[:, 3],
            gain=part[:, 4],
            standard_error=part[:, 5],
        )
        for part in np.split(table, cuts[1:-1])
    ]
