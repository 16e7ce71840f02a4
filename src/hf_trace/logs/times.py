"""Times of a log as seconds: numbers, dates, clock times, durations, all parts of a log by one reading."""

import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from hf_trace.errors import TimestampError, preview
from hf_trace.logs.calendars import DAY, DateOrder, YearCount, epoch_days
from hf_trace.logs.dates import TimeFormat, epoch_seconds, read_dates
from hf_trace.options import EXCEL

logger = logging.getLogger(__name__)

SECONDS_PER_UNIT: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_MISSING = pa.array(["", "nan", "nat", "null", "none", "na", "n/a", "<na>"], pa.large_string())
_CLOCK = r"(?i)^(?P<hour>\d{1,4})(?::(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,]\d+)?))?)?\s*(?P<half>[AP]\.?M\.?)?$"
_NUMBER = r"^-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_DURATION = re.compile(r"[+-]?\d+ days?\b|[+-]?P[\dT]", re.IGNORECASE)
# Beyond, differences of times are no numbers any more; nanoseconds since 1970 are within.
_MOST_SECONDS = 1e19
_DATED = "a date such as 2024-05-01T12:00:00Z"
# Seconds since 1970 at the start of 1990 and of 2100: what is taken for a moment of our time.
_OUR_TIME = (631_152_000.0, 4_102_444_800.0)
_EXCEL_DAYS = (32_874.0, 55_153.0)  # 1990 to 2050


