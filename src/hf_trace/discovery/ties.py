"""Events at the same time: ties are scored in both orders, and neither order is preferred."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from hf_trace.discovery.statistics import PairScores
from hf_trace.logs.sequence import EventSequence

LISTED, BOTH = "listed", "both"


def tie_numbers(sequence: EventSequence) -> NDArray[np.int64]:
    """A number per event, equal for events at the same time; all different without timestamps.

    Example:
        >>> tie_numbers(EventSequence(("a", "b", "c"), (1.0, 1.0, 4.0))).tolist()
        [0, 0, 1]
    """
    if sequence.timestamps is None:
        return np.arange(len(sequence))
    return np.cumsum(np.diff(sequence.timestamps, prepend=sequence.timestamps[:1]) > 0)


def longest_tie(sequence: EventSequence) -> int:
    """Number of events of the largest tie; 1 if all times differ.

    Example:
        >>> longest_tie(EventSequence(("a", "b", "c"), (1.0, 1.0, 4.0)))
        2
    """
    return int(np.bincount(tie_numbers(sequence)).max(initial=1))


def reversed_ties(sequence: EventSequence) -> tuple[EventSequence, NDArray[np.int64]]:
    """The sequence with every tie reversed, and the original position of every event.

    Example:
        >>> other, positions = reversed_ties(EventSequence(("a", "b", "c"), (1.0, 1.0, 4.0)))
        >>> other.events, positions.tolist()
        (('b', 'a', 'c'), [1, 0, 2])
    """
    positions = np.lexsort((-np.arange(len(sequence)), tie_numbers(sequence)))
    events = tuple(sequence.events[position] for position in positions)
    return replace(sequence, events=events), positions


def in_both_orders(
    sequence: EventSequence, listed: PairScores, other: PairScores, positions: NDArray[np.int64]
) -> PairScores:
    """Scores that prefer neither order of the events of a tie.

    Args:
        sequence: The events as listed.
        listed: Scores of the sequence.
        other: Scores of the sequence with its ties reversed.
        positions: Original position of every event of the reversed sequence.

    Returns:
        The pairs of ``listed``. Within a tie, ``cmi`` and ``gain`` are means over both orders, and
        ``order_difference`` is the cmi in the order listed minus that in the other; it is NaN for pairs at different
        times and for pairs scored in one order only.
    """
    ties, size = tie_numbers(sequence), len(sequence)
    tied = ties[listed.cause_position] == ties[listed.effect_position]
    # A pair within a tie has its cause and effect swapped in the reversed sequence.
    keys = positions[other.effect_position] * size + positions[other.cause_position]
    row = np.full(size * size, -1)
    row[keys] = np.arange(len(other))
    match = row[listed.cause_position * size + listed.effect_position]
    both = tied & (match >= 0)
    if not len(other):
        nothing = np.full(len(listed), np.nan)
        return replace(listed, order_difference=nothing, order_error=nothing)
    found = {name: getattr(other, name)[match] for name in ("cmi", "gain", "standard_error")}
    error = np.hypot(listed.standard_error, found["standard_error"])
    return replace(
        listed,
        cmi=np.where(both, (listed.cmi + found["cmi"]) / 2, listed.cmi),
        gain=np.where(both, (listed.gain + found["gain"]) / 2, listed.gain),
        standard_error=np.where(both, error / 2, listed.standard_error),
        order_difference=np.where(both, listed.cmi - found["cmi"], np.nan),
        order_error=np.where(both, error, np.nan),
    )


_SEQUENCES_AT_ONCE = 32
ScoredSequence = tuple[EventSequence, PairScores]


def scored_in_both_orders(
    scored: Iterable[ScoredSequence],
    score: Callable[[Iterator[EventSequence], int], Iterable[ScoredSequence]],
    max_lag: int | None,
) -> Iterator[ScoredSequence]:
    """Lazily give sequences with scores that prefer neither order of ties.

    Args:
        scored: Sequences with their scores as listed.
        score: Scores sequences, up to a lag.
        max_lag: Longest lag of ``scored``; the reversed sequences need no more than their longest tie.
    """
    left = iter(scored)
    while block := list(islice(left, _SEQUENCES_AT_ONCE)):
        turned = [reversed_ties(sequence) for sequence, _ in block]
        longest = max(longest_tie(sequence) for sequence, _ in block) - 1
        lag = longest if max_lag is None else min(longest, max_lag)
        others = (each for each, _ in turned)
        found = [scores for _, scores in score(others, lag)] if lag else [part for _, part in block]
        for (sequence, scores), (_, positions), other in zip(block, turned, found, strict=True):
            yield sequence, in_both_orders(sequence, scores, other, positions)
