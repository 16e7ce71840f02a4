"""One file of each format as a table, all values as written. Columns are chosen in ``columns``."""

import csv
import gzip
import io
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import chain
from json import JSONDecodeError
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from hf_trace.checks import byte_count
from hf_trace.documents import Document, parse_json
from hf_trace.errors import ColumnError, EmptyLogError, HfTraceError, LogFormatError, first_line, preview
from hf_trace.logs.event_rows import EventRows
from hf_trace.logs.frames import frame_of_arrow
from hf_trace.logs.xes import read_xes
from hf_trace.options import MAX_UNPACKED

UNPACKED_VARIABLE = f"HF_TRACE_{MAX_UNPACKED.name.upper()}"
_USUAL_RATIO = 100  # texts pack to a tenth; a thousandth is the least that gzip can make of anything
_LEAST_BYTES_PER_VALUE = 4
LOG_SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".xes"})
_OTHER_SUFFIXES = frozenset(
    {".xlsx", ".xls", ".pkl", ".pickle", ".npy", ".npz", ".zip", ".tar", ".bz2", ".xz", ".zst", ".arrow", ".xml"}
)
_DELIMITERS = (",", ";", "\t", "|")


def data_suffix(path: Path) -> str:
    """Return the suffix that says the format, in lower case and without ``.gz``.

    Example:
        >>> data_suffix(Path("alarms.CSV.gz"))
        '.csv'
    """
    return Path(path.name.lower().removesuffix(".gz")).suffix


def file_stem(path: Path) -> str:
    """Return the name of a file without the suffixes that say its format.

    Example:
        >>> file_stem(Path("logs/run.7.csv.gz"))
        'run.7'
    """
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem


def read_file(path: Path, delimiter: str | None = None) -> pd.DataFrame:
    r"""Read a CSV, TSV, Parquet, JSON Lines or XES file, named by its suffix.

    Args:
        path: The file.
        delimiter: Text between the columns of a CSV file; recognised from the header when left out.

    Returns:
        One row per row, line or event; the index counts rows from 1 (lines, for JSON Lines). Texts are kept
        exactly: no value is taken for a number or for missing, except empty cells.

    Raises:
        LogFormatError: If the file is not what its suffix says.
        EmptyLogError: If the file has no rows.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "log.csv"
        ...     _ = path.write_text("event\n007\n")
        ...     read_file(path)["event"].tolist()
        ['007']
    """
    refuse_empty(path)
    suffix = data_suffix(path)
    with explained(path):
        refuse_bomb(path)
        if suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                frame = frame_of_arrow(file.read())
        elif suffix == ".xes":
            with _open_bytes(path) as stream:
                frame = read_xes(stream, name=path.name)
        elif suffix in (".csv", ".tsv"):
            frame = next(csv_frames(path, delimiter))
        else:
            frame = _read_json(path)
    if not len(frame):
        raise no_rows(path, list(frame.columns))
    return frame if suffix in (".jsonl", ".ndjson") else frame.set_axis(pd.RangeIndex(1, len(frame) + 1))


def no_rows(path: Path, columns: Sequence[str]) -> EmptyLogError:
    """The mistake of a file that holds no row."""
    return EmptyLogError(
        f"'{path.name}' has {len(columns)} columns and 0 rows, expected at least one event. Check how it was exported."
    )


def read_text(path: Path, delimiter: str | None = None) -> EventRows:
    r"""Read plain text: one sequence a line, named by its line number, from 1.

    Args:
        path: The file.
        delimiter: Text between events; any white space when left out. Space around events is not kept.

    Raises:
        LogFormatError: If the file is not text.
        EmptyLogError: If the file has no events.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "sequences.txt"
        ...     _ = path.write_text("fan heat\nfan\n")
        ...     read_text(path).events.tolist()
        ['fan', 'heat', 'fan']
    """
    if data_suffix(path) in _OTHER_SUFFIXES:
        raise LogFormatError(
            f"'{path.name}' is a {data_suffix(path)} file, expected one of {', '.join(sorted(LOG_SUFFIXES))} "
            "or plain text. Convert it, to CSV for example."
        )
    refuse_empty(path)
    with explained(path):
        refuse_bomb(path)
        with open_text(path) as stream:
            lines = [_names_of_line(line, delimiter) for line in stream]
    lengths = [len(line) for line in lines]
    names = np.array([*chain.from_iterable(lines), None], dtype=object)[:-1]
    names[names == ""] = None
    if not any(name is not None for name in names):
        raise EmptyLogError(f"'{path.name}' holds no events, expected one sequence a line. Check the file.")
    cases = np.repeat(np.arange(len(lines)), lengths)
    return EventRows(cases, list(map(str, range(1, len(lines) + 1))), names, None)


def _names_of_line(line: str, delimiter: str | None) -> list[str]:
    return [name.strip() for name in line.split(delimiter)] if line.strip() else []


