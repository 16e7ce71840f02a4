"""Parts of a log: long sequences cut into windows that a model can read, and some of the sequences."""

import numpy as np
from numpy.typing import NDArray

from hf_trace.errors import EmptyLogError, SettingsError, TimestampError, preview
from hf_trace.logs.log import EventLog


def cut_windows(log: EventLog, *, length: int | None = None, gap: float | None = None, min_length: int = 2) -> EventLog:
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
        >>> from hf_trace.logs.sequence import EventSequence
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
    shares: NDArray[np.int64] = np.repeat(starts, parts) + part * np.repeat(sizes, parts) // np.repeat(parts, parts)
    return shares


def _window_ids(log: EventLog, starts: NDArray[np.int64]) -> list[str]:
    # side="right": of sequences that start at the same event, all but the last are empty.
    sequence = np.searchsorted(log.offsets, starts, side="right") - 1
    windows = np.bincount(sequence, minlength=len(log))
    number = np.arange(len(starts)) - np.searchsorted(sequence, sequence)
    return [log.ids[s] if windows[s] == 1 else f"{log.ids[s]}#{n}" for s, n in zip(sequence, number, strict=True)]


def sampled(log: EventLog, count: int | float | None, seed: int) -> EventLog:
    """A random part of the sequences, in their order; all of them if ``count`` is None or larger.

    Args:
        log: The sequences.
        count: How many; a number that is not whole (``float``) is a share of them.
        seed: The same seed takes the same sequences.

    Raises:
        SettingsError: If nothing would be left.
    """
    if isinstance(count, float):
        if not 0 < count <= 1:
            raise SettingsError(f"sample is {count}, expected a share above 0 and at most 1.")
        count = max(1, round(count * len(log)))
    if count is not None and count < 1:
        raise SettingsError(f"sample is {count}, expected at least 1 sequence.")
    if count is None or count >= len(log):
        return log
    return log.select(np.sort(np.random.default_rng(seed).permutation(len(log))[:count]))


def first(log: EventLog, count: int | None) -> EventLog:
    """The first so many sequences; all if ``count`` is None or larger.

    Raises:
        SettingsError: If nothing would be left.
    """
    if count is not None and count < 1:
        raise SettingsError(f"max_sequences is {count}, expected at least 1.")
    return log if count is None or count >= len(log) else log.select(range(count))


def chosen(log: EventLog, ids: list[str]) -> EventLog:
    """The sequences with these ids, windows of them included.

    Raises:
        SettingsError: If an id is not in the log.
    """
    cases = {index: name.rpartition("#")[0] or name for index, name in enumerate(log.ids)}
    missing = [name for name in ids if name not in log.ids and name not in cases.values()]
    if missing:
        raise SettingsError(f"No sequence has the id {preview(missing)}. The log has {preview(log.ids)}.")
    return log.select([index for index, name in enumerate(log.ids) if name in ids or cases[index] in ids])
