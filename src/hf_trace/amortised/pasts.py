"""What came before each event that is to be predicted, as arrays: the input of everything that counts."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

RECENT = 32
NOTHING = -1


class Sequences(NamedTuple):
    """Events of sequences side by side, each padded at its end.

    Attributes:
        codes: Event types, 0 and up; the number of types stands for one that is not known, -1 for no event.
        times: Seconds since the start of the sequence, or numbers of events.
    """

    codes: Int[np.ndarray, "sequence event"]
    times: Float[np.ndarray, "sequence event"]


class Places(NamedTuple):
    """Where an event is to be predicted, its time known.

    Attributes:
        sequence: Its sequence.
        before: How many events of the sequence came before.
        now: Its time.
        gap: Bin of the time since the event before; the number of bins where that says nothing.
    """

    sequence: Int[np.ndarray, " place"]
    before: Int[np.ndarray, " place"]
    now: Float[np.ndarray, " place"]
    gap: Int[np.ndarray, " place"]


class Pasts(NamedTuple):
    """What came before each place.

    Attributes:
        recent: Types of the last 32 events, the latest first; -1 for none.
        since: How long ago each was; infinite for none.
        latest: Which of them are the latest of their type.
        repeats: How many events at the end are of one type.
        seen: A number for the set of all types before.
        tally: A number for how many of each type were before.
        gap: See ``Places``.
        before: See ``Places``.
        counts: How many events of each type came before.
        ago: Time since the last event of each type; infinite where none came.
    """

    recent: Int[np.ndarray, "place recent"]
    since: Float[np.ndarray, "place recent"]
    latest: NDArray[np.bool_]
    repeats: Int[np.ndarray, " place"]
    seen: NDArray[np.uint64]
    tally: NDArray[np.uint64]
    gap: Int[np.ndarray, " place"]
    before: Int[np.ndarray, " place"]
    counts: Int[np.ndarray, "place type"]
    ago: Float[np.ndarray, "place type"]


def pasts_of(sequences: Sequences, places: Places, n_types: int) -> Pasts:
    """What came before some places.

    Args:
        sequences: The events.
        places: Where one is to be predicted.
        n_types: Number of event types.

    Example:
        >>> one = Sequences(np.array([[0, 1, 1]]), np.array([[0.0, 2.0, 5.0]]))
        >>> found = pasts_of(one, Places(*map(np.array, ([0], [3], [6.0], [0]))), 2)
        >>> found.recent[0, :4].tolist(), found.repeats.tolist(), found.counts.tolist(), found.ago.tolist()
        ([1, 1, 0, -1], [2], [[1, 2]], [[6.0, 1.0]])
    """
    codes, times = sequences
    at = places.before[:, None] - np.arange(1, RECENT + 1)
    exists, at = at >= 0, np.maximum(at, 0)
    recent = np.where(exists, codes[places.sequence[:, None], at], NOTHING)
    since = np.where(exists, places.now[:, None] - times[places.sequence[:, None], at], np.inf)
    counts, last = _by_type(sequences, n_types)
    seen, tally = (each[places.sequence, places.before] for each in _numbers(codes, n_types))
    return Pasts(
        recent,
        since,
        _is_latest(recent),
        (np.cumprod(recent == recent[:, :1], axis=1) * exists).sum(1),
        seen,
        tally,
        places.gap,
        places.before,
        counts[places.sequence, places.before],
        places.now[:, None] - last[places.sequence, places.before],
    )


def _by_type(
    sequences: Sequences, n_types: int
) -> tuple[Int[np.ndarray, "sequence place type"], Float[np.ndarray, "sequence place type"]]:
    """Before each event and at the end: how many of each type, and when the last was."""
    codes, times = sequences
    sequence, event = np.nonzero((codes >= 0) & (codes < n_types))
    where = sequence, event + 1, codes[sequence, event]
    shape = len(codes), codes.shape[1] + 1, n_types
    counts, last = np.zeros(shape, dtype=np.int16), np.full(shape, -np.inf)
    counts[where], last[where] = 1, times[sequence, event]
    return counts.cumsum(1, dtype=np.int16), np.maximum.accumulate(last, axis=1)


def _is_latest(recent: Int[np.ndarray, "place recent"]) -> NDArray[np.bool_]:
    latest = recent >= 0
    for back in range(1, recent.shape[1]):
        latest[:, back] &= (recent[:, :back] != recent[:, back : back + 1]).all(1)
    return latest


def _numbers(codes: Int[np.ndarray, "sequence event"], n_types: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Before each event and at the end: the sums of a random number for each type that came, and for each event."""
    of_type = np.random.default_rng(0).integers(2**63, size=n_types + 2, dtype=np.uint64)
    of_type[-1] = 0
    rows = np.arange(len(codes))[:, None] * (n_types + 2)
    first = np.zeros(codes.size, dtype=np.uint64)
    first[np.unique(rows + codes, return_index=True)[1]] = 1
    numbers = of_type[codes]
    added = (numbers * first.reshape(codes.shape), numbers)
    seen, tally = (np.pad(each, ((0, 0), (1, 0))).cumsum(1, dtype=np.uint64) for each in added)
    return seen, tally