class TimeReader:
    """Reads the times of one log, part after part, by one decision on day and month, and on years that are not written.

    Args:
        unit: Unit of numbers: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
        time_format: Format of the times, as the user says it.
        in_parts: Whether what was read cannot be read again: a decision that turns out wrong is then an error.

    Example:
        >>> reader = TimeReader()
        >>> reader.read(pd.Series(["03/02/1970"])).tolist(), reader.revised
        ([5184000.0], False)
        >>> reader.read(pd.Series(["13/02/1970"])).tolist(), reader.revised
        ([3715200.0], True)
    """

    def __init__(self, unit: str = "s", time_format: str | None = None, *, in_parts: bool = False) -> None:
        self.part = ""  # what to call the part that is read, in errors
        self.revised = False
        self._unit = unit
        self._format = None if time_format is None else TimeFormat(time_format)
        self._in_parts = in_parts
        self._order = DateOrder(None if self._format is None else self._format.order, sticky=in_parts)
        self._used: str | None = None
        self._years = YearCount()
        self._notes: dict[str, str] = {}
        self._told: set[str] = set()
        self._column = ""
        self._kind: tuple[str, str] | None = None

    def again(self) -> None:
        """Begin with the first part once more, with what is known by now."""
        self.revised, self._used = False, None
        self._years = self._years.again()

    def tell(self) -> None:
        """Log what the user should know of how times were read, each thing once."""
        if (note := self._order.note()) is not None:
            self._notes["order"] = f"Column {self._column!r}: {note}"
        for key, note in self._notes.items():
            if key not in self._told:
                logger.warning("%s", note)
        self._told.update(self._notes)

    def leave_out(self, columns: Sequence[str]) -> None:
        """Note that no column is read as time, though some look as if they could be."""
        if columns and "unread" not in self._notes:
            self._notes["unread"] = (
                f"No column is read as time, but {preview(columns)} may be one; the order of the rows counts. If it "
                "is, name it with `--time-column` (in Python `time_column=`)."
            )

    def read(self, values: pd.Series, *, noun: str = "row") -> NDArray[np.float64]:
        """Turn times into seconds.

        Args:
            values: Numbers, dates, periods, durations or their texts; the index says the row number shown in errors.
            noun: What the index counts, for errors.

        Returns:
            Seconds, exact to the microsecond for dates of our time; NaN where the time is missing. Dates count from
            1970-01-01 UTC; a date without a time zone is read as UTC, a clock time without a date counts from midnight.

        Raises:
            TimestampError: If a value is none of these, or dates contradict each other.
        """
        self._column = str(values.name)
        values = _plain(values)
        if pd.api.types.is_datetime64_any_dtype(values.dtype):
            return epoch_seconds(values)
        if pd.api.types.is_timedelta64_dtype(values.dtype):
            return np.asarray(values.dt.total_seconds(), dtype=np.float64)
        typed = pd.api.types.is_numeric_dtype(values.dtype)
        column = _Column(values, _texts(values) if not typed or self._format is not None else None, noun, self.part)
        seconds = np.full(len(values), np.nan)
        known = ~column.missing()
        if known.any():
            seconds[known] = self._known(column.where(known))
        return seconds

    def _known(self, column: "_Column") -> NDArray[np.float64]:
        if self._format is not None:
            return self._formatted(column, self._format)
        numbers, numeric = column.numbers()
        if numeric.all():
            seconds = numbers * SECONDS_PER_UNIT[self._unit]
            column.refuse(np.abs(seconds) > _MOST_SECONDS, f"seconds within ±{_MOST_SECONDS:g}")
            self._suspect(numbers, seconds)
            return seconds
        if column.typed or numeric.mean() > 0.5:
            column.refuse(~numeric, "seconds")
        if (lengths := column.durations()) is not None:
            seconds, kind = lengths, "durations"
        elif (clock := column.clock()) is not None:
            seconds, kind = clock, "clock times without a date"
            self._midnight(seconds)
        else:
            seconds, kind = self._dates(column), "dates"
        self._alike(kind, column)
        column.refuse(np.isnan(seconds), f"seconds or {_DATED}")
        return seconds

    def _alike(self, kind: str, column: "_Column") -> None:
        """Refuse dates in one part and times without a date in another."""
        first_kind, first = self._kind or (kind, "")
        if first_kind != kind:
            raise TimestampError(
                f"Column {self._column!r} holds {kind} from {column.witness(0)} on, but {first_kind} in {first}; "
                "expected one kind in the whole log. Read them apart, or complete them."
            )
        self._kind = (kind, first or column.witness(0))

    def _formatted(self, column: "_Column", time_format: TimeFormat) -> NDArray[np.float64]:
        texts = column.padded(time_format.width) if column.typed else column.texts
        seconds = time_format.read(texts, self._years)
        left = np.isnan(seconds)
        if left.any() and time_format.order is not None and not column.typed:
            seconds[left] = self._dates(column.where(left))
        column.refuse(np.isnan(seconds), time_format.expected)
        if time_format.yearless:
            self._note_years()
        return seconds

    def _dates(self, column: "_Column") -> NDArray[np.float64]:
        try:
            return self._settled(column)
        except TimestampError as error:
            raise TimestampError(f"Column {self._column!r}: {error}") from None

    def _settled(self, column: "_Column") -> NDArray[np.float64]:
        earlier = self._years
        for _ in range(3):  # what the last rows say may change how the first ones are read
            self._years = self._years.again(earlier)
            self._order.used.clear()
            seconds = read_dates(column.texts, self._order, self._years, column.place)
            if self._order.used <= {self._order.current} and not self._years.moved:
                break
            self.revised |= self._years.moved and earlier.started and not self._in_parts
        if self._years.started:
            self._note_years()
        if self._order.example is not None:
            current = self._order.settle()
            if self._used not in (None, current):
                if self._in_parts:
                    raise TimestampError(self._order.revision(str(self._used)))
                self.revised = True
            self._used = current
        return seconds

    def _note_years(self) -> None:
        self._notes["years"] = (
            f"Column {self._column!r}: dates have no year; years are counted from {self._years.first} in the order of "
            "the rows, and rise after December. Rows in another order need dates with a year."
        )

    def _midnight(self, seconds: NDArray[np.float64]) -> None:
        falls = int(np.sum(np.diff(seconds[~np.isnan(seconds)]) < -DAY / 2))
        if falls and np.nanmax(seconds) <= DAY:
            self._notes["midnight"] = (
                f"Column {self._column!r}: clock times without a date count as one day, but fall by more than 12 hours "
                f"in {falls:,} of {len(seconds):,} rows. If they pass midnight, name the column of the date too, as in "
                "`--time-column date,time`."
            )

    def _suspect(self, numbers: NDArray[np.float64], seconds: NDArray[np.float64]) -> None:
        """Warn of numbers that look like dates."""
        if not self._notes.get("numbers") and (found := _looks_like(numbers, seconds, self._unit)):
            looks, advice = found
            self._notes["numbers"] = (
                f"Column {self._column!r}: times such as {numbers[0]:.15g} are read as numbers in {self._unit}, but "
                f"look like {looks}. If they are, pass {advice}."
            )


