"""Parts of a log: long sequences cut into windows that a model can read, and some of its sequences."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_trace.checks import near, number, whole
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
    whole("min_length", min_length)
    if length is not None and length < min_length:
        raise SettingsError(
            f"`length={length}` events is less than `min_length={min_length}`, expected at least as many. "
            "Raise `length` or lower `min_length`."
        )
    if gap is not None:
        number("gap", gap, least=0)


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


def checked_sample(count: int | float | None) -> int | float | None:
    """How many sequences to draw: a whole number, or (``float``) a share of them; None for all.

    Raises:
        SettingsError: If nothing would be left.
    """
    if not isinstance(count, float):
        return None if count is None else whole("sample", count)
    if not 0 < count <= 1:
        raise SettingsError(f"sample is {count}, expected a share above 0 and at most 1.")
    return count


def sampled_sequences(log: EventLog, count: int | float | None, seed: int) -> EventLog:
    """A random part of the sequences, in their order; all of them if ``count`` is None or larger.

    Args:
        log: The sequences.
        count: How many to draw, or (``float``) the share of them, at least one.
        seed: The same seed draws the same sequences.

    Raises:
        SettingsError: If nothing would be left.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence((name,)) for name in "abcd"])
        >>> len(sampled_sequences(log, 0.5, 0)), len(sampled_sequences(log, 9, 0))
        (2, 4)
    """
    drawn = checked_sample(count)
    if isinstance(drawn, float):
        drawn = max(1, round(drawn * len(log)))
    if drawn is None or drawn >= len(log):
        return log
    return log.select(np.sort(np.random.default_rng(seed).permutation(len(log))[:drawn]))


def first_sequences(log: EventLog, count: int | None) -> EventLog:
    """The first N sequences; all of them if ``count`` is None or larger.

    Raises:
        SettingsError: If nothing would be left.
    """
    kept = len(log) if count is None else whole("max_sequences", count)
    return log if kept >= len(log) else log.select(range(kept))


def case_of(window: str) -> str:
    """The sequence that a window named ``ID#NUMBER`` was cut from.

    Example:
        >>> case_of("pump#3"), case_of("pump")
        ('pump', 'pump')
    """
    return window.rpartition("#")[0] or window


def sequences_of(log: EventLog, ids: Sequence[str]) -> EventLog:
    """The sequences with these ids, in the order of the log; of one that was cut, all its windows.

    Raises:
        SettingsError: If an id is not in the log.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a",), id=name) for name in ("x#0", "x#1", "y")])
        >>> sequences_of(log, ["x"]).ids, sequences_of(log, ["x#1", "y"]).ids
        (('x#0', 'x#1'), ('x#1', 'y'))
    """
    cases = [case_of(name) for name in log.ids]
    if missing := [name for name in ids if name not in log.ids and name not in cases]:
        hint = near(missing[0], log.ids)
        raise SettingsError(f"No sequence has the id {preview(missing)}. The log has {preview(log.ids)}.{hint}")
    return log.select([i for i, case in enumerate(cases) if log.ids[i] in ids or case in ids])
