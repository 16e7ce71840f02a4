"""Tables of either shape, a row per event or a list of events per row, as one entry per event."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.errors import ColumnError, EmptyLogError, EventNameError, LogFormatError, TimestampError, preview
from hf_trace.logs.columns import (
    ColumnChoice,
    event_names,
    exact_names,
    find_columns,
    recognise_case,
    text_values,
    time_texts,
    unread_times,
)
from hf_trace.logs.contexts import outcomes_of, read_contexts
from hf_trace.logs.frames import dataset_frames
from hf_trace.logs.sequence import Context
from hf_trace.logs.times import TimeReader

EVENTS_COLUMN = "events"
_TIMES_COLUMN = "timestamps"
_ID_COLUMNS = ("id", "sequence_id")


@dataclass(frozen=True)
class EventRows:
    """One entry per event, in the order of the source.

    Attributes:
        cases: Index into ``ids``; negative where the case is missing.
        ids: Name of every sequence.
        events: Name of every event; None where it is missing.
        seconds: Time of every event, NaN where it is missing; None when there are no times.
        has_cases: Whether ``ids`` come from a case column, so that equal ids mean one sequence.
        contexts: What is known of every sequence beside its events; empty if nothing is.
    """

    cases: NDArray[np.int64]
    ids: Sequence[str]
    events: NDArray[np.object_]
    seconds: NDArray[np.float64] | None
    has_cases: bool = False
    contexts: Sequence[Context] = ()


class _RecordColumns(NamedTuple):
    """The columns of a table with one row per sequence."""

    events: str
    times: str | None
    case: str | None


def table_rows(
    table: pd.DataFrame, choice: ColumnChoice, *, sequence_id: str = "0", reader: TimeReader | None = None
) -> EventRows:
    """Read a table of either shape; its index says the row numbers shown in errors.

    Args:
        table: One row per event, or one row per sequence with a list in column ``events``.
        choice: Which columns to read.
        sequence_id: Name of the only sequence when there is no case column.
        reader: Reads the times, where the table is one part of a log; whoever passes it lets it ``tell``.

    Raises:
        ColumnError: If a column is absent or no event column is recognised.
        LogFormatError: If ``events`` holds anything but lists of texts.
        TimestampError: If times cannot be read.
        EmptyLogError: If no row is complete.

    Example:
        >>> table_rows(pd.DataFrame({"event": ["b", "a"]}), ColumnChoice()).events.tolist()
        ['b', 'a']
    """
    frame = table.set_axis(list(map(str, table.columns)), axis="columns")
    refuse_repeated(list(frame.columns))
    if not len(frame):
        raise EmptyLogError("There are 0 rows, expected at least one event. Check the file and its filters.")
    times = reader or choice.times()
    if holds_records(frame, choice):
        rows = _from_records(frame, choice, times)
        lengths = frame[_record_columns(frame, choice).events].map(len).to_numpy(dtype=np.int64)
    else:
        rows, lengths = _from_rows(frame, choice, sequence_id, times), np.ones(len(frame), dtype=np.int64)
    if reader is None:
        times.tell()
    if choice.contexts:
        values = [np.repeat(frame[name].to_numpy(dtype=object), lengths) for name in choice.contexts]
        columns = [pd.Series(each, name=name, dtype=object) for name, each in zip(choice.contexts, values, strict=True)]
        rows = replace(rows, contexts=read_contexts(rows.cases, rows.ids, columns))
    if choice.outcome is None:
        return rows
    labels = np.repeat(frame[choice.outcome].to_numpy(dtype=object), lengths)
    return _with_outcomes(rows, pd.Series(labels, name=choice.outcome, dtype=object))


def refuse_repeated(names: Sequence[str]) -> None:
    """Refuse columns of the same name.

    Raises:
        ColumnError: If there are any.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ColumnError(f"Columns {preview(twice)} appear twice, expected different names. Rename one of each.")


def _with_outcomes(rows: EventRows, labels: pd.Series) -> EventRows:
    """One more event for each labelled sequence, at the time of its last."""
    outcomes = outcomes_of(rows.cases, rows.ids, labels)
    seconds = rows.seconds
    if seconds is not None:
        ends = pd.Series(seconds).groupby(rows.cases).max().reindex(outcomes.index)
        seconds = np.concatenate([seconds, ends.to_numpy(dtype=np.float64)])
    cases = np.concatenate([rows.cases, outcomes.index.to_numpy(dtype=np.int64)])
    events = np.concatenate([rows.events, outcomes.to_numpy(dtype=object)])
    return EventRows(cases, rows.ids, events, seconds, rows.has_cases, rows.contexts)


