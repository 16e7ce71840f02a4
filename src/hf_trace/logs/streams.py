"""Logs that are read a part at a time and never lie in memory whole: many files, or a data set of the Hub."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from hf_trace.errors import ColumnError, EmptyLogError, HfTraceError, LogFormatError, TimestampError
from hf_trace.logs.columns import ColumnChoice, LogColumns, exact_names, find_columns, text_values, unread_times
from hf_trace.logs.event_rows import holds_records, table_rows
from hf_trace.logs.formats import data_suffix
from hf_trace.logs.frames import frame_of_arrow
from hf_trace.logs.log import EventLog
from hf_trace.logs.row_blocks import BLOCK_READERS, RowBlock, file_blocks, hub_blocks
from hf_trace.logs.sources import find_files
from hf_trace.logs.times import TimeReader

_TIMES_OF_SOME = "Some parts of the log have times and others not, expected all or none. Name the column of all."


@dataclass(frozen=True)
class EventStream:
    """A log that is read in parts of whole sequences, as often as asked.

    Attributes:
        tables: Gives the rows from the first to the last, in tables of some thousand, or in blocks.
        choice: Which columns to read.
        name: What to call it in errors.
        times: Reads the times of all parts by one decision.

    Example:
        >>> rows = pa.table({"case": ["x", "x", "y"], "event": ["b", "a", "b"]})
        >>> [log.to_records() for log in EventStream(lambda: iter([rows]), ColumnChoice()).parts()]
        [[{'id': 'x', 'events': ['b', 'a']}], [{'id': 'y', 'events': ['b']}]]
    """

    tables: Callable[[], Iterator[pa.Table | RowBlock | EmptyLogError]]
    choice: ColumnChoice
    name: str = "the stream"
    times: TimeReader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", self.choice.times(in_parts=True))

    def parts(self) -> Iterator[EventLog]:
        """The sequences in the order of the source, some at a time; the types of a part are those that it has.

        Raises:
            ColumnError: If there is no column of cases, or a column is absent.
            LogFormatError: If the rows of a sequence are apart.
            TimestampError: If times cannot be read, or a part shows that dates before it were read in another order.
            EmptyLogError: If there are no rows.
        """
        self.times.again()
        seen = _Seen()
        lacking: list[EmptyLogError] = []
        timed: bool | None = None
        try:
            for rows in self._rows(lacking):
                log = self._log(rows, lacking)
                if not len(log.codes):
                    continue
                if timed not in (None, log.timestamps is not None):
                    raise TimestampError(_TIMES_OF_SOME)
                timed = log.timestamps is not None
                if rows.columns is not None:
                    seen.add(log.ids)
                yield log.without_empty_sequences()
        finally:  # also where a sample ends before the stream
            self.times.tell()
        if timed is None and lacking:
            raise lacking[0]
        if timed is None:
            raise EmptyLogError(f"{self.name} has no events, expected some. Check the files and their columns.")

    def _rows(self, lacking: list[EmptyLogError]) -> Iterator["_Rows"]:
        """Rows of whole sequences; what was found to be empty is noted in ``lacking``."""
        rest: _Rows | None = None
        row = 1
        for given in self.tables():
            if isinstance(given, EmptyLogError):
                lacking.append(given)
                continue
            block = given if isinstance(given, RowBlock) else RowBlock(given, np.arange(row, row + len(given)))
            row += len(block.rows)
            if not len(block.rows):
                continue
            with _in_file(block.file):
                rows = self._named(block)
            if rows.columns is None:
                yield rows
                continue
            with _in_file(block.file):
                *ended, rest = _cut(rest, rows)
            yield from ended
        if rest is not None:
            yield rest

    def _named(self, block: RowBlock) -> "_Rows":
        """The columns of a block that are read, with names as texts or whole numbers."""
        given = block.rows
        few = given[:100] if isinstance(given, pd.DataFrame) else frame_of_arrow(given.slice(0, 100))
        if holds_records(few, self.choice):
            return _Rows(given, block.numbers, block.file, None)
        columns = find_columns(list(few.columns), self.choice)
        if columns.case is None:
            raise ColumnError(
                f"{self.name} has no column of cases among {', '.join(map(repr, few.columns))}, and without one it "
                "is a single sequence, which does not fit. Name it with `--case-column`."
            )
        self.times.leave_out(unread_times(few, columns, self.choice))
        alone = {columns.case, *(columns.event if len(columns.event) == 1 else ())}
        read = [columns.case, *columns.event, *columns.time, self.choice.outcome, *self.choice.contexts]
        names = [name for name in dict.fromkeys(read) if name is not None]
        arrays = [_readable(given, name, name in columns.time, name in alone) for name in names]
        return _Rows(pa.table(dict(zip(names, arrays, strict=True))), block.numbers, block.file, columns)

    def _log(self, rows: "_Rows", lacking: list[EmptyLogError]) -> EventLog:
        self.times.part = repr(rows.file) if rows.file else ""
        with _in_file(rows.file):
            log = self._native_log(rows)
            try:
                if log is None or not (len(log.codes) or lacking):
                    log = EventLog.from_rows(table_rows(rows.frame(), self.choice, reader=self.times))
            except EmptyLogError as error:  # the others may have what this part lacks
                lacking.append(error)
                log = EventLog.from_sequences([])
        return log

    def _native_log(self, rows: "_Rows") -> EventLog | None:
        """A log straight from columns, if they are plain."""
        columns = rows.columns
        if columns is None or columns.case is None or len(columns.event) > 1 or len(columns.time) > 1:
            return None
        if self.choice.outcome is not None or self.choice.contexts:
            return None
        seconds = None
        if columns.time:
            times = rows.table[columns.time[0]]
            if not _is_typed(times.type):
                return None
            frame = frame_of_arrow(pa.table([times], names=list(columns.time))).set_axis(rows.numbers)
            seconds = self.times.read(frame[columns.time[0]])
        return _native(rows.table[columns.case], rows.table[columns.event[0]], seconds)


class _Rows(NamedTuple):
    """Rows with the columns that are read, in a table of Arrow; if each is a sequence as given, without ``columns``."""

    table: Any
    numbers: NDArray[np.int64]
    file: str
    columns: LogColumns | None

    def part(self, start: int, stop: int) -> "_Rows":
        return self._replace(table=self.table.slice(start, stop - start), numbers=self.numbers[start:stop])

    def frame(self) -> pd.DataFrame:
        frame = self.table if isinstance(self.table, pd.DataFrame) else frame_of_arrow(self.table)
        return frame.set_axis(pd.Index(self.numbers))


@contextmanager
def _in_file(file: str) -> Iterator[None]:
    try:
        yield
    except HfTraceError as error:
        raise (type(error)(f"{file}: {error}") if file else error) from None


def _readable(rows: pa.Table | pd.DataFrame, name: str, is_time: bool, is_id: bool) -> pa.ChunkedArray | pa.Array:
    """A column in a type of Arrow: names as texts or whole numbers, times as they are or as texts."""
    if isinstance(rows, pa.Table) and (is_time or _is_name(rows.schema.field(name).type)):
        return rows[name]
    column = rows[name] if isinstance(rows, pd.DataFrame) else frame_of_arrow(rows.select([name]))[name]
    if not is_time:
        return _texts((exact_names if is_id else text_values)(column), name)
    values = column.astype(object).where(column.notna(), None)
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):  # numbers here and texts there
        return _texts(values.map(lambda value: value if value is None else str(value)), name)


def _texts(values: Iterable[str | None], name: str) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        raise LogFormatError(
            f"Column {name!r} holds half of a surrogate pair, expected text that can be written as UTF-8. Correct "
            "it in the source."
        ) from None


def _cut(rest: _Rows | None, rows: _Rows) -> list[_Rows]:
    """Rows of whole sequences and, as the last, those of the sequence that may go on."""
    joined = rows if rest is None else _joined(rest, rows)
    before = len(joined.numbers) - len(rows.numbers)
    starts = _starts(joined.table.column(0)).tolist()
    edges = {0, starts[-1], len(joined.numbers)}
    if rest is not None and rest.file != rows.file:  # apart, so that errors name the file
        edges.update([start for start in starts if start >= before][:1])
    parts = []
    for start, stop in pairwise(sorted(edges)):
        file = rows.file if rest is None or start >= before else rest.file if stop <= before else joined.file
        parts.append(joined.part(start, stop)._replace(file=file))
    return parts


def _joined(first: _Rows, second: _Rows) -> _Rows:
    """Rows of one log one after the other, whose columns may have other types or names."""
    old, new = first.columns, second.columns
    if old is None or new is None or bool(old.time) != bool(new.time):
        raise TimestampError(_TIMES_OF_SOME)
    renamed = dict(zip([old.case, *old.event, *old.time], [new.case, *new.event, *new.time], strict=False))
    before = first.table.rename_columns([renamed.get(name, name) for name in first.table.column_names])
    try:
        table = pa.concat_tables([before, second.table], promote_options="permissive")
    except pa.ArrowException:
        table = pa.concat_tables([_as_texts(before, second.table), _as_texts(second.table, before)])
    files = first.file if second.file in first.file.split(" and ") else f"{first.file} and {second.file}"
    return _Rows(table, np.concatenate([first.numbers, second.numbers]), files, new)


def _as_texts(table: pa.Table, other: pa.Table) -> pa.Table:
    """A table with the columns of another, those of other types as texts."""
    kinds = {field.name: field.type for field in other.schema}
    arrays = [
        column if kinds.get(name) == column.type else column.cast(pa.string())
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(dict(zip(table.column_names, arrays, strict=True)))


def open_stream(
    source: str | Sequence[str], choice: ColumnChoice, *, max_unpacked: int | str | None = None
) -> EventStream:
    """A stream of files, or of a data set of the Hub.

    Args:
        source: A file, a folder, a glob pattern or a list of them (Parquet, CSV, TSV or JSON Lines), else the id of a
            data set such as ``org/name``, its training split, or ``org/name:test``.
        choice: Which columns to read.
        max_unpacked: Most bytes that a compressed file may unpack to, as for ``read_log``.

    Raises:
        LogFormatError: If there is neither, or a file cannot be read in parts.
    """
    if isinstance(source, str) and is_hub_id(source):
        return EventStream(lambda: hub_blocks(source, choice), choice, f"the data set {source!r}")
    paths = find_files(source)
    for path in paths:
        if data_suffix(path) not in BLOCK_READERS:
            raise LogFormatError(
                f"'{path.name}' cannot be read in parts, expected {', '.join(BLOCK_READERS)}. Convert it, or read it "
                "whole: leave out `--stream`."
            )
    name = repr(str(paths[0])) if len(paths) == 1 else f"the stream of {len(paths):,} files"
    return EventStream(lambda: file_blocks(paths, choice, max_unpacked), choice, name)


def is_hub_id(source: str) -> bool:
    """Whether a text names a data set of the Hub rather than files.

    Example:
        >>> is_hub_id("org/alarms"), is_hub_id("org/alarms:test"), is_hub_id("logs/*.csv"), is_hub_id("/data/x")
        (True, True, False, False)
    """
    repository = source.partition(":")[0]
    owner, slash, name = repository.partition("/")
    allowed = all(part and part.replace("-", "").replace("_", "").replace(".", "").isalnum() for part in (owner, name))
    return bool(slash) and allowed and not Path(repository).exists() and not data_suffix(Path(repository))


def _is_name(kind: pa.DataType) -> bool:
    """Whether values of a type are written the same by Arrow and by Python."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_integer(inner))