def refuse_empty(path: Path) -> None:
    """Refuse a file of 0 bytes.

    Raises:
        EmptyLogError: If it is one.
    """
    if path.stat().st_size == 0:
        raise EmptyLogError(f"'{path.name}' is empty (0 bytes), expected an event log. Check how it was exported.")


def refuse_bomb(path: Path, most: int | str | None = None) -> None:
    """Refuse a compressed file, ``.gz`` or Parquet, that holds far more than its size lets expect.

    Args:
        path: The file.
        most: Bytes that it may unpack to, such as ``"20GB"``; see ``allowed_bytes`` when left out.

    Raises:
        LogFormatError: If it unpacks to more.
    """
    packed = path.stat().st_size
    allowed = allowed_bytes(packed, most)
    if path.suffix.lower() == ".gz":
        unpacked = _unpacked_bytes(path, (packed, path.stat().st_mtime_ns), allowed)
    elif data_suffix(path) == ".parquet" and packed:
        unpacked = parquet_bytes(pq.read_metadata(path))
    else:
        return
    refuse_unpacked(path.name, unpacked, packed, most)


def parquet_bytes(held: pq.FileMetaData) -> int:
    """Least number of bytes that a Parquet file takes in memory, as it says itself."""
    stated = sum(held.row_group(number).total_byte_size for number in range(held.num_row_groups))
    return int(max(stated, held.num_rows * held.num_columns * _LEAST_BYTES_PER_VALUE))


_MOST: ContextVar[int | str | None] = ContextVar("_MOST", default=None)


@contextmanager
def unpacking(most: int | str | None) -> Iterator[None]:
    """Read files that may unpack to so many bytes; None leaves it as it is."""
    token = _MOST.set(_MOST.get() if most is None else most)
    try:
        yield
    finally:
        _MOST.reset(token)


def allowed_bytes(packed: int, most: int | str | None = None) -> int:
    """How much a file of some bytes may unpack to.

    Args:
        packed: Size of the file.
        most: What the user allows; when left out what ``unpacking`` says, then the variable
            ``HF_TRACE_MAX_UNPACKED`` of the environment, else 256 MB or 100 times the size, whichever is more.

    Raises:
        SettingsError: If it is no number of bytes.

    Example:
        >>> allowed_bytes(10, "2GB")
        2000000000
    """
    asked = _MOST.get() if most is None else most
    if asked is not None:
        return byte_count(MAX_UNPACKED.name, asked)
    if asked := os.environ.get(UNPACKED_VARIABLE):
        return byte_count(UNPACKED_VARIABLE, asked)
    return max(byte_count(MAX_UNPACKED.name, MAX_UNPACKED.default), _USUAL_RATIO * packed)


def refuse_unpacked(name: str, unpacked: int, packed: int, most: int | str | None = None) -> None:
    """Refuse what unpacks to more than ``allowed_bytes``.

    Raises:
        LogFormatError: If it does.
    """
    allowed = allowed_bytes(packed, most)
    if unpacked > allowed:
        raise LogFormatError(
            f"'{name}' has {packed / 1e6:,.1f} MB and unpacks to more than {allowed / 1e6:,.0f} MB, expected a file of "
            f"events. If it is one, allow more with the variable {UNPACKED_VARIABLE}=20GB (in Python `max_unpacked=`)."
        )


@lru_cache(maxsize=4096)
def _unpacked_bytes(path: Path, state: tuple[int, int], allowed: int) -> int:
    """Bytes that a gzip file holds, or the first number found above those allowed; once for each state of the file."""
    buffer, count = bytearray(2**20), 0
    with gzip.open(path) as stream:
        while count <= allowed and (read := stream.readinto(buffer)):
            count += read
    return count


