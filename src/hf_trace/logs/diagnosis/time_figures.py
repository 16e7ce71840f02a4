"""Times of a log: how far they reach, how fine they are, how many are equal, and how they were written."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.logs.diagnosis.findings import Finding, percent
from hf_trace.logs.log import EventLog, count, duration

_STEPS = (86_400.0, 3_600.0, 60.0, 1.0, 1e-3)
_FINE_SHARE = 0.99
_ZONE = re.compile(r"(?:[T\s]\d{1,2}:?\d{2}.*?)(Z|UTC|GMT|[+-]\d{2}:?\d{2})\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+\.?\d*(?:[eE][+-]?\d+)?")
_MANY_TIES = 0.05
_READ = 100_000
Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class TimeFigures(Finding):
    """Times of the events of a log.

    Attributes:
        span_seconds: From the first event to the last.
        resolution_seconds: The coarsest of a day, hour, minute, second and millisecond of which 99 % of the times are
            multiples; 0: none.
        ties: Share of events, but the first of each sequence, at the time of the one before.
        median_gap_seconds: Between an event and the next of its sequence.
        long_gap_seconds: The same, 99 % quantile.
    """

    span_seconds: float
    resolution_seconds: float
    ties: float
    median_gap_seconds: float
    long_gap_seconds: float

    @classmethod
    def of(cls, log: EventLog) -> "TimeFigures | None":
        """Measure them; None where there are no times.

        Example:
            >>> from hf_trace.logs.sequence import EventSequence
            >>> found = TimeFigures.of(EventLog.from_sequences([EventSequence(("a",) * 3, (0.0, 60.0, 60.0))]))
            >>> found.resolution_seconds, found.ties, found.median_gap_seconds
            (60.0, 0.5, 30.0)
        """
        times = log.timestamps
        if times is None:
            return None
        owner = np.repeat(np.arange(len(log)), log.sequence_lengths)
        gaps = np.diff(times)[owner[1:] == owner[:-1]]
        quantiles = np.quantile(gaps, [0.5, 0.99]) if len(gaps) else (0.0, 0.0)
        ties = float(np.mean(gaps == 0)) if len(gaps) else 0.0
        return cls(float(np.ptp(times)), _resolution(times), ties, float(quantiles[0]), float(quantiles[1]))

    def lines(self) -> list[str]:
        """Span and resolution; ties where they are many."""
        fine = f"multiples of {duration(self.resolution_seconds)}" if self.resolution_seconds else "finer than 1 ms"
        gap = f"median gap {duration(self.median_gap_seconds)}" if self.median_gap_seconds else "median gap 0"
        found = [f"{duration(self.span_seconds)} in all, times are {fine}, {gap}, {percent(self.ties)} ties."]
        if self.ties > _MANY_TIES:
            found.append(
                f"{percent(self.ties)} of events are at the time of the one before: which came first is the order of "
                "the log, not of time. `--ties both` (atomic) scores both orders."
            )
        return found


@dataclass(frozen=True)
class WrittenTimes(Finding):
    """How times are written.

    Attributes:
        column: Where.
        example: The first of them.
        unit: As which numbers are read; ``""`` where times are no numbers.
        zones: Rows with each time zone that is written, ``""`` where none is; empty where times are no text of dates.
        out_of_order: Rows before whose time stands a later one of the same sequence.
        rows: Rows in all.
    """

    column: str
    example: str
    unit: str
    zones: dict[str, int]
    out_of_order: int
    rows: int

    @classmethod
    def of(
        cls,
        column: str,
        values: pd.Series,
        cases: Sequence[NDArray[np.int64]],
        seconds: Sequence[Seconds],
        *,
        unit: str = "s",
    ) -> "WrittenTimes":
        """Look at what stands in the file.

        Args:
            column: Name of the column, or of several.
            values: As they are written, in the first file.
            cases: Sequence of each row, file by file.
            seconds: Its time.
            unit: Of times that are numbers.

        Example:
            >>> values = pd.Series(["2024-05-01T07:00:00+02:00", "2024-05-01T05:30:00Z"])
            >>> found = WrittenTimes.of("time", values, [np.array([0, 0])], [np.array([9.0, 4.0])])
            >>> found.zones, found.out_of_order
            ({'+02:00': 1, 'Z': 1}, 1)
        """
        known = values[values.notna()]
        texts = [each for each in known.iloc[:_READ] if isinstance(each, str)]
        found = [_ZONE.search(each) for each in texts]
        zones = Counter(each[1].upper() if each else "" for each in found) if any(found) or _dated(texts) else Counter()
        behind = sum(_out_of_order(*each) for each in zip(cases, seconds, strict=True))
        example = str(known.iloc[0]) if len(known) else ""
        unit = unit if _NUMBER.fullmatch(example.strip()) else ""
        return cls(column, example, unit, dict(zones), behind, sum(map(len, seconds)))

    def lines(self) -> list[str]:
        """How they look, and what is odd."""
        read = f", read as numbers in {self.unit}" if self.unit else ""
        found = [f"written such as {self.example!r} in column {self.column!r}{read}."]
        if len(self.zones) > 1 and "" in self.zones:
            found.append(f"{count(self.zones[''], 'row')} have no time zone and are read as UTC, beside rows that do.")
        elif len(self.zones) > 1:
            found.append(f"{len(self.zones)} time zones: {', '.join(self.zones)}; all are read as moments in UTC.")
        elif list(self.zones) == [""]:
            found.append(
                "No time zone is written: times count as UTC, and an hour may be missing or double in spring "
                "and autumn if they are local."
            )
        if self.out_of_order:
            share = percent(self.out_of_order / max(1, self.rows))
            found.append(
                f"{count(self.out_of_order, 'row')} ({share}) stand after a later one of their sequence: the "
                "log is sorted by time."
            )
        return found


def _dated(texts: Iterable[str]) -> bool:
    return all(re.search(r"\d[-/.]\d", each) and ":" in each for each in texts) and bool(texts)


def _resolution(times: Seconds) -> float:
    for step in _STEPS:
        off = np.abs(times / step - np.round(times / step)) * step
        if np.mean(off <= max(1e-6, 1e-3 * min(step, 1.0))) >= _FINE_SHARE:
            return step
    return 0.0


def _out_of_order(cases: NDArray[np.int64], seconds: Seconds) -> int:
    """Rows of which a row of the same sequence, further up, has a later time."""
    rows = pd.DataFrame({"case": cases, "time": seconds})[cases >= 0].dropna()
    return int((rows["time"] < rows.groupby("case")["time"].cummax()).sum())
