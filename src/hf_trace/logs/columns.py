"""Which columns of a table hold the case, the event and the time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import near, one_of
from hf_trace.errors import ColumnError, TimestampError, preview
from hf_trace.logs.times import SECONDS_PER_UNIT, TimeReader
from hf_trace.options import TIME_FORMAT

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
_DATE = re.compile(r"\s*(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3\d{4})(?![\d.])")
# From here on not every whole number is a float of that size.
_EXACT_BELOW = {"float16": 2.0**11, "float32": 2.0**24, "float64": 2.0**53}


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
        time_format: Format of the times, as ``strptime`` reads them; None: recognise it.
    """

    case: str | None = None
    event: str | Sequence[str] | None = None
    time: str | Sequence[str] | None = None
    join: str = "="
    time_unit: str = "s"
    time_required: bool = False
    outcome: str | None = None
    contexts: tuple[str, ...] = ()
    time_format: str | None = None

    def __post_init__(self) -> None:
        one_of("time_unit", self.time_unit, SECONDS_PER_UNIT)
        TIME_FORMAT.checked(self.time_format)

    def times(self, *, in_parts: bool = False) -> TimeReader:
        """A reader for the times of a log.

        Args:
            in_parts: Whether parts that were read cannot be read again.
        """
        return TimeReader(self.time_unit, self.time_format, in_parts=in_parts)


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


def unread_times(frame: pd.DataFrame, columns: LogColumns, choice: ColumnChoice) -> list[str]:
    """Columns that may be times, by their type or by how their first texts are written, where none is read as such.

    Example:
        >>> frame = pd.DataFrame({"event": ["fan"], "version": ["1.2.3"], "datum": ["01.05.2024 07:00"]})
        >>> unread_times(frame, LogColumns(None, ("event",), ()), ColumnChoice())
        ['datum']
    """
    read = {columns.case, choice.outcome, *columns.event, *choice.contexts}
    free = [] if columns.time else [name for name in frame.columns if name not in read]
    return [name for name in free if _is_like_times(frame[name])]


def _is_like_times(column: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return True
    texts = [value for value in column[:100] if isinstance(value, str) and value]
    return bool(texts) and all(map(_DATE.match, texts))


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
    missing = column.isna().to_numpy(dtype=bool)
    values[missing] = None  # before any comparison: pandas' NA is neither true nor false
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind not in ("string", "empty"):
        write = str if kind in ("integer", "floating", "boolean") else partial(_text, column=str(column.name))
        values[~missing] = list(map(write, values[~missing]))
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
    kind = pd.api.types.infer_dtype(column, skipna=True)
    values: list[Any] = [] if kind in ("string", "integer", "empty", "boolean") else column.astype(object).tolist()
    for value in values:
        if isinstance(value, float | np.floating) and exact_below <= abs(float(value)) < np.inf:
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