def _open_bytes(path: Path) -> io.BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a UTF-8 file for reading, unpacked if its name ends in ``.gz``; line ends stay as they are.

    Raises:
        LogFormatError: If it is binary.
    """
    with _open_bytes(path) as stream:
        start = stream.read(65_536)
    if b"\0" in start:
        raise LogFormatError(
            f"'{path.name}' is binary (a zero byte at position {start.index(0)}), expected UTF-8 text. "
            "Export it as text, or give it the suffix of its format."
        )
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


@contextmanager
def explained(path: Path, error: type[HfTraceError] = LogFormatError) -> Iterator[None]:
    """Turn what libraries raise about a broken file into one line.

    Args:
        path: The file that is read in the block.
        error: The class of the mistake.

    Raises:
        HfTraceError: Of that class.
    """
    try:
        yield
    except LogFormatError as wrong:
        raise error(str(wrong)) from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as wrong:
        raise error(
            f"'{path.name}' is not a complete gzip file ({first_line(wrong)}). Copy it again, or drop '.gz' from its "
            "name if it is not compressed."
        ) from None
    except UnicodeDecodeError as wrong:
        raise error(
            f"'{path.name}' is not UTF-8 text (byte 0x{wrong.object[wrong.start]:02x} cannot be decoded). "
            "Save it as UTF-8, or give it the suffix of its format."
        ) from None
    except (pa.ArrowException, OSError) as wrong:
        raise error(
            f"'{path.name}' cannot be read ({first_line(wrong)[:80]}), expected a {data_suffix(path) or 'text'} file "
            "that may be opened. Export it again, or give it the suffix of its format."
        ) from None


def csv_frames(path: Path, delimiter: str | None = None, *, rows: int | None = None) -> Iterator[pd.DataFrame]:
    """The rows of a CSV or TSV file, all cells as written; the index counts rows from 1.

    Args:
        path: The file.
        delimiter: Text between columns; recognised from the header, a tabulator for TSV, when left out.
        rows: How many rows to give at a time; all when left out.

    Raises:
        EmptyLogError: If it has no header.
        LogFormatError: If a row has more cells than the header, or a quote is not closed.
    """
    done = 0
    try:
        with open_text(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows with more cells than the header
            mark = delimiter or _delimiter_of(path)
            reader = pd.read_csv(
                stream, sep=mark, dtype=object, keep_default_na=False, index_col=False, iterator=True, chunksize=rows
            )
            for frame in reader if rows else [reader.read()]:
                yield frame.set_axis(pd.RangeIndex(done + 1, done + 1 + len(frame)))
                done += len(frame)
    except pd.errors.EmptyDataError:
        raise EmptyLogError(
            f"'{path.name}' holds no header and no rows, expected a table. Check how it was exported."
        ) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise LogFormatError(
            f"'{path.name}' is not a regular table ({reason}), expected as many cells in every row as in the "
            "header. Quote cells that hold the delimiter, or pass `delimiter`."
        ) from None


def _delimiter_of(path: Path) -> str:
    return "\t" if data_suffix(path) == ".tsv" else likely_delimiter(first_line_of(path))


def refuse_repeated_header(path: Path, columns: Sequence[str], delimiter: str | None = None) -> None:
    """Refuse a CSV or TSV file in whose header one of some columns stands twice: pandas numbers the second in silence.

    Raises:
        ColumnError: If one does.
    """
    header = header_cells(first_line_of(path), delimiter or _delimiter_of(path))
    twice = [name for name in dict.fromkeys(header) if name in columns and header.count(name) > 1]
    if twice:
        raise ColumnError(f"Columns {preview(twice)} appear twice, expected different names. Rename one of each.")


def first_line_of(path: Path) -> str:
    """The first line of a text file, such as the header of a table."""
    with open_text(path) as stream:
        return stream.readline()


def header_cells(line: str, delimiter: str) -> list[str]:
    """The names in the first line of a table; none where it cannot be a header.

    Example:
        >>> header_cells('case,"event, or alarm"', ",")
        ['case', 'event, or alarm']
    """
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell of more than 131,072 characters
        return []


def likely_delimiter(header: str) -> str:
    """The text between columns that cuts a header into the most cells.

    Example:
        >>> likely_delimiter("case;event,or alarm;time")
        ';'
    """
    cells = [len(header_cells(header, delimiter)) for delimiter in _DELIMITERS]
    return _DELIMITERS[cells.index(max(cells))]


def _read_json(path: Path) -> pd.DataFrame:
    if data_suffix(path) == ".json":
        with open_text(path) as stream:
            return pd.DataFrame(_json_document(path, stream.read()), dtype=object)
    numbered = list(json_records(path))
    return pd.DataFrame([each for _, each in numbered], index=[number for number, _ in numbered], dtype=object)


def _json_document(path: Path, text: str) -> list[Document]:
    try:
        records = parse_json(text)
    except ValueError as error:
        raise LogFormatError(
            f"'{path.name}' is not a JSON document ({error}). Correct it, or call it .jsonl if it has one "
            "record a line."
        ) from None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise LogFormatError(
            f"'{path.name}' holds a JSON {type(records).__name__}, expected a list of records. Write one "
            "record a line and call it .jsonl."
        )
    return records


def json_records(path: Path) -> Iterator[tuple[int, Document]]:
    """The records of a JSON Lines file, with the numbers of their lines.

    Raises:
        LogFormatError: If a line is not JSON, or no record.
    """
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, _json_record(path, number, line)


def _json_record(path: Path, number: int, line: str) -> Document:
    try:
        record: Document = parse_json(line)
    except ValueError as error:
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, JSONDecodeError) else str(error)
        raise LogFormatError(
            f"Line {number} of '{path.name}' is not JSON ({reason}), expected one record a line. Correct the line."
        ) from None
    if not isinstance(record, dict):
        raise LogFormatError(
            f"Line {number} of '{path.name}' is a JSON {type(record).__name__}, expected a record such as "
            '{"events": ["A", "B"]}. Correct the line.'
        )
    return record
