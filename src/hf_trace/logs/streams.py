"""Logs that are read a part at a time and never lie in memory whole: many files, or a data set of the Hub."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.csv as pa_csv  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from hf_trace.errors import ColumnError, EmptyLogError, LogFormatError, first_line
from hf_trace.logs.columns import SECONDS_PER_UNIT, ColumnChoice, LogColumns, find_columns, seconds_of_ticks
from hf_trace.logs.event_rows import holds_records, needed_columns, table_rows
from hf_trace.logs.formats import (
    data_suffix,
    explained,
    first_line_of,
    json_record,
    likely_delimiter,
    open_text,
    refuse_empty,
)
from hf_trace.logs.frames import frame_of_arrow
from hf_trace.logs.log import EventLog
from hf_trace.logs.sources import find_files

ROWS_AT_ONCE = 65_536
_BLOCK_BYTES = 4 * 2**20
_RECORDS_AT_ONCE = 2_048


@dataclass(frozen=True)
class EventStream:
    """A log that is read in parts of whole sequences, as often as asked.

    Attributes:
        tables: Gives the rows from the first to the last, in tables of some thousand.
        choice: Which columns to read.
        name: What to call it in errors.

    Example:
        >>> rows = pa.table({"case": ["x", "x", "y"], "event": ["b", "a", "b"]})
        >>> [log.to_records() for log in EventStream(lambda: iter([rows]), ColumnChoice()).parts()]
        [[{'id': 'x', 'events': ['b', 'a']}], [{'id': 'y', 'events': ['b']}]]
    """

    tables: Callable[[], Iterator[pa.Table]]
    choice: ColumnChoice
    name: str = "the stream"

    def parts(self) -> Iterator[EventLog]:
        """The sequences in the order of the source, some at a time; the types of a part are those that it has.

        Raises:
            ColumnError: If there is no column of cases, or a column is absent.
            LogFormatError: If the rows of a sequence are apart.
            EmptyLogError: If there are no rows.
        """
        seen = _Seen(self.name)
        for log in self._logs():
            if len(log.codes):
                seen.add(log.ids)
                yield log.without_empty_sequences()
        if not len(seen.keys):
            raise EmptyLogError(f"{self.name} has no events, expected some. Check the files and their columns.")

    def _logs(self) -> Iterator[EventLog]:
        rest: pa.Table | None = None
        for table in self.tables():
            if not len(table):
                continue
            few = frame_of_arrow(table.slice(0, 100))
            if holds_records(few, self.choice):
                yield EventLog.from_rows(table_rows(_numbered(table), self.choice))
                continue
            columns = find_columns(list(few.columns), self.choice)
            if columns.case is None:
                raise ColumnError(
                    f"{self.name} has no column of cases among {', '.join(map(repr, few.columns))}, and without one it "
                    "is a single sequence, which does not fit. Name it with `--case-column`."
                )
            table = table if rest is None else pa.concat_tables([rest, table], promote_options="permissive")
            last = _starts(table[columns.case])[-1]
            rest = table.slice(last)
            if last:
                yield self._log(table.slice(0, last), columns)
        if rest is not None:
            yield self._log(rest, find_columns(rest.column_names, self.choice))

    def _log(self, table: pa.Table, columns: LogColumns) -> EventLog:
        case = columns.case or ""
        names = [*columns.event, case]
        plain = len(columns.event) == 1 and len(columns.time) < 2 and self.choice.outcome is None
        if plain and all(map(_is_name, (table.schema.field(name).type for name in names))):
            seconds = None if not columns.time else _seconds(table[columns.time[0]], self.choice.time_unit)
            if not columns.time or seconds is not None:
                return _native(table[case], table[columns.event[0]], seconds)
        return EventLog.from_rows(table_rows(_numbered(table), self.choice))


def open_stream(source: str | Sequence[str], choice: ColumnChoice) -> EventStream:
    """A stream of files, or of a data set of the Hub.

    Args:
        source: A file, a folder, a glob pattern or a list of them (Parquet, CSV, TSV or JSON Lines), else the id of a
            data set such as ``org/name``, its training split, or ``org/name:test``.
        choice: Which columns to read.

    Raises:
        LogFormatError: If there is neither, or a file cannot be read in parts.
    """
    if isinstance(source, str) and is_hub_id(source):
        return EventStream(lambda: _hub_tables(source, choice), choice, f"the data set {source!r}")
    paths = find_files(source)
    readers = {".parquet": _parquet, ".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    for path in paths:
        if data_suffix(path) not in readers:
            raise LogFormatError(
                f"'{path.name}' cannot be read in parts, expected {', '.join(readers)}. Convert it, or read it whole: "
                "leave out `--stream`."
            )
    name = repr(str(paths[0])) if len(paths) == 1 else f"the stream of {len(paths):,} files"
    return EventStream(
        lambda: (table for path in paths for table in readers[data_suffix(path)](path, choice)), choice, name
    )


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


def _hub_tables(source: str, choice: ColumnChoice) -> Iterator[pa.Table]:
    import datasets

    repository, _, split = source.partition(":")
    try:
        found = datasets.load_dataset(repository, split=split or "train", streaming=True)
    except Exception as error:  # the Hub, its clients and its scripts fail in many ways
        raise LogFormatError(
            f"There are no files {source!r}, and no data set of that id could be opened ({first_line(error)[:120]}). "
            "Check the name, the split after a colon, and the network."
        ) from error
    for table in found.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
        yield table.select(_needed(table, choice))


def _needed(table: pa.Table, choice: ColumnChoice) -> list[str]:
    return needed_columns(frame_of_arrow(table.slice(0, 100)), choice)


def _parquet(path: Path, choice: ColumnChoice) -> Iterator[pa.Table]:
    with explained(path), pq.ParquetFile(path) as file:
        first = next(file.iter_batches(batch_size=100), None)
        if first is None:
            return
        columns = _needed(pa.Table.from_batches([first]), choice)
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
            yield pa.Table.from_batches([batch])


def _csv(path: Path, choice: ColumnChoice) -> Iterator[pa.Table]:
    refuse_empty(path)
    with explained(path):
        header = first_line_of(path)
        delimiter = "\t" if data_suffix(path) == ".tsv" else likely_delimiter(header)
        columns = needed_columns(pd.DataFrame(columns=next(csv.reader([header], delimiter=delimiter), [])), choice)
        with pa_csv.open_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), include_columns=columns, strings_can_be_null=False
            ),
        ) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])


def _json_lines(path: Path, choice: ColumnChoice) -> Iterator[pa.Table]:
    with explained(path), open_text(path) as stream:
        records = (json_record(path, number, line) for number, line in enumerate(stream, 1) if line.strip())
        while some := list(islice(records, _RECORDS_AT_ONCE)):
            table = pa.Table.from_pylist(some)
            yield table.select(_needed(table, choice))


def _numbered(table: pa.Table) -> pd.DataFrame:
    frame = frame_of_arrow(table)
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1))


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
    encoded = values.cast(pa.string()).combine_chunks().dictionary_encode() if _is_name(values.type) else None
    if encoded is None:
        codes, unique = pd.factorize(values.to_pandas())
        return codes.astype(np.int64), list(map(str, unique))
    indices: NDArray[np.int64] = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    return indices, encoded.dictionary.to_pylist()


def _seconds(values: pa.ChunkedArray, unit: str) -> NDArray[np.float64] | None:
    """Times in seconds, NaN where missing; None where they are texts, which are read elsewhere."""
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = pc.cast(values, pa.float64(), safe=False).to_numpy()
        return np.where(np.isfinite(numbers), numbers, np.nan) * SECONDS_PER_UNIT[unit]
    if not pa.types.is_timestamp(kind):
        return None
    ticks = pc.fill_null(values.cast(pa.int64()), 0).to_numpy()
    return np.where(values.is_null().to_numpy(), np.nan, seconds_of_ticks(ticks, kind.unit))


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

    def __init__(self, name: str) -> None:
        self.name = name
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
