"""Scores under no effect at all: those of a model of the same events in no order, on events in no order.

A comparison for ``confidence``, not offered as a threshold: what it controls is the share of pairs without any
effect, and ``recipes/calibration`` measures whether it does.
"""

import numpy as np
from jaxtyping import Float, Int

from hf_trace.logs.log import EventLog


def shuffled(log: EventLog, seed: int) -> EventLog:
    """The same sequences, each with its events in random order; times stay where they were.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a", "b", "b"))])
        >>> sorted(shuffled(log, 0)[0].events)
        ['a', 'b', 'b']
    """
    owner = np.repeat(np.arange(len(log)), log.sequence_lengths)
    order = np.lexsort((np.random.default_rng(seed).random(len(owner)), owner))
    return EventLog(
        log.event_types, log.codes[order], log.offsets, log.timestamps, log.ids, log.dropped_rows, log.contexts
    )


def frequency_bands(counts: Int[np.ndarray, " type"], bands: int) -> Int[np.ndarray, " type"]:
    """For every event type the band it is in, so that all bands hold about as many events.

    Example:
        >>> frequency_bands(np.array([1, 8, 1, 6]), 2).tolist()
        [0, 1, 0, 0]
    """
    order = np.argsort(counts, kind="stable")
    middle = np.cumsum(counts[order]) - counts[order] / 2
    found = np.empty(len(counts), dtype=np.int64)
    found[order] = np.minimum((middle / max(counts.sum(), 1) * bands).astype(np.int64), bands - 1)
    return found


def p_values(
    score: Float[np.ndarray, " pair"],
    stratum: Int[np.ndarray, " pair"],
    null_score: Float[np.ndarray, " null"],
    null_stratum: Int[np.ndarray, " null"],
) -> Float[np.ndarray, " pair"]:
    """Chance of a score at least as high without an effect, among null scores of the same stratum.

    Args:
        score: Of the pairs tested.
        stratum: Number of the lag and frequency band of each.
        null_score: Scores of pairs that have no effect.
        null_stratum: Their strata.

    Returns:
        (1 + null scores at least as high) / (1 + null scores), never 0; 1 where the stratum has none.

    Example:
        >>> p_values(np.array([0.3]), np.array([0]), np.array([0.1, 0.2, 0.4]), np.array([0, 0, 0])).tolist()
        [0.5]
    """
    found = np.ones(len(score))
    for number in np.unique(stratum):
        null = np.sort(null_score[null_stratum == number])
        mine = stratum == number
        found[mine] = (1 + len(null) - np.searchsorted(null, score[mine], side="left")) / (1 + len(null))
    return found