def parse_seconds(
    values: pd.Series, *, unit: str = "s", time_format: str | None = None, noun: str = "row"
) -> NDArray[np.float64]:
    """Turn one column of times into seconds; see `TimeReader.read`.

    Args:
        values: Numbers, dates, periods, durations or their texts.
        unit: Unit of numbers.
        time_format: Format of the times, as the user says it.
        noun: What the index counts, for errors.

    Raises:
        TimestampError: If a value is none of these, or dates contradict each other.

    Example:
        >>> parse_seconds(pd.Series(["1970-01-01T00:00:01.500Z", ""])).tolist()
        [1.5, nan]
    """
    reader = TimeReader(unit, time_format)
    seconds = reader.read(values, noun=noun)
    reader.tell()
    return seconds


def _looks_like(numbers: NDArray[np.float64], seconds: NDArray[np.float64], unit: str) -> tuple[str, str] | None:
    """What numbers are likely to be instead of what they are read as, and how to say so."""
    for finer, factor in (("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        scaled = seconds * factor / SECONDS_PER_UNIT[unit] if unit == "s" else numbers * factor
        if SECONDS_PER_UNIT[finer] < SECONDS_PER_UNIT[unit] and _mostly_within(scaled, _OUR_TIME):
            return f"{finer} since 1970", f"`--time-unit {finer}` (in Python `time_unit=`)"
    if unit != "s":
        return None
    for width, spelling in ((8, "%Y%m%d"), (12, "%Y%m%d%H%M"), (14, "%Y%m%d%H%M%S")):
        if _are_dates(numbers, width):
            return f"dates written {spelling}", f'`--time-format "{spelling}"` (in Python `time_format=`)'
    if _mostly_within(numbers, _EXCEL_DAYS):
        return "days as spreadsheets count them", f"`--time-format {EXCEL}` (in Python `time_format=`)"
    return None


def _mostly_within(numbers: NDArray[np.float64], bounds: tuple[float, float]) -> bool:
    return bool(np.mean((numbers >= bounds[0]) & (numbers < bounds[1])) > 0.9)


def _are_dates(numbers: NDArray[np.float64], width: int) -> bool:
    days = numbers // 10 ** (width - 8)
    if not ((numbers % 1 == 0) & (days >= 1900_00_00) & (days < 2100_00_00)).all():
        return False
    whole = days.astype(np.int64)
    return bool(np.isfinite(epoch_days(whole // 10_000, whole // 100 % 100, whole % 100)).all())


def _plain(values: pd.Series) -> pd.Series:
    """Columns of Arrow, categories, periods and Python objects as the types of numpy where there is one."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _plain(values.astype(dtype.categories.dtype))
    if isinstance(dtype, pd.ArrowDtype):
        return _plain(_of_arrow(values, dtype.pyarrow_dtype))
    if pd.api.types.is_complex_dtype(dtype):
        return values.astype(object)
    if isinstance(dtype, pd.PeriodDtype):
        return pd.Series(values.dt.to_timestamp())
    if pd.api.types.is_object_dtype(dtype):
        kind = pd.api.types.infer_dtype(values, skipna=True)
        if kind == "period":
            stamps = [value.start_time if isinstance(value, pd.Period) else pd.NaT for value in values]
            return pd.Series(stamps, index=values.index, name=values.name)
        if kind.startswith("timedelta"):
            return pd.to_timedelta(values)
    return values


def _of_arrow(values: pd.Series, kind: pa.DataType) -> pd.Series:
    column = pa.chunked_array(pa.array(values.array))
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    return pd.Series(column.to_pandas().array, index=values.index, name=values.name)


def _texts(values: pd.Series) -> pa.Array:
    try:
        found = pa.array(values.astype(object).astype(str), pa.large_string())
    except UnicodeError:  # half of a surrogate pair, or bytes that are no text, are no time
        found = pa.array([str(value).encode("utf-8", "replace").decode() for value in values], pa.large_string())
    return pc.utf8_trim_whitespace(found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found)


class _Column:
    """Times that are neither missing nor typed, with what is needed to say where each stands."""

    def __init__(self, values: pd.Series, texts: pa.Array | None, noun: str, part: str) -> None:
        self.values, self.noun, self.part = values, noun, part
        self.texts: Any = texts  # None for numbers, unless a format reads them
        self.typed = pd.api.types.is_numeric_dtype(values.dtype)

    def missing(self) -> NDArray[np.bool_]:
        missing = self.values.isna().to_numpy(dtype=bool)
        if self.typed:
            return missing
        words = pc.is_in(pc.utf8_lower(self.texts), _MISSING).to_numpy(zero_copy_only=False)
        return np.asarray(missing | words, dtype=bool)

    def where(self, kept: NDArray[np.bool_]) -> "_Column":
        if kept.all():
            return self
        texts = None if self.texts is None else self.texts.filter(pa.array(kept))
        return _Column(self.values[kept], texts, self.noun, self.part)

    def place(self, row: int) -> str:
        return self._row(row) + (f" of {self.part}" if self.part else "")

    def witness(self, row: int) -> str:
        return f"{self.values.iloc[row]!r} in {self.place(row)}"

    def _row(self, row: int) -> str:
        return f"{self.noun} {self.values.index[row]}"

    def refuse(self, failed: NDArray[np.bool_], expected: str) -> None:
        if not failed.any():
            return
        first = int(np.argmax(failed))
        value = self.values.iloc[first]
        shown = str(value) if isinstance(value, float) else repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        raise TimestampError(
            f"Column {str(self.values.name)!r} has {int(failed.sum()):,} of {len(self.values):,} times that cannot be "
            f"read, the first is {shown} in {self._row(first)}; expected {expected}. Correct them, or name another "
            "column with `--time-column` (in Python `time_column=`)."
        )

    def numbers(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The times as numbers, and where they are some."""
        if self.typed:
            numbers = self.values.to_numpy(dtype=np.float64)
            return numbers, np.isfinite(numbers)
        digits = pc.replace_substring_regex(self.texts, r"^\+", "")
        numeric = pc.match_substring_regex(digits, _NUMBER).to_numpy(zero_copy_only=False)
        numbers = np.full(len(numeric), np.nan)
        numbers[numeric] = pc.cast(digits.filter(pa.array(numeric)), pa.float64()).to_numpy()
        return numbers, np.isfinite(numbers)

    def padded(self, width: int) -> pa.Array:
        """Numbers as the digits that they are short for."""
        numbers = self.values.to_numpy(dtype=np.float64)
        whole = bool((np.abs(numbers) < 2**62).all()) and bool((numbers % 1 == 0).all())
        texts = pa.array(numbers.astype(np.int64)).cast(pa.large_string()) if whole else self.texts
        return pc.utf8_lpad(texts, width, "0")

    def durations(self) -> NDArray[np.float64] | None:
        """Seconds of texts such as ``1 days 02:00:00`` and ``PT2H``; None where they are none."""
        if not _DURATION.match(self.texts[0].as_py()):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some letters of units are on their way out
            lengths = pd.Series(pd.to_timedelta(self.texts.to_pandas(), errors="coerce"))  # type: ignore[call-overload]
        return np.asarray(lengths.dt.total_seconds(), dtype=np.float64)

    def clock(self) -> NDArray[np.float64] | None:
        """Seconds since midnight of clock times without a date; None where they are none."""
        if not re.match(_CLOCK, self.texts[0].as_py()):
            return None
        found = pc.extract_regex(self.texts, _CLOCK)
        if found.null_count:
            return None
        hour, minute, second, half = (found.field(name) for name in ("hour", "minute", "second", "half"))
        half = pc.utf8_slice_codeunits(pc.utf8_lower(half), 0, 1)
        hours, minutes, seconds = (_floats(part) for part in (hour, minute, second))
        twelve = ~pc.equal(half, "").to_numpy(zero_copy_only=False)
        afternoon = pc.equal(half, "p").to_numpy(zero_copy_only=False)
        good = np.where(twelve, (hours >= 1) & (hours <= 12), pc.not_equal(minute, "").to_numpy(zero_copy_only=False))
        hours = np.where(twelve, hours % 12 + 12 * afternoon, hours)
        good = good & (minutes < 60) & (seconds < 61)
        return np.where(good, hours * 3600 + minutes * 60 + seconds, np.nan)


def _floats(texts: pa.Array) -> NDArray[np.float64]:
    filled = pc.if_else(pc.equal(texts, ""), pa.scalar("0", texts.type), pc.replace_substring(texts, ",", "."))
    return np.asarray(pc.cast(filled, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