def _starts(cases: pa.ChunkedArray) -> NDArray[np.int64]:
    """Rows at which another case begins, the first included."""
    codes = _codes(cases)[0]
    return np.flatnonzero(np.diff(codes, prepend=codes[:1] - 1))


def _codes(values: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """Numbers of the distinct texts, -1 for what is missing, and the texts."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    encoded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    indices: NDArray[np.int64] = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    return indices, encoded.dictionary.to_pylist()


def _is_typed(kind: pa.DataType) -> bool:
    """Whether times are numbers or moments, not texts."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_timestamp(kind))


def _native(cases: pa.ChunkedArray, events: pa.ChunkedArray, seconds: NDArray[np.float64] | None) -> EventLog:
    """A log straight from columns, as ``EventLog.from_rows`` makes it."""
    numbers, ids = _codes(cases)
    codes, names = _codes(events)
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.full(len(names) + 1, -1, dtype=np.int64)
    rank[order] = np.arange(len(names))
    if "" in names:
        rank[names.index("")] = -1  # the first in order: the others keep their numbers less one
        rank[:-1][rank[:-1] > 0] -= 1
    codes = rank[codes]
    named = np.array([name != "" for name in ids] + [False])
    whole = (codes >= 0) & named[numbers] if len(ids) else codes < -1
    if seconds is not None:
        whole &= ~np.isnan(seconds)
        seconds = seconds[whole]
    kept, codes = numbers[whole], codes[whole]
    first = np.flatnonzero(np.diff(kept, prepend=-1))
    if len(np.unique(kept[first])) < len(first):
        twice = kept[first][np.flatnonzero(np.bincount(kept[first])[kept[first]] > 1)[0]]
        raise LogFormatError(_apart(ids[twice]))
    if seconds is not None and np.any((np.diff(seconds) < 0) & (np.diff(kept) == 0)):
        sorted_rows = np.lexsort((seconds, np.cumsum(np.isin(np.arange(len(kept)), first))))
        seconds, codes = seconds[sorted_rows], codes[sorted_rows]
    return EventLog(
        event_types=tuple(names[index] for index in order if names[index] != ""),
        codes=codes.astype(np.int32),
        offsets=np.append(first, len(codes)).astype(np.int64),
        timestamps=seconds,
        ids=tuple(ids[number] for number in kept[first]),
        dropped_rows=int(np.sum(~whole)),
    )


class _Seen:
    """Notices a sequence that comes twice, at eight bytes for each that has come."""

    def __init__(self) -> None:
        self.keys: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)

    def add(self, ids: Iterable[str]) -> None:
        """Note some ids.

        Raises:
            LogFormatError: If one was noted before.
        """
        ids = np.array(list(ids), dtype=object)
        keys = pd.util.hash_array(ids)
        place = np.searchsorted(self.keys, keys)
        known = self.keys[np.minimum(place, len(self.keys) - 1)] == keys if len(self.keys) else keys < 0
        if known.any():
            raise LogFormatError(_apart(ids[int(np.argmax(known))]))
        self.keys = np.sort(np.concatenate([self.keys, keys]))


def _apart(name: str) -> str:
    return (
        f"The rows of the sequence {name!r} are not next to each other, expected so in a log that is read in parts. "
        "Sort the files by case, or read them whole: leave out `--stream`."
    )
