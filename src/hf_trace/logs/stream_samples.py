"""What one pass over a stream tells: how often each event type was seen, and seeded samples of its sequences."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import whole
from hf_trace.errors import EmptyLogError, SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.streams import EventStream
from hf_trace.logs.windows import checked_sample, cut_windows
from hf_trace.options import SEED

_GAPS_KEPT = 100_000
Advance = Callable[[float], None]


def sequence_keys(ids: tuple[str, ...], seed: int) -> NDArray[np.uint64]:
    """An evenly spread number for every sequence, which depends only on the seed and the id.

    Example:
        >>> keys = sequence_keys(("a", "b"), 0)
        >>> bool(sequence_keys(("b",), 0)[0] == keys[1]), bool(sequence_keys(("b",), 1)[0] == keys[1])
        (True, False)
    """
    return pd.util.hash_array(np.array(ids, dtype=object), hash_key=f"{seed % 10**16:016d}")


class SequenceSample:
    """The sequences with the smallest keys: a random sample, the same for a seed in whatever order they come.

    Args:
        count: How many sequences are kept.
        seed: Seed of the keys.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._logs: list[EventLog] = []
        self._keys: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._held = 0

    def add(self, log: EventLog) -> None:
        """Offer the sequences of a part."""
        keys = sequence_keys(log.ids, self.seed)
        if len(self._keys) >= self.count:
            small = np.flatnonzero(keys < np.partition(self._keys, self.count - 1)[self.count - 1])
            log, keys = log.select(small), keys[small]
        if not len(keys):
            return
        self._logs.append(log)
        self._keys = np.concatenate([self._keys, keys])
        if len(self._keys) > 2 * self.count:
            self._shrink()

    def log(self) -> EventLog:
        """The sample, in the order of the stream."""
        self._shrink()
        return self._logs[0]

    @property
    def keys(self) -> NDArray[np.uint64]:
        """Keys of the sequences of ``log``."""
        self._shrink()
        return self._keys

    def _shrink(self) -> None:
        merged = self._logs[0] if len(self._logs) == 1 else EventLog.concat(self._logs)
        kept = np.sort(np.argsort(self._keys, kind="stable")[: self.count])
        self._logs, self._keys = [merged.select(kept)], self._keys[kept]


def sample_stream(
    stream: EventStream,
    count: int | float | None,
    *,
    seed: int = SEED.default,
    first: int | None = None,
    advance: Advance = lambda _: None,
) -> EventLog:
    """Draw sequences from a stream in one pass; memory follows the sample.

    Args:
        stream: The log.
        count: How many sequences, or (``float``) the share of them.
        seed: The same seed draws the same sequences.
        first: Draw from the first N only; reading stops there.
        advance: Called with the number of events read.

    Raises:
        SettingsError: If neither says how much to keep, or nothing would be left.
    """
    if count is None and first is None:
        raise SettingsError(
            "The log is read in parts, and how much of it to keep was not said. Pass `--sample N` (or a share), or "
            "`--max-sequences N`."
        )
    checked_sample(count)
    if first is not None:
        whole("max_sequences", first)
    sample = SequenceSample(count, seed) if isinstance(count, int) else None
    kept: list[EventLog] = []
    sequences = events = 0
    for part in stream.parts():
        if first is not None and sequences + len(part) > first:
            part = part.select(range(first - sequences))
        sequences, events = sequences + len(part), events + len(part.codes)
        if sample is not None:
            sample.add(part)
        elif count is None:
            kept.append(part)
        else:
            bound = np.uint64(min(int(count * 2.0**64), 2**64 - 1))
            kept.append(part.select(np.flatnonzero(sequence_keys(part.ids, seed) <= bound)))
        advance(events)
        if sequences == first:
            break
    return sample.log() if sample is not None else EventLog.concat(kept).without_empty_sequences()


@dataclass(frozen=True)
class StreamSurvey:
    """What was counted in one pass.

    Attributes:
        counts: How often each event type was seen.
        sequences: Number of sequences.
        events: Number of events.
        longest: Events of the longest sequence.
        windows: Number of windows they are cut into.
        gaps: A random part of the times between events, in seconds; None where there are no times.
        sample: A random part of the sequences.
        keys: Their keys.
    """

    counts: dict[str, int]
    sequences: int
    events: int
    longest: int
    windows: int
    gaps: NDArray[np.float64] | None
    sample: EventLog
    keys: NDArray[np.uint64]


def survey_stream(
    stream: EventStream,
    *,
    sample: int,
    length: int | None = None,
    gap: float | None = None,
    seed: int = SEED.default,
    advance: Advance = lambda _: None,
) -> StreamSurvey:
    """Count what a stream holds, in one pass and constant memory.

    Args:
        stream: The log.
        sample: How many sequences to keep.
        length: Longest window, in events.
        gap: Longest silence within a window, in seconds.
        seed: Seed of the sample.
        advance: Called with the number of events read.
    """
    counts: dict[str, int] = {}
    sequences = events = longest = windows = 0
    kept, gaps = SequenceSample(sample, seed), _GapSample(seed)
    for part in stream.parts():
        for name, count in zip(part.event_types, np.bincount(part.codes, minlength=len(part.event_types)), strict=True):
            counts[name] = counts.get(name, 0) + int(count)
        sequences, events = sequences + len(part), events + len(part.codes)
        longest = max(longest, int(part.sequence_lengths.max()))
        windows += len(windows_of(part, length, gap))
        kept.add(part)
        gaps.add(part)
        advance(events)
    return StreamSurvey(
        dict(sorted(counts.items())), sequences, events, longest, windows, gaps.values(), kept.log(), kept.keys
    )


def windows_of(log: EventLog, length: int | None, gap: float | None) -> EventLog:
    """``cut_windows``, but a part of a log may have no window.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> len(windows_of(EventLog.from_sequences([EventSequence(("a",))]), 8, None))
        0
    """
    try:
        return cut_windows(log, length=length, gap=gap)
    except EmptyLogError:
        return log.select([])


class _GapSample:
    """A bounded random part of the times between events."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._values: NDArray[np.float64] = np.empty(0)
        self._keys: NDArray[np.float64] = np.empty(0)
        self._timed = False

    def add(self, log: EventLog) -> None:
        if log.timestamps is None:
            return
        self._timed = True
        inside = np.ones(len(log.codes), dtype=bool)
        inside[log.offsets[:-1]] = False
        values = np.diff(log.timestamps, prepend=0.0)[inside]
        self._values = np.concatenate([self._values, values])
        self._keys = np.concatenate([self._keys, self._generator.random(len(values))])
        if len(self._keys) > _GAPS_KEPT:
            chosen = np.argpartition(self._keys, _GAPS_KEPT)[:_GAPS_KEPT]
            self._values, self._keys = self._values[chosen], self._keys[chosen]

    def values(self) -> NDArray[np.float64] | None:
        return self._values if self._timed else None
