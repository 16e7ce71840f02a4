"""What repeats itself in a log: copies of an event, chattering types, floods, clocks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.logs.diagnosis.findings import Finding, named, percent
from hf_trace.logs.log import EventLog, count, duration

CHATTER_EVENTS, CHATTER_SECONDS = 4, 60.0
_PER_WINDOW, _USUAL_QUANTILE, _TIMES_USUAL, _LEAST_WINDOWS = 10, 0.9, 3, 20
_LEAST_GAPS, _REGULAR_SHARE, _TOLERANCE = 10, 0.8, 0.1
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Duplicates(Finding):
    """Events of one sequence, type and time that are there already.

    Attributes:
        events: How many.
        share: Of all events.
    """

    events: int
    share: float

    @classmethod
    def of(cls, log: EventLog) -> "Duplicates":
        """Count them; a log without times has none that can be told.

        Example:
            >>> from hf_trace.logs.sequence import EventSequence
            >>> Duplicates.of(EventLog.from_sequences([EventSequence(("a", "a", "b"), (1.0, 1.0, 1.0))])).events
            1
        """
        found = 0 if log.timestamps is None else int(_events(log).duplicated().sum())
        return cls(found, found / max(1, len(log.codes)))

    def lines(self) -> list[str]:
        """How many, and what to do."""
        if not self.events:
            return []
        return [
            f"{count(self.events, 'copy').replace('copys', 'copies')} ({percent(self.share)} of all events): the same "
            "sequence, type and time once more. If they say nothing new, remove them before training."
        ]


@dataclass(frozen=True)
class Chatter(Finding):
    """Types that come more than three times within a minute in a sequence.

    Alarm management calls a type that chatters like this a nuisance (ANSI/ISA-18.2 sets the limit at three a minute).

    Attributes:
        types: Those types, most events in chatter first.
        episodes: How many times such a burst happened.
        events: How many events are in one.
        share: Of all events.
    """

    types: tuple[str, ...]
    episodes: int
    events: int
    share: float

    @classmethod
    def of(cls, log: EventLog) -> "Chatter":
        """Find bursts of four events or more of which any four in a row are within 60 seconds.

        Example:
            >>> from hf_trace.logs.sequence import EventSequence
            >>> log = EventLog.from_sequences([EventSequence(("a",) * 5, (0.0, 20.0, 40.0, 60.0, 500.0))])
            >>> Chatter.of(log)
            Chatter(types=('a',), episodes=1, events=4, share=0.8)
        """
        if log.timestamps is None:
            return cls((), 0, 0, 0.0)
        events = _events(log).sort_values(["sequence", "code", "time"], kind="stable").to_numpy()
        same = (events[1:, :2] == events[:-1, :2]).all(axis=1)
        reach = CHATTER_EVENTS - 1
        linked = np.zeros(max(0, len(events) - 1), dtype=bool)  # an event and the next are in one burst
        if len(events) > reach:
            near = events[reach:, 2] - events[:-reach, 2] <= CHATTER_SECONDS
            for step in range(reach):
                near &= same[step : len(same) - reach + 1 + step]
            for step in range(reach):
                linked[step : len(linked) - reach + 1 + step] |= near
        inside = np.append(linked, False) | np.append(False, linked)
        codes = events[inside, 1].astype(np.int64)
        return cls(
            tuple(log.event_types[code] for code in pd.Series(codes).value_counts().index),
            int(np.sum(linked & ~np.append(False, linked[:-1]))) if len(linked) else 0,
            int(inside.sum()),
            float(inside.sum() / max(1, len(events))),
        )

    def lines(self) -> list[str]:
        """Which types, how often, and what helps."""
        if not self.types:
            return []
        return [
            f"{named(self.types, 'type')} chatter, more than three times a minute: {count(self.episodes, 'burst')}, "
            f"{percent(self.share)} of all events. Taking all events of a type out at once (by type) is made for that."
        ]


@dataclass(frozen=True)
class Floods(Finding):
    """Windows with many more events than usual, over all sequences.

    Attributes:
        count: How many floods; windows in a row are one.
        window_seconds: Length of a window, in which ten events come on average.
        usual: Events of a busy window: the 90 % quantile of those with any.
        events: How many events are in floods.
        share: Of all events.
        largest: Most events of a window.
    """

    count: int
    window_seconds: float
    usual: float
    events: int
    share: float
    largest: int

    @classmethod
    def of(cls, log: EventLog) -> "Floods":
        """Find windows with more than three times the events of a busy one.

        Not looked for, and none, where there are no times, where most sequences begin at the same moment (their times
        do not belong to one clock), or where there are fewer than 20 windows.

        Example:
            >>> from hf_trace.logs.sequence import EventSequence
            >>> times = tuple(float(each) for each in range(1000)) + (500.0,) * 100  # 1.1 events a second
            >>> found = Floods.of(EventLog.from_sequences([EventSequence(("a",) * 1100, tuple(sorted(times)))]))
            >>> found.count, found.largest > 100
            (1, True)
        """
        nothing = cls(0, 0.0, 0.0, 0, 0.0, 0)
        if log.timestamps is None or len(log.codes) < _PER_WINDOW * _LEAST_WINDOWS or _has_own_clocks(log):
            return nothing
        span = float(np.ptp(log.timestamps))
        width = span * _PER_WINDOW / len(log.codes)
        if not width:
            return nothing
        places = np.minimum((log.timestamps - log.timestamps.min()) / width, len(log.codes)).astype(np.int64)
        windows, counts = np.unique(places, return_counts=True)
        usual = float(np.quantile(counts, _USUAL_QUANTILE))
        high = counts > _TIMES_USUAL * usual
        flooded = windows[high]
        events = int(counts[high].sum())
        number = int(np.sum(np.diff(flooded) > 1)) + 1 if len(flooded) else 0
        return cls(number, width, usual, events, events / len(log.codes), int(counts.max()))

    def lines(self) -> list[str]:
        """How many, how large."""
        if not self.count:
            return []
        return [
            f"{count(self.count, 'flood')}: windows of {duration(self.window_seconds)} with more than three times the "
            f"{self.usual:.0f} events of a busy one (at most {self.largest:,}); {percent(self.share)} of all events. "
            "In a flood everything follows everything: look whether edges hold outside."
        ]


@dataclass(frozen=True)
class Periodic(Finding):
    """Types that come at regular gaps, as heartbeats, polls and reports do.

    Attributes:
        seconds: Gap of each such type.
    """

    seconds: dict[str, float]

    @classmethod
    def of(cls, log: EventLog) -> "Periodic":
        """Find types of whose gaps, at least ten, four of five are within a tenth of their median.

        Example:
            >>> from hf_trace.logs.sequence import EventSequence
            >>> log = EventLog.from_sequences([EventSequence(("a",) * 11, tuple(30.0 * each for each in range(11)))])
            >>> Periodic.of(log).seconds
            {'a': 30.0}
        """
        if log.timestamps is None:
            return cls({})
        events = _events(log)
        events["gap"] = events.groupby(["sequence", "code"])["time"].diff()
        gaps = events.dropna(subset="gap")
        by_type = gaps.groupby("code")["gap"]
        middle = gaps["code"].map(by_type.median())
        regular = (gaps["gap"] - middle).abs() <= _TOLERANCE * middle
        share = regular.groupby(gaps["code"]).mean()
        kept = (by_type.size() >= _LEAST_GAPS) & (share >= _REGULAR_SHARE) & (by_type.median() > 0)
        medians = by_type.median()[kept[kept].index]
        return cls(
            {log.event_types[code]: each for code, each in zip(medians.index.tolist(), medians.tolist(), strict=True)}
        )

    def lines(self) -> list[str]:
        """Which types, and how far apart their events are."""
        if not self.seconds:
            return []
        shown = [f"{name!r} every {duration(each)}" for name, each in list(self.seconds.items())[:4]]
        more = f" and {len(self.seconds) - 4} more" if len(self.seconds) > 4 else ""
        return [
            f"{count(len(self.seconds), 'periodic type')}: {', '.join(shown)}{more}. A clock is near everything: an "
            "edge to or from it is likely chance."
        ]


def _events(log: EventLog) -> pd.DataFrame:
    sequence = np.repeat(np.arange(len(log)), log.sequence_lengths)
    return pd.DataFrame({"sequence": sequence, "code": log.codes, "time": log.timestamps})


def _has_own_clocks(log: EventLog) -> bool:
    """Whether most sequences begin at one moment, so that each counts from its own start."""
    starts = np.append(log.timestamps, np.nan)[log.offsets[:-1]] if log.timestamps is not None else np.zeros(0)
    return len(starts) > 1 and int(np.unique(starts, return_counts=True)[1].max()) > len(starts) / 2
