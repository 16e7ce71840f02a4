"""Dates as people and machines write them, read a column at a time; and as the user says that they are written."""

import datetime
import re
import warnings
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from hf_trace.errors import SettingsError, TimestampError, first_line
from hf_trace.logs.calendars import DAY, DateOrder, Witness, YearCount, epoch_days, zone_seconds
from hf_trace.options import EXCEL, TIME_FORMAT

_TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
Place: TypeAlias = Callable[[int], str]
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = (
    r"(?P<name>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*[,.]?\s+)?"
_CLOCK = (
    r"(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,:](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<half>[AP]\.?M\b\.?)?"
)
_ZONE = (
    r"\s*(?P<zone>[A-Z][A-Z_]*(?:/[A-Z_+\-0-9]+)*)?\s*(?P<offset>[+-]\d{1,2}(?::?\d{2})?)?"
    r"\s*(?:\([^)]*\)?|\[[^\]]*\]?)?"
)
_DATES = (
    r"(?P<y>\d{4})[\s/.\-](?P<m>\d{1,2})[\s/.\-](?P<d>\d{1,2})",
    r"(?P<a>\d{1,2})[/.\-](?P<b>\d{1,2})[/.\-](?P<c>\d{4}|\d{2})",
    rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[\s/.\-]*{_NAME}[\s/.,'\-]*(?P<y>\d{{4}}|\d{{2}})",
    rf"{_NAME}[\s/\-]*(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[,\s/\-]+(?P<y>\d{{4}})",
    rf"(?P<y>\d{{4}})[\s/.\-]?{_NAME}[\s/.\-]?(?P<d>\d{{1,2}})",
    rf"{_NAME}\s*(?P<d>\d{{1,2}})",
    rf"(?P<d>\d{{1,2}})[\s/.\-]*{_NAME}",
    r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
    r"(?P<a>\d{1,2})[/.\-](?P<b>\d{1,2})",
)
_SHAPES = (
    *(
        f"(?i)^{shape}$"
        for date in _DATES
        for shape in (
            rf"{_WEEKDAY}{date}(?:[\s,_T\-]+{_CLOCK}{_ZONE}(?:\s+(?P<late>\d{{4}}))?)?",
            rf"{_CLOCK}{_ZONE}[\s,]+{_WEEKDAY}{date}",
        )
    ),
    r"(?i)^(?P<y>\d{4}|\d{2})(?P<m>\d{2})(?P<d>\d{2})[\sT_\-]*(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})"
    rf"(?:[.,](?P<fraction>\d{{1,9}}))?{_ZONE}$",
)
_TRIED = 100
_EXCEL_EPOCH = 25_569  # 1970-01-01, where 1899-12-30 is day 0
_DIRECTIVES = re.compile(r"%([a-zA-Z])")
_ZONE_NAME = r"\s*(?P<zone>[A-Za-z][A-Za-z_]*(?:/[A-Za-z_+\-0-9]+)*)$"
_NUMBERED = r"^\D{0,12}\d{1,2}[/.\-]\d{1,2}[/.\-]\d"
_COMMA = r"(:\d{2}),(\d)"
_APACHE = r"^([^:]*\d{4}):(\d{1,2}:\d{2})"
_ZONED = r":\d.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$"


def read_dates(texts: pa.Array, order: DateOrder, years: YearCount, place: Place) -> NDArray[np.float64]:
    """Turn dates into seconds since 1970; without a time zone they are UTC.

    Args:
        texts: The dates, of type ``large_string``, without missing ones.
        order: What is known of the order of day and month; learns from these.
        years: What is known of dates without a year; learns from these.
        place: Where the date of an index stands, for errors.

    Returns:
        Seconds; NaN where a text is no date.

    Raises:
        TimestampError: If two dates cannot be read in one order, or a time zone is not known.

    Example:
        >>> texts = pa.array(["10/Oct/2000:13:55:36 -0700", "2000-10-10 20:55:36,5"], pa.large_string())
        >>> read_dates(texts, DateOrder(), YearCount(), str).tolist()
        [971211336.0, 971211336.5]
    """
    texts = pc.utf8_trim(pc.utf8_trim_whitespace(texts), characters="[]\"'")
    texts = pc.replace_substring_regex(texts, "\u202f|\u00a0", " ")
    seconds = _iso_seconds(texts)
    texts = pc.replace_substring_regex(texts, _APACHE, r"\1 \2")
    for shape in (*_usual(texts, seconds), *_SHAPES):
        left = np.flatnonzero(np.isnan(seconds))
        if not len(left):
            return seconds
        found = pc.extract_regex(texts.take(pa.array(left)), shape)
        matched = left[found.is_valid().to_numpy(zero_copy_only=False)]
        if len(matched):
            shaped = _Shaped(found.drop_null(), texts.take(pa.array(matched)), matched, place)
            seconds[matched] = shaped.seconds(order, years)
    return _guessed(texts, seconds)


def _usual(texts: pa.Array, seconds: NDArray[np.float64]) -> list[str]:
    """The shapes of the first dates that are left: most have them too, and trying all takes long."""
    some = texts.take(pa.array(np.flatnonzero(np.isnan(seconds))[:_TRIED]))
    usual = []
    for shape in _SHAPES:
        fits = pc.match_substring_regex(some, shape)
        if pc.any(fits).as_py():
            usual.append(shape)
            some = some.filter(pc.invert(fits))
    return usual


def _iso_seconds(texts: pa.Array) -> NDArray[np.float64]:
    texts = pc.replace_substring_regex(texts, _COMMA, r"\1.\2")
    zoned = pc.match_substring_regex(texts, _ZONED).to_numpy(zero_copy_only=False)
    dated = pc.match_substring_regex(texts, r"^\d{4}").to_numpy(zero_copy_only=False)
    seconds = np.full(len(texts), np.nan)
    # Apart, because pandas 2 gives a date without a zone the zone of the date before it.
    for same in (dated & zoned, dated & ~zoned):
        if same.any():
            some = texts if same.all() else texts.filter(pa.array(same))
            dates = pd.to_datetime(some.to_pandas(), utc=True, errors="coerce", format="ISO8601")
            seconds[same] = epoch_seconds(dates)
    return seconds


def _guessed(texts: pa.Array, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """What pandas makes of spellings that are not in the grammar and have no order of day and month."""
    odd = np.isnan(seconds) & ~pc.match_substring_regex(texts, _NUMBERED).to_numpy(zero_copy_only=False)
    if not odd.any():
        return seconds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # Without a common format pandas would read value by value, and complete parts from today's date.
        warnings.filterwarnings("error", "Could not infer format")
        try:
            dates = pd.to_datetime(texts.filter(pa.array(odd)).to_pandas(), utc=True, errors="coerce")
        except UserWarning:
            return seconds
    seconds[odd] = epoch_seconds(dates)
    return seconds


def epoch_seconds(dates: pd.Series) -> NDArray[np.float64]:
    """Seconds since 1970 of a column of dates, NaN where missing; those without a time zone are UTC."""
    naive = dates.dt.tz_convert(None) if dates.dt.tz is not None else dates
    moments = naive.to_numpy()
    seconds = _seconds_of_ticks(moments.astype(np.int64), np.datetime_data(moments.dtype)[0])
    return np.where(np.isnat(moments), np.nan, seconds)


def _seconds_of_ticks(ticks: NDArray[np.int64], unit: str) -> NDArray[np.float64]:
    per_second = _TICKS_PER_SECOND[unit]
    # Whole seconds and the rest apart: nanoseconds since 1970 do not fit a float64.
    return ticks // per_second + (ticks % per_second) / per_second


class _Shaped:
    """Dates of one shape, by their parts."""

    def __init__(self, found: pa.StructArray, texts: pa.Array, rows: NDArray[np.int64], place: Place) -> None:
        self.found, self.texts, self.rows, self._place = found, texts, rows, place
        self.names = [found.type.field(index).name for index in range(found.type.num_fields)]

    def seconds(self, order: DateOrder, years: YearCount) -> NDArray[np.float64]:
        clock, clocked = self._clock()
        year, month, day = self._date(order)
        has_year = year >= 0
        if not has_year.all():
            # A text without a year and without a clock, such as `May 5` or `10.30`, is hardly a moment.
            year = np.where(has_year | ~clocked, year, years.years(month, day))
        local = epoch_days(year, month, day) * DAY + clock
        return local - self._ahead(local)

    def _date(self, order: DateOrder) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        if "a" in self.names:
            parts = {"a": self._number("a"), "b": self._number("b"), "c": self._number("c", missing=0)}
            table = np.stack(list(parts.values()), axis=1)
            order.observe(table, self._witness)
            current = order.use() if "c" in self.names else order.use().replace("y", "") + "y"
            by_name = dict(zip(current, table.T, strict=True))
            year = by_name["y"] if "c" in self.names else self._number("late")
            return _full_year(year), by_name["m"], by_name["d"]
        year = self._number("y") if "y" in self.names else self._number("late")
        month = self._month() if "name" in self.names else self._number("m")
        return _full_year(year), month, self._number("d")

    def _clock(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        hour, minute, second = (self._number(name) for name in ("hour", "minute", "second"))
        half = pc.utf8_slice_codeunits(pc.utf8_lower(self._text("half")), 0, 1)
        afternoon, twelve = _is(half, "p"), _is(half, "p") | _is(half, "a")
        fraction = pc.cast(pc.utf8_replace_slice(self._text("fraction"), 0, 0, "0."), pa.float64()).to_numpy()
        good = (hour <= np.where(twelve, 12, 24)) & (minute <= 59) & (second <= 60) & ((hour > 0) | ~twelve)
        good &= (minute >= 0) | (hour < 0) | twelve
        hour = np.where(twelve, hour % 12 + 12 * afternoon, hour)
        seconds = np.maximum(hour, 0) * 3600 + np.maximum(minute, 0) * 60 + np.maximum(second, 0) + fraction
        good &= seconds <= DAY
        return np.where(good, seconds, np.nan), hour >= 0

    def _ahead(self, local: NDArray[np.float64]) -> NDArray[np.float64]:
        offset = self._text("offset")
        digits = pc.replace_substring(pc.utf8_slice_codeunits(offset, 1, 6), ":", "")
        number = _integers(digits, 0)
        short = pc.less_equal(pc.utf8_length(digits), 2).to_numpy(zero_copy_only=False)
        seconds = np.where(short, number * 3600, number // 100 * 3600 + number % 100 * 60)
        seconds = np.where(pc.starts_with(offset, "-").to_numpy(zero_copy_only=False), -seconds, seconds)
        given = ~_is(offset, "")
        names = np.asarray(pc.utf8_lower(self._text("zone")).to_pandas(), dtype=object)
        names[given] = ""
        ahead, unknown = zone_seconds(names, local)
        if unknown:
            shown = self._witness(int(np.argmax(names == unknown[0])))
            raise TimestampError(
                f"{shown.text!r} in {shown.place} is in the time zone {unknown[0].upper()!r}, which "
                "is not known or stands for several; expected UTC, a usual name such as EST or CEST, a place such as "
                "Europe/Berlin, or an offset such as +02:00. Write one of them."
            )
        return np.where(given, seconds, ahead)

    def _witness(self, index: int) -> Witness:
        return Witness(self.texts[index].as_py(), self._place(int(self.rows[index])))

    def _month(self) -> NDArray[np.int64]:
        short = pc.utf8_slice_codeunits(pc.utf8_lower(self._text("name")), 0, 3)
        codes: NDArray[np.int64] = pc.index_in(short, pa.array(_MONTHS, short.type)).to_numpy().astype(np.int64) + 1
        return codes

    def _number(self, name: str, missing: int = -1) -> NDArray[np.int64]:
        return _integers(self._text(name), missing)

    def _text(self, name: str) -> pa.Array:
        if name in self.names:
            return self.found.field(name)
        return pa.array([""], pa.large_string()).take(pa.array(np.zeros(len(self.texts), dtype=np.int64)))


def _is(texts: pa.Array, text: str) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = pc.equal(texts, text).to_numpy(zero_copy_only=False)
    return same


def _integers(digits: pa.Array, missing: int) -> NDArray[np.int64]:
    numbers = pc.cast(pc.if_else(pc.equal(digits, ""), pa.scalar(str(missing), digits.type), digits), pa.int64())
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.int64)


def _full_year(year: NDArray[np.int64]) -> NDArray[np.int64]:
    """Two digits as POSIX reads them: 69 to 99 are of the last century."""
    return np.where((year >= 0) & (year < 100), year + np.where(year < 69, 2000, 1900), year)


class TimeFormat:
    """A format that the user has said.

    Args:
        text: As the user wrote it.

    Raises:
        SettingsError: If it is none.

    Example:
        >>> TimeFormat("%d/%m/%Y").order, TimeFormat("%d/%m/%Y %H:%M").order, TimeFormat("%b %d %H:%M:%S").yearless
        ('dmy', None, True)
    """

    def __init__(self, text: str) -> None:
        self.text = TIME_FORMAT.checked(text)
        directives = _DIRECTIVES.findall(text.replace("%%", ""))
        self.is_excel = text == EXCEL
        self.dateless = not self.is_excel and not set(directives) & set("dmbBjyYGcxUWVuwaA")
        self.yearless = not self.is_excel and not self.dateless and not set(directives) & set("yYGcx")
        # A date alone says the order of day, month and year; clocks and zones after it are read as always.
        letters = "".join(directives).lower()
        self.order = letters if letters in ("dmy", "mdy", "ymd") else None
        self._refuse_unreadable()

    def _refuse_unreadable(self) -> None:
        if self.is_excel:
            return
        try:
            pd.to_datetime(["2024"], format=f"%Y {self.text}" if self.yearless else self.text, errors="coerce")
        except (ValueError, NotImplementedError) as error:
            raise SettingsError(
                f"time_format is {self.text!r}, which cannot be read: {first_line(error)}. Name the parts of a date by "
                "%Y, %m and %d, those of a clock by %H, %M and %S."
            ) from None

    @property
    def width(self) -> int:
        """How many characters a time has."""
        return 0 if self.is_excel else len(datetime.datetime(2024, 12, 31, 23, 59, 59).strftime(self.text))

    @property
    def expected(self) -> str:
        """What a time should be, for errors."""
        return "days since 1899-12-30" if self.is_excel else f"times as `--time-format {self.text!r}` says"

    def read(self, texts: pa.Array, years: YearCount) -> NDArray[np.float64]:
        """Turn times into seconds since 1970 (since midnight, without a date); NaN where they have another format.

        Args:
            texts: The times, of type ``large_string``.
            years: What is known of dates without a year; learns from these.
        """
        if self.is_excel:
            days = pd.to_numeric(texts.to_pandas(), errors="coerce").to_numpy(dtype=np.float64)
            seconds = np.where(np.abs(days) < 1e7, (days - _EXCEL_EPOCH) * DAY, np.nan)
            return np.where(np.isfinite(seconds), np.round(seconds, 3), np.nan)
        text, zones = self.text, None
        if text.endswith("%Z"):
            zones = pc.struct_field(pc.extract_regex(texts, _ZONE_NAME), "zone").to_pandas()
            texts, text = pc.replace_substring_regex(texts, _ZONE_NAME, ""), text[:-2].rstrip()
        if self.yearless:
            texts, text = pc.utf8_replace_slice(texts, 0, 0, "2000 "), f"%Y {text}"
        dates = pd.to_datetime(texts.to_pandas(), format=text, utc=True, errors="coerce")
        seconds = epoch_seconds(dates)
        known = ~np.isnan(seconds)
        if self.dateless:
            seconds = seconds - epoch_days(np.array([1900]), np.array([1]), np.array([1])) * DAY
        if self.yearless and known.any():
            month, day = (getattr(dates[known].dt, part).to_numpy(dtype=np.int64) for part in ("month", "day"))
            seconds[known] = seconds[known] % DAY + epoch_days(years.years(month, day), month, day) * DAY
        if zones is not None:
            names = zones.fillna("").str.lower().to_numpy(dtype=object)
            seconds = seconds - zone_seconds(names, seconds)[0]
        return seconds
