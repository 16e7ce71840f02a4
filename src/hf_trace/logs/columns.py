"""Which columns of a table hold the case, the event and the time, and how times become seconds."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import near, one_of
from hf_trace.errors import ColumnError, TimestampError, preview

# In order of preference; compared in lower case, without spaces, dots, hyphens and underscores.
CASE_SPELLINGS = (
    *("case:concept:name", "case", "case_id", "case_name", "case_key", "trace_id", "trace", "sequence_id"),
    *("seq_id", "sequence", "session_id", "session", "block_id", "block", "device_id", "device"),
    *("machine_id", "machine", "vehicle_id", "vehicle", "host_id", "host_name", "host", "run_id", "run"),
    *("episode_id", "episode", "patient_id", "patient", "user_id", "user", "customer_id", "customer"),
    *("case concept:name", "case concept name"),
)
EVENT_SPELLINGS = (
    *("concept:name", "activity", "activity_name", "event", "event_type", "event_name", "event_id"),
    *("alarm_id", "alarm", "alarm_type", "alarm_name", "event_code", "error_code", "action", "state", "label"),
    *("event concept:name", "event concept name", "concept name", "activity_en", "activity_id", "task", "task_name"),
)
TIME_SPELLINGS = (
    *("time:timestamp", "timestamp", "start_timestamp", "event_time", "event_timestamp", "start_time"),
    *("time_s", "date_time", "time", "start_date", "date", "ts"),
    *("event time:timestamp", "event time timestamp", "time timestamp", "complete_timestamp", "complete_time"),
    *("completion_timestamp", "completion_time", "completed_at", "end_timestamp", "end_time"),
    *("end_date", "finish_timestamp", "finish_time", "finished_at", "timestamp (utc)", "occurred_at", "created_at"),
)
SECONDS_PER_UNIT = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_MISSING_TIMES = ("", "nan", "nat", "null", "none", "na", "n/a")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?")
_ZONE = re.compile(r":\d.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)\s*$")
# From here on not every whole number is a float of that size.
_EXACT_BELOW = {"float16": 2.0**11, "float32": 2.0**24, "float64": 2.0**53}
_TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Tried in order until one reads every value: exact formats, among them two of machine logs, before guesses.
_DATE_FORMATS: tuple[Mapping[str, Any], ...] = (
    {"format": "ISO8601"},
    {"format": "%Y-%m-%d-%H.%M.%S.%f"},
    {"format": "%y%m%d %H%M%S"},
    {},
    {"dayfirst": True},
)


@dataclass(frozen=True)
class ColumnChoice:
    """What the user said about the columns of a log; None means "recognise it".

    Attributes:
        case: Column that names the sequence of each row.
        event: Column that names the event; several columns are joined into one name.
        time: Column with the time; several columns (a date and a clock) are read as one text.
        join: Text between the values of several event columns.
        time_unit: Unit of numeric times: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
        time_required: Whether a log without times is an error.
        outcome: Column with a label of the whole sequence, written as one more event at its end.
        contexts: Columns with what is known of the whole sequence, such as a site.
    """

    case: str | None = None
    event: str | Sequence[str] | None = None
    time: str | Sequence[str] | None = None
    join: str = "="
    time_unit: str = "s"
    time_required: bool = False
    outcome: str | None = None
    contexts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        one_of("time_unit", self.time_unit, SECONDS_PER_UNIT)


@dataclass(frozen=True)
class LogColumns:
    """The columns that were found; ``case`` None and ``time`` empty mean "there is none"."""

    case: str | None
    event: tuple[str, ...]
    time: tuple[str, ...]


def find_columns(names: Sequence[str], choice: ColumnChoice) -> LogColumns:
    """Take the columns the user named and recognise the others by their usual spellings.

    Args:
        names: All columns of the table.
        choice: What the user said.

    Returns:
        The columns to read. A column named for one role is never recognised for another.

    Raises:
        ColumnError: If a named column is absent, or no event column is recognised.
        TimestampError: If times are required and no time column is recognised.

    Example:
        >>> find_columns(["Case ID", "Activity", "Complete", "Date"], ColumnChoice())
        LogColumns(case='Case ID', event=('Activity',), time=('Date',))
    """
    case = _named(names, choice.case, "case_column")
    event = _named(names, choice.event, "event_column")
    time = _named(names, choice.time, "time_column")
    outcome = _named(names, choice.outcome, "outcome_column")
    contexts = {column for name in choice.contexts for column in _named(names, (name,), "context_column")}
    free = [name for name in names if name not in {*case, *event, *time, *outcome, *contexts}]

    case = case or _recognised(free, CASE_SPELLINGS)
    event = event or _recognised(free, EVENT_SPELLINGS)
    time = time or _recognised_time(free)
    if not event:
        raise ColumnError(
            f"Found the {_columns_text(names)}, but none has a usual name of an event column such as 'activity', "
            "'event' or 'concept:name'. Pass `--event-column NAME` (in Python `event_column=`)."
        )
    if choice.time_required and not time:
        raise TimestampError(
            f"Found the {_columns_text(names)}, but none has a usual name of a time column such as 'timestamp' "
            "or 'time:timestamp', and times are needed. Pass `--time-column NAME` (in Python `time_column=`)."
        )
    return LogColumns(case[0] if case else None, event, time)


def _named(names: Sequence[str], wanted: str | Sequence[str] | None, option: str) -> tuple[str, ...]:
    if wanted is None:
        return ()
    parts = tuple(wanted.split(",")) if isinstance(wanted, str) and wanted not in names else wanted
    columns = (parts,) if isinstance(parts, str) else tuple(parts)
    for column in columns:
        if column not in names:
            hint = near(column, names) or " Name one of them."
            raise ColumnError(f"`{option}={column!r}` is not one of the {_columns_text(names)}.{hint}")
    return columns


def _normalised(name: str) -> str:
    return re.sub(r"[\s._-]", "", name).lower()


def _recognised(names: Sequence[str], spellings: Sequence[str]) -> tuple[str, ...]:
    by_spelling = {_normalised(name): name for name in reversed(names)}
    found = (by_spelling.get(_normalised(spelling)) for spelling in spellings)
    return tuple(name for name in found if name is not None)[:1]


def recognise_case(names: Sequence[str]) -> str | None:
    """Find the column with a usual name of a case column, or None.

    Example:
        >>> recognise_case(["BlockId", "EventId"])
        'BlockId'
    """
    return next(iter(_recognised(names, CASE_SPELLINGS)), None)


def levels_to_read(levels: Sequence[str], columns: Sequence[str], choice: ColumnChoice) -> list[str]:
    """The levels of an index that are read as columns.

    Left out are those of the name of a column, and those that are recognised in a role that a column has already,
    unless the user named them.

    Example:
        >>> levels_to_read(["case", "event_id"], ["alarm"], ColumnChoice())
        ['case']
    """
    named = {choice.case, choice.outcome, *choice.contexts}
    for several in (choice.event, choice.time):
        named |= set([several, *several.split(",")] if isinstance(several, str) else several or ())
    taken = [each for each in (CASE_SPELLINGS, EVENT_SPELLINGS, TIME_SPELLINGS) if _recognised(columns, each)]
    return [
        level
        for level in dict.fromkeys(levels)
        if level not in columns and (level in named or not any(_recognised([level], each) for each in taken))
    ]


def _recognised_time(names: Sequence[str]) -> tuple[str, ...]:
    """Find the time column; a ``date`` beside a ``time`` are two halves of one."""
    found = _recognised(names, TIME_SPELLINGS)
    halves = _recognised(names, ["date"]) + _recognised(names, ["time"])
    return halves if len(halves) == 2 and found == halves[1:] else found


def _columns_text(names: Sequence[str]) -> str:
    noun = "column" if len(names) == 1 else "columns"
    return f"{len(names)} {noun} {preview(names, limit=6)}"


def event_names(frame: pd.DataFrame, columns: Sequence[str], *, join: str = "=") -> NDArray[np.object_]:
    """Name the event of every row, exactly as written.

    Args:
        frame: A table with one row per event.
        columns: One column, or several whose values are joined.
        join: Text between joined values.

    Returns:
        One name per row; None where any of the columns is missing or empty.

    Raises:
        ColumnError: If a column holds lists or mappings.

    Example:
        >>> frame = pd.DataFrame({"node": ["door", "lamp"], "value": ["open", None]})
        >>> event_names(frame, ["node", "value"]).tolist()
        ['door=open', None]
    """
    if len(columns) == 1:
        return exact_names(frame[columns[0]])
    parts = [text_values(frame[column]) for column in columns]
    names = parts[0]
    for part in parts[1:]:
        whole = (names != np.array(None)) & (part != np.array(None))
        joined = names.copy()
        joined[whole] = names[whole] + join + part[whole]
        joined[~whole] = None
        names = joined
    return names


def text_values(column: pd.Series) -> NDArray[np.object_]:
    """Turn a column into texts; None where a value is missing or the empty text.

    Raises:
        ColumnError: If the column holds lists or mappings.

    Example:
        >>> text_values(pd.Series(["007", "", None])).tolist()
        ['007', None, None]
    """
    values = np.array(column.astype(object).to_numpy(dtype=object), dtype=object)
    values[column.isna().to_numpy(dtype=bool)] = None  # before any comparison: pandas' NA is neither true nor false
    if pd.api.types.infer_dtype(values, skipna=True) not in ("string", "empty"):
        values[:] = [None if value is None else _text(value, str(column.name)) for value in values]
    values[values == ""] = None
    return values


def _text(value: Any, column: str) -> str:
    if isinstance(value, list | dict | np.ndarray):
        raise ColumnError(
            f"Column {column!r} holds a {type(value).__name__}, expected one name per row. For one record "
            "per sequence call the column 'events'."
        )
    if not isinstance(value, bytes | bytearray):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ColumnError(
            f"Column {column!r} holds bytes that are not UTF-8 text ({preview([value[:8]])}), expected names. Convert "
            "them, or name another column."
        ) from None


def exact_names(column: pd.Series) -> NDArray[np.object_]:
    """Ids as texts, see ``text_values``: they are exact, or refused.

    Raises:
        ColumnError: If numbers were rounded, so that ids next to each other may have become one.

    Example:
        >>> exact_names(pd.Series([2.0**53]))  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        ColumnError: Column 'None' holds 9007199254740992.0, a number that may be rounded ...
    """
    exact_below = _EXACT_BELOW.get(str(column.dtype).lower(), _EXACT_BELOW["float64"])
    for value in column if column.dtype.kind in "fO" else ():
        if isinstance(value, float | np.floating) and exact_below <= abs(value) < np.inf:
            raise ColumnError(
                f"Column {str(column.name)!r} holds {value!r}, a number that may be rounded: different ids can have "
                "become one. Read the column as text or as whole numbers (in pandas dtype='Int64')."
            )
    return text_values(column)


def time_texts(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Read the time columns as one: several are joined by a space, missing where any is missing."""
    if len(columns) == 1:
        return frame[columns[0]]
    return pd.Series(event_names(frame, columns, join=" "), index=frame.index, name=" + ".join(columns))