def holds_records(frame: pd.DataFrame, choice: ColumnChoice) -> bool:
    """Whether a table has one row per sequence: a column ``events`` that is not read as single names.

    Example:
        >>> holds_records(pd.DataFrame({"events": [["a", "b"]]}), ColumnChoice())
        True
    """
    if choice.event in (None, EVENTS_COLUMN):
        return EVENTS_COLUMN in frame and (choice.event is None or _has_list(frame[EVENTS_COLUMN]))
    return isinstance(choice.event, str) and choice.event in frame and _has_list(frame[choice.event])


def needed_columns(frame: pd.DataFrame, choice: ColumnChoice) -> list[str]:
    """List the columns that will be read or spoken of, so that the others need not be kept in memory.

    Example:
        >>> needed_columns(pd.DataFrame({"event": ["a"], "comment": ["long"]}), ColumnChoice())
        ['event']
    """
    if holds_records(frame, choice):
        found = _record_columns(frame, choice)
        names = (found.case, found.events, found.times, choice.outcome, *choice.contexts)
        return [name for name in names if name is not None]
    columns = find_columns(list(frame.columns), choice)
    others = [name for name in (columns.case, choice.outcome, *choice.contexts) if name is not None]
    return list(dict.fromkeys([*others, *columns.event, *columns.time, *unread_times(frame, columns, choice)]))


def frame_of_mappings(rows: Iterable[Mapping[str, Any]], choice: ColumnChoice) -> pd.DataFrame:
    """The columns that will be read of a dataset, with row numbers from 1 as its index.

    Raises:
        EmptyLogError: If there are no rows.

    Example:
        >>> frame_of_mappings([{"event": "a", "comment": "long"}], ColumnChoice()).to_dict("index")
        {1: {'event': 'a'}}
    """
    parts = [part[needed_columns(part, choice)] for part in dataset_frames(rows)]
    if not parts:
        raise EmptyLogError("The dataset has 0 rows, expected events. Check the split and its filters.")
    frame = pd.concat(parts, ignore_index=True)
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1), axis="index")


def _has_list(column: pd.Series) -> bool:
    return any(isinstance(value, list | tuple | np.ndarray) for value in column)


def _from_rows(frame: pd.DataFrame, choice: ColumnChoice, sequence_id: str, reader: TimeReader) -> EventRows:
    columns = find_columns(list(frame.columns), choice)
    events = event_names(frame, columns.event, join=choice.join)
    _require_some(~pd.isna(events), "event", columns.event)
    seconds = None
    if columns.time:
        seconds = reader.read(time_texts(frame, columns.time))
        _require_some(~np.isnan(seconds), "time", columns.time)
    reader.leave_out(unread_times(frame, columns, choice))
    names = np.full(len(frame), sequence_id, dtype=object)
    if columns.case is not None:
        names = exact_names(frame[columns.case])
    cases, ids = pd.factorize(names)
    _require_some(cases >= 0, "case", (columns.case or "",))
    return EventRows(cases, ids.tolist(), events, seconds, columns.case is not None)


def _require_some(known: NDArray[np.bool_], role: str, columns: Sequence[str]) -> None:
    if not known.any():
        raise EmptyLogError(
            f"The {role} is missing in all {len(known):,} rows (column {' + '.join(map(repr, columns))}), "
            f"expected a value in at least one. Name another column with `--{role}-column` "
            f"(in Python `{role}_column=`)."
        )


def _from_records(frame: pd.DataFrame, choice: ColumnChoice, reader: TimeReader) -> EventRows:
    columns = _record_columns(frame, choice)
    names: list[str | None] = [None] * len(frame)
    if columns.case is not None:
        names = exact_names(frame[columns.case]).tolist()
    ids = [str(label) if name is None else name for label, name in zip(frame.index, names, strict=True)]
    times = None if columns.times is None else frame[columns.times]
    return flatten_records(frame[columns.events], times, ids, reader)


