"""Events that are near each other in time: the horizon that a log suggests, and where windows of it begin and end."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hf_trace.errors import SettingsError
from hf_trace.logs.log import EventLog

MOST_TYPES = 5_000
SHARE_OF_GAP = 0.2
_MOST_PAIRS = 4_000_000
Indexes = NDArray[np.int64]
Times = NDArray[np.float64]


def types_of_table(log: EventLog) -> int:
    """Number of event types, of which a table of all pairs fits into memory.

    Raises:
        SettingsError: If there are more than 5,000.
    """
    if len(log.event_types) > MOST_TYPES:
        raise SettingsError(
            f"The log has {len(log.event_types):,} event types, expected at most {MOST_TYPES:,}, of which all pairs "
            "are counted. Name a coarser event column, or keep fewer rows with a query."
        )
    return len(log.event_types)


def event_times(log: EventLog) -> Times:
    """Seconds of every event; without times its position in the sequence.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> event_times(EventLog.from_sequences([EventSequence(("a", "b")), EventSequence(("a",))]))
        array([0., 1., 0.])
    """
    if log.timestamps is not None:
        return log.timestamps
    return (np.arange(len(log.codes)) - np.repeat(log.offsets[:-1], log.sequence_lengths)).astype(np.float64)


def suggested_horizon(log: EventLog, *, positions: int) -> float:
    """The horizon that a log suggests, by a rule that knows no cause: 0.2 x the mean time between successive events.

    Args:
        log: Its sequences; the time between events of two does not count.
        positions: Horizon of a log without times, in events.

    Returns:
        Seconds; 0 where nothing follows anything at a later time. Without times ``positions``.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a", "b", "c"), (0.0, 4.0, 20.0))])
        >>> suggested_horizon(log, positions=16)  # a fifth of (4 + 16) / 2
        2.0
    """
    if log.timestamps is None:
        return float(positions)
    pairs = int(np.maximum(log.sequence_lengths - 1, 0).sum())
    return SHARE_OF_GAP * observed_time(log, log.timestamps) / pairs if pairs else 0.0


def observed_time(log: EventLog, times: Times) -> float:
    """How long the sequences were watched: the last time of each less its first, added up.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a", "b"), (5.0, 8.0)), EventSequence(("a",), (1.0,))])
        >>> observed_time(log, log.timestamps)
        3.0
    """
    some = log.sequence_lengths > 0
    return float((times[log.offsets[1:][some] - 1] - times[log.offsets[:-1][some]]).sum())


def first_place(times: Times, low: Indexes, high: Indexes, reference: Times, shift: float, *, above: bool) -> Indexes:
    """The first place of a span whose time is so long after a reference, for many spans at once.

    It compares differences, as windows are defined: ``reference + shift`` would round.

    Args:
        times: Rising within every span.
        low: Where each span begins.
        high: Where it ends; the answer if no time is late enough.
        reference: A time for each span; may be infinite.
        shift: How long after it; negative for before.
        above: Whether it must be longer than ``shift``; otherwise as long is enough.

    Example:
        >>> times = np.array([0.0, 1.0, 1.0, 5.0])
        >>> whole = np.array([0]), np.array([4]), np.array([0.0])
        >>> int(first_place(times, *whole, 1.0, above=False)[0]), int(first_place(times, *whole, 1.0, above=True)[0])
        (1, 3)
    """
    found, low, high = low.copy(), low, high
    rows = np.flatnonzero(low < high)
    low, high, reference = low[rows], high[rows], reference[rows]
    while len(rows):
        middle = (low + high) // 2
        distance = times[middle] - reference
        is_early = distance <= shift if above else distance < shift
        low, high = np.where(is_early, middle + 1, low), np.where(is_early, high, middle)
        found[rows] = low
        going = low < high
        if not going.all():
            rows, low, high, reference = rows[going], low[going], high[going], reference[going]
    return found


def pairs_in_parts(starts: Indexes, stops: Indexes) -> Iterator[tuple[slice, Indexes, Indexes]]:
    """All pairs of a row with the places of its span, some rows at a time so that memory is bounded.

    Args:
        starts: Where the span of each row begins.
        stops: Where it ends, not included; nothing where that is not after the start.

    Yields:
        The rows of this part, the row of each pair, and its place.

    Example:
        >>> (part,) = pairs_in_parts(np.array([0, 7, 3]), np.array([2, 7, 4]))
        >>> part[1].tolist(), part[2].tolist()
        ([0, 0, 2], [0, 1, 3])
    """
    lengths = np.maximum(stops - starts, 0)
    ends = np.cumsum(lengths)
    row = 0
    while row < len(lengths):
        done = ends[row - 1] if row else 0
        last = max(int(np.searchsorted(ends, done + _MOST_PAIRS, side="right")), row + 1)
        part, here = slice(row, last), lengths[row:last]
        total, first = int(here.sum()), starts[row:last] - (ends[row:last] - here - done)
        yield part, np.repeat(np.arange(row, last), here), np.arange(total) + np.repeat(first, here)
        row = last
