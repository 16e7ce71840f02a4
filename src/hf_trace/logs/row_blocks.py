"""Files and data sets of the Hub as blocks of rows, of which only the columns that are read are kept."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from hf_trace.errors import EmptyLogError, HfTraceError, LogFormatError, first_line
from hf_trace.logs.columns import ColumnChoice
from hf_trace.logs.event_rows import needed_columns, refuse_repeated
from hf_trace.logs.formats import (
    csv_frames,
    data_suffix,
    explained,
    json_records,
    no_rows,
    refuse_bomb,
    refuse_empty,
    refuse_repeated_header,
)
from hf_trace.logs.frames import frame_of_arrow, readable_table

ROWS_AT_ONCE = 65_536
_RECORDS_AT_ONCE = 2_048


class RowBlock(NamedTuple):
    """Some rows of a log.

    Attributes:
        rows: In the types of the source.
        numbers: What the user calls each row: its number in the file, from 1, or its line.
        file: Name of the file, where there are several.
    """

    rows: pa.Table | pd.DataFrame
    numbers: NDArray[np.int64]
    file: str = ""


# A file without rows is a mistake only where no other has any.
Blocks = Iterator[RowBlock | EmptyLogError]


def file_blocks(paths: Sequence[Path], choice: ColumnChoice, most: int | str | None = None) -> Blocks:
    """The rows of files, one file after the other.

    Args:
        paths: The files, each of a suffix in ``BLOCK_READERS``.
        choice: Which columns to read.
        most: Bytes that a compressed file may unpack to, as for ``refuse_bomb``.

    Raises:
        HfTraceError: As ``read_file`` raises it; of several files, the message begins with the name of the file.
    """
    for path in paths:
        label = path.name if len(paths) > 1 else ""
        try:
            refuse_empty(path)
            with explained(path):
                refuse_bomb(path, most)
            for block in BLOCK_READERS[data_suffix(path)](path, choice):
                yield block._replace(file=label) if isinstance(block, RowBlock) else block
        except HfTraceError as error:
            raise (type(error)(f"{label}: {error}") if label else error) from None


def _parquet(path: Path, choice: ColumnChoice) -> Blocks:
    with explained(path), pq.ParquetFile(path) as file:
        refuse_repeated(file.schema_arrow.names)
        first = readable_table(pa.Table.from_batches(islice(file.iter_batches(batch_size=100), 1), file.schema_arrow))
        if not len(first):
            yield no_rows(path, first.column_names)
            return
        columns, row = _needed(first, choice), 0
        for batch in file.iter_batches(
            ROWS_AT_ONCE, columns=[name for name in columns if name in file.schema_arrow.names]
        ):
            table = readable_table(pa.Table.from_batches([batch]), first=row).select(columns)
            yield RowBlock(table, np.arange(row + 1, row + 1 + len(table)))
            row += len(table)


def _needed(table: pa.Table, choice: ColumnChoice) -> list[str]:
    return needed_columns(frame_of_arrow(table.slice(0, 100)), choice)


def _csv(path: Path, choice: ColumnChoice) -> Blocks:
    columns: list[str] | None = None
    with explained(path):
        for frame in csv_frames(path, rows=ROWS_AT_ONCE):
            if not len(frame):
                yield no_rows(path, list(frame.columns))
                return
            if columns is None:
                columns = needed_columns(frame, choice)
                refuse_repeated_header(path, columns)
            yield RowBlock(frame[columns], frame.index.to_numpy(dtype=np.int64))


def _json_lines(path: Path, choice: ColumnChoice) -> Blocks:
    names: dict[str, None] = {}
    with explained(path):
        records = json_records(path)
        while some := list(islice(records, _RECORDS_AT_ONCE)):
            frame = pd.DataFrame([each for _, each in some], index=[number for number, _ in some], dtype=object)
            names |= dict.fromkeys(frame.columns)
            frame = frame.reindex(columns=list(names))  # a key that no record of the block has is missing in all
            yield RowBlock(frame[needed_columns(frame, choice)], frame.index.to_numpy(dtype=np.int64))
        if not names:
            yield no_rows(path, [])


BLOCK_READERS: dict[str, Callable[[Path, ColumnChoice], Blocks]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}


def hub_blocks(source: str, choice: ColumnChoice) -> Blocks:
    """The rows of a data set of the Hub.

    Args:
        source: Its id, its training split, or ``org/name:test``.
        choice: Which columns to read.

    Raises:
        LogFormatError: If it cannot be opened or read.
    """
    import datasets

    repository, _, split = source.partition(":")
    try:
        found = datasets.load_dataset(repository, split=split or "train", streaming=True)
    except Exception as error:  # the Hub, its clients and its scripts fail in many ways
        raise LogFormatError(
            f"There are no files {source!r}, and no data set of that id could be opened ({first_line(error)[:120]}). "
            "Check the name, the split after a colon, and the network."
        ) from error
    row = 0
    for table in _received(source, found):
        refuse_repeated(table.column_names)
        table = readable_table(table, found.features)
        yield RowBlock(table.select(_needed(table, choice)), np.arange(row + 1, row + 1 + len(table)))
        row += len(table)


def _received(source: str, found: Any) -> Iterator[pa.Table]:
    try:
        yield from found.with_format("arrow").iter(batch_size=ROWS_AT_ONCE)
    except Exception as error:
        raise LogFormatError(
            f"The data set {source!r} could be opened but not read to its end ({first_line(error)[:120]}). Check its "
            "files and the network, and try again."
        ) from error