def _record_columns(frame: pd.DataFrame, choice: ColumnChoice) -> _RecordColumns:
    events = choice.event if isinstance(choice.event, str) else EVENTS_COLUMN
    options = [("case_column", choice.case), ("time_column", choice.time), ("outcome_column", choice.outcome)]
    for option, column in [*options, *(("context_column", name) for name in choice.contexts)]:
        if column is not None and column not in frame:
            present = ", ".join(map(repr, frame.columns))
            raise ColumnError(
                f"`{option}={column!r}` is not one of the keys of the records: {present}. Name one of them."
            )
    usual = choice.time if isinstance(choice.time, str) else _TIMES_COLUMN
    times = usual if usual in frame and not frame[usual].isna().all() else None
    if times is None and choice.time_required:
        raise TimestampError(f"No record has a list {usual!r}, and times are needed. Add one number or date per event.")
    names = next((name for name in _ID_COLUMNS if name in frame), None)
    return _RecordColumns(events, times, choice.case or names or recognise_case(list(frame.columns)))


def flatten_records(
    events: pd.Series, times: pd.Series | None, ids: Sequence[str], reader: TimeReader | None = None
) -> EventRows:
    """Put lists of events end to end.

    Args:
        events: One list of names per sequence; the index says the record numbers shown in errors.
        times: One list of times per sequence, or None.
        ids: Name of every sequence.
        reader: Reads the times; as seconds or usual dates when left out.

    Raises:
        LogFormatError: If a value is not a list of texts.
        TimestampError: If a list of times has another length than its list of events.

    Example:
        >>> flatten_records(pd.Series([["a", "b"], ["c"]]), None, ["x", "y"]).cases.tolist()
        [0, 0, 1]
    """
    _require_lists(events)
    lengths = events.map(len).to_numpy(dtype=np.int64)
    cases = np.repeat(np.arange(len(events)), lengths)
    names = np.fromiter(chain.from_iterable(events), dtype=object, count=len(cases))
    if pd.api.types.infer_dtype(names, skipna=True) == "bytes":
        names = text_values(pd.Series(names, name=events.name, dtype=object))
    _require_texts(names, events.index.take(cases))
    missing = pd.isna(names) | (names == "")
    names[missing] = None
    seconds = None if times is None else _flat_seconds(times, lengths, reader or TimeReader())
    return EventRows(cases, ids, names, seconds)


def _require_lists(events: pd.Series) -> None:
    for label, value in events.items():
        if not isinstance(value, list | tuple | np.ndarray):
            raise LogFormatError(
                f"'{events.name}' of record {label} is {_shown(value)}, expected a list of event names. "
                "Write "
                '{"events": ["A", "B"]}, or for one event per row name its column with `--event-column`.'
            )


def _require_texts(names: NDArray[np.object_], labels: pd.Index) -> None:
    if pd.api.types.infer_dtype(names, skipna=True) in ("string", "empty"):
        return
    known = ~pd.isna(names)
    wrong = next(int(i) for i in np.flatnonzero(known) if not isinstance(names[i], str))
    raise LogFormatError(
        f"The events of record {labels[wrong]} hold {_shown(names[wrong])}, expected a list of texts. Write "
        'names in quotes, such as "5" for 5.'
    )


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:40] + '…'} ({type(value).__name__})"


def _flat_seconds(times: pd.Series, lengths: NDArray[np.int64], reader: TimeReader) -> NDArray[np.float64]:
    for (label, value), events in zip(times.items(), lengths, strict=True):
        found = len(value) if isinstance(value, list | tuple | np.ndarray) else None
        if found != events and (found is not None or events):
            raise TimestampError(
                f"Record {label} has {events} events and {'no' if found is None else found} timestamps, "
                "expected one per event. Correct the record, or leave `timestamps` out of all records."
            )
    labels = times.index.repeat(lengths)
    values = list(chain.from_iterable(value for value, events in zip(times, lengths, strict=True) if events))
    return reader.read(pd.Series(values, index=labels, name=times.name, dtype=object), noun="record")


def encode_names(names: NDArray[np.object_]) -> tuple[NDArray[np.int64], list[str]]:
    """Number names alphabetically.

    Returns:
        The number of every name, -1 for None, and the names in order.

    Raises:
        EventNameError: If a name cannot be written as UTF-8.

    Example:
        >>> codes, types = encode_names(np.array(["b", None, "a"], dtype=object))
        >>> codes.tolist(), types
        ([1, -1, 0], ['a', 'b'])
    """
    codes, unique = pd.factorize(names)
    _refuse_surrogates(unique.tolist())
    order = np.argsort(unique, kind="stable")
    rank = np.full(len(unique) + 1, -1, dtype=np.int64)
    rank[order] = np.arange(len(unique))
    return rank[codes], unique[order].tolist()


def _refuse_surrogates(names: list[str]) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise EventNameError(
                f"Event {name!r} holds half of a surrogate pair, expected text that can be written as UTF-8. "
                "Rename the event in the source."
            ) from None