def parse_seconds(values: pd.Series, *, unit: str = "s", noun: str = "row") -> NDArray[np.float64]:
    """Turn times into seconds.

    Args:
        values: Numbers, dates or their texts; the index says the row number shown in errors.
        unit: Unit of numbers. Dates count from 1970-01-01 UTC; a date without a time zone is read as UTC,
            a clock time without a date counts from midnight.
        noun: What the index counts, for errors.

    Returns:
        Seconds, exact to the microsecond for dates of our time; NaN where the time is missing.

    Raises:
        TimestampError: If a value is neither a finite number nor a date.

    Example:
        >>> parse_seconds(pd.Series(["1970-01-01T00:00:01.500Z", ""])).tolist()
        [1.5, nan]
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _epoch_seconds(values)
    if pd.api.types.is_timedelta64_dtype(values.dtype):
        return np.asarray(values.dt.total_seconds(), dtype=np.float64)

    seconds = np.full(len(values), np.nan)
    known = ~_missing_times(values)
    if known.any():
        seconds[known] = _parse_known(values[known], SECONDS_PER_UNIT[unit], noun)
    return seconds


def _missing_times(values: pd.Series) -> NDArray[np.bool_]:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return np.asarray(values.isna(), dtype=bool)
    texts = values.astype(object).map(lambda value: value.strip().lower() if isinstance(value, str) else value)
    return np.asarray(values.isna() | texts.isin(_MISSING_TIMES), dtype=bool)


def _parse_known(values: pd.Series, seconds_per_unit: float, noun: str) -> NDArray[np.float64]:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    numeric = np.isfinite(numbers)
    if numeric.all():
        # Python's float is correctly rounded; `pd.to_numeric` is not, on long decimals.
        return np.array(list(map(float, values)), dtype=np.float64) * seconds_per_unit
    if numeric.mean() > 0.5:
        raise TimestampError(_unreadable(values, ~numeric, noun, "seconds"))
    if all(_CLOCK.fullmatch(str(value).strip()) for value in values):
        return _clock_seconds(values)
    return _parse_dates(values, noun)


def _clock_seconds(values: pd.Series) -> NDArray[np.float64]:
    texts = values.astype(str).str.strip().str.replace(",", ".", regex=False)
    full = texts.where(texts.str.count(":") == 2, texts + ":00")
    return np.asarray(pd.to_timedelta(full).dt.total_seconds(), dtype=np.float64)


def _parse_dates(values: pd.Series, noun: str) -> NDArray[np.float64]:
    # Apart, because pandas 2 gives a date without a zone the zone of the date before it.
    zoned = values.astype(str).str.contains(_ZONE).to_numpy(dtype=bool)
    seconds = np.empty(len(values))
    for same in (zoned, ~zoned):
        if same.any():
            seconds[same] = _parse_same_kind(values[same], noun)
    return seconds


def _parse_same_kind(values: pd.Series, noun: str) -> NDArray[np.float64]:
    fewest: pd.Series | None = None
    for settings in _DATE_FORMATS:
        dates = _try_dates(values, settings)
        if not dates.isna().any():
            return _epoch_seconds(dates)
        if fewest is None or dates.isna().sum() < fewest.isna().sum():
            fewest = dates
    failed = np.ones(len(values), dtype=bool) if fewest is None else fewest.isna().to_numpy(dtype=bool)
    raise TimestampError(_unreadable(values, failed, noun, "seconds or a date such as 2024-05-01T12:00:00Z"))


def _try_dates(values: pd.Series, settings: Mapping[str, Any]) -> pd.Series:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # Without a common format pandas would read value by value, and complete parts from today's date.
        warnings.filterwarnings("error", "Could not infer format")
        try:
            dates: pd.Series = pd.to_datetime(values, utc=True, errors="coerce", **settings)
        except UserWarning:
            return pd.Series(pd.NaT, index=values.index, dtype="datetime64[ns, UTC]")
    return dates


def _epoch_seconds(dates: pd.Series) -> NDArray[np.float64]:
    naive = dates.dt.tz_convert(None) if dates.dt.tz is not None else dates
    moments = naive.to_numpy()
    seconds = seconds_of_ticks(moments.astype(np.int64), np.datetime_data(moments.dtype)[0])
    return np.where(np.isnat(moments), np.nan, seconds)


def seconds_of_ticks(ticks: NDArray[np.int64], unit: str) -> NDArray[np.float64]:
    """Seconds since 1970 from a count of ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.

    Example:
        >>> seconds_of_ticks(np.array([1500]), "ms").tolist()
        [1.5]
    """
    per_second = _TICKS_PER_SECOND[unit]
    # Whole seconds and the rest apart: nanoseconds since 1970 do not fit a float64.
    return ticks // per_second + (ticks % per_second) / per_second


def _unreadable(values: pd.Series, failed: NDArray[np.bool_], noun: str, expected: str) -> str:
    first = int(np.argmax(failed))
    value = values.iloc[first]
    found = f"{value if isinstance(value, float) else repr(value)} in {noun} {values.index[first]}"
    return (
        f"Column {str(values.name)!r} has {int(failed.sum()):,} of {len(values):,} times that cannot be "
        f"read, the first is {found}; expected {expected}. Correct them, or name another column with "
        "`--time-column` (in Python `time_column=`)."
    )
