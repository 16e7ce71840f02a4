"""Long sequences cut into windows that a model can read. Logs come from ``log``."""

import numpy as np
from numpy.typing import NDArray

from hf_trace.data.log import EventLog
from hf_trace.errors import EmptyLogError, SettingsError, TimestampError


def cut_windows(
    log: EventLog, *, length: int | None = None, gap: float | None = None, min_length: int = 2
) -> EventLog:
    """Cut sequences into consecutive windows, at silences and wherever they are too long.

    A stretch of too many events is split evenly into as few windows as possible, so that none is much shorter
    than the others.

    Args:
        log: Sequences of any length.
        length: Longest window, in events; None cuts at silences only.
        gap: Longest silence within a window, in seconds; None cuts by length only.
        min_length: Shorter windows are left out, in events.

    Returns:
        The windows in order. Sequence ``"case"`` becomes ``"case#0"``, ``"case#1"``, …; one that is not cut
        keeps its id.

    Raises:
        SettingsError: If a limit is out of range.
        TimestampError: If ``gap`` is given and the log has no times.
        EmptyLogError: If no window is left.

    Example:
        >>> from hf_trace.data.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(tuple("abcde"), id="x")])
        >>> [(window.id, "".join(window.events)) for window in cut_windows(log, length=3)]
        [('x#0', 'ab'), ('x#1', 'cde')]
    """
    _check_limits(length, gap, min_length)
    starts = log.offsets[:-1][log.sequence_lengths > 0]
    if gap is not None:
        starts = np.union1d(starts, _after_silences(log, gap))
    if length is not None:
        starts = _split_evenly(starts, len(log.codes), length)

    stops = np.append(starts[1:], len(log.codes))
    long_enough = stops - starts >= min_length
    if not long_enough.any():
        raise EmptyLogError(
            f"None of the {len(starts):,} windows has {min_length} events, expected at least one. Allow "
            "longer ones, or lower `min_length`."
        )
    ids = _window_ids(log, starts)
    kept = np.flatnonzero(long_enough)
    return log.select_spans(starts[kept], stops[kept], [ids[i] for i in kept])


def _check_limits(length: int | None, gap: float | None, min_length: int) -> None:
    if min_length < 1:
        raise SettingsError(f"`min_length={min_length}` events, expected at least 1. Pass a larger number.")
    if length is not None and length < min_length:
        raise SettingsError(
            f"`length={length}` events is less than `min_length={min_length}`, expected at least as many. "
            "Raise `length` or lower `min_length`."
        )
    if gap is not None and not gap >= 0:
        raise SettingsError(f"`gap={gap}` seconds, expected 0 or more. Pass a positive number.")


def _after_silences(log: EventLog, gap: float) -> NDArray[np.int64]:
    if log.timestamps is None:
        raise TimestampError(
            f"`gap={gap}` asks for cuts at silences, but the log has no times. Name its time column when "
            "reading, or cut by `length` only."
        )
    # Differences across two sequences are cuts anyway: the second one starts there.
    return np.flatnonzero(np.diff(log.timestamps) > gap) + 1


def _split_evenly(starts: NDArray[np.int64], end: int, length: int) -> NDArray[np.int64]:
    sizes = np.diff(starts, append=end)
    parts = -(-sizes // length)
    first = np.repeat(np.cumsum(parts) - parts, parts)
    part = np.arange(parts.sum()) - first
    shares: NDArray[np.int64] = np.repeat(starts, parts) + part * np.repeat(sizes, parts) // np.repeat(
        parts, parts
    )
    return shares


def _window_ids(log: EventLog, starts: NDArray[np.int64]) -> list[str]:
    # side="right": of sequences that start at the same event, all but the last are empty.
    sequence = np.searchsorted(log.offsets, starts, side="right") - 1
    windows = np.bincount(sequence, minlength=len(log))
    number = np.arange(len(starts)) - np.searchsorted(sequence, sequence)
    return [
        log.ids[s] if windows[s] == 1 else f"{log.ids[s]}#{n}" for s, n in zip(sequence, number, strict=True)
    ]
