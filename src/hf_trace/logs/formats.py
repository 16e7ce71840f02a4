"""One file of each format as a table, all values as written. Columns are chosen in ``columns``."""

import csv
import gzip
import io
import json
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from hf_trace.documents import Document
from hf_trace.errors import EmptyLogError, HfTraceError, LogFormatError, first_line
from hf_trace.logs.event_rows import EventRows
from hf_trace.logs.frames import frame_of_arrow

_VALUE_TAGS = frozenset({"string", "date", "int", "float", "boolean", "id"})
_TRACE_NAME = "case:concept:name"


def read_xes(stream: BufferedIOBase, *, name: str = "file") -> pd.DataFrame:
    """Read an XES document, whatever its namespace, one trace in memory at a time.

    Args:
        stream: The uncompressed document.
        name: What to call the document in errors.

    Returns:
        One row per event, all values as the texts in the file. Event attributes keep their key, attributes
        of the trace are prefixed with ``case:``. A trace without a name is named by its number, from 1.

    Raises:
        LogFormatError: If the document is not XML, or holds no trace.

    Example:
        >>> import io
        >>> trace = '<trace><event><string key="concept:name" value="start"/></event></trace>'
        >>> read_xes(io.BytesIO(f"<log>{trace}</log>".encode())).to_dict("records")
        [{'case:concept:name': '1', 'concept:name': 'start'}]
    """
    rows: list[dict[str, str]] = []
    traces = 0
    try:
        for trace in _traces(stream):
            traces += 1
            rows.extend(_trace_rows(trace, traces))
    except ElementTree.ParseError as error:
        raise LogFormatError(
            f"'{name}' is not well-formed XML ({error}), expected an XES log. Export it again, or rename it "
            "if it is another format."
        ) from None
    if traces == 0:
        raise LogFormatError(f"'{name}' is XML without a <trace> element, expected an XES log. Export the log as XES.")
    return pd.DataFrame(rows, dtype=object)


def _traces(stream: BufferedIOBase) -> Iterator[Element]:
    root: Element | None = None
    for moment, element in ElementTree.iterparse(stream, events=("start", "end")):
        if root is None:
            root = element
        elif moment == "end" and _tag(element) == "trace":
            yield element
            root.clear()  # what was read is forgotten, or memory grows with the file


def _trace_rows(trace: Element, number: int) -> Iterator[dict[str, str]]:
    shared = {_TRACE_NAME: str(number)}
    shared |= {f"case:{key}": value for key, value in _attributes(trace).items()}
    for child in trace:
        if _tag(child) == "event":
            yield shared | _attributes(child)


def _attributes(element: Element) -> dict[str, str]:
    values = (child for child in element if _tag(child) in _VALUE_TAGS)
    return {child.get("key", ""): child.get("value", "") for child in values}


def _tag(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


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
        if suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                frame = frame_of_arrow(file.read())
        elif suffix == ".xes":
            with _open_bytes(path) as stream:
                frame = read_xes(stream, name=path.name)
        elif suffix in (".csv", ".tsv"):
            frame = _read_csv(path, "\t" if suffix == ".tsv" and delimiter is None else delimiter)
        else:
            frame = _read_json(path)
    if not len(frame):
        raise EmptyLogError(
            f"'{path.name}' has {len(frame.columns)} columns and 0 rows, expected at least one event. Check "
            "how it was exported."
        )
    return frame if suffix in (".jsonl", ".ndjson") else frame.set_axis(pd.RangeIndex(1, len(frame) + 1))


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
    with explained(path), open_text(path) as stream:
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
            f"'{path.name}' is not a complete gzip file ({wrong}). Copy it again, or drop '.gz' from its "
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


def _read_csv(path: Path, delimiter: str | None) -> pd.DataFrame:
    try:
        with open_text(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows with more cells than the header
            mark = delimiter or likely_delimiter(first_line_of(path))
            return pd.read_csv(stream, sep=mark, dtype=object, keep_default_na=False, index_col=False)
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


def first_line_of(path: Path) -> str:
    """The first line of a text file, such as the header of a table."""
    with open_text(path) as stream:
        return stream.readline()


def likely_delimiter(header: str) -> str:
    """The text between columns that cuts a header into the most cells.

    Example:
        >>> likely_delimiter("case;event,or alarm;time")
        ';'
    """
    cells = [len(next(csv.reader([header], delimiter=delimiter), [])) for delimiter in _DELIMITERS]
    return _DELIMITERS[cells.index(max(cells))]


def _read_json(path: Path) -> pd.DataFrame:
    with open_text(path) as stream:
        if data_suffix(path) == ".json":
            return pd.DataFrame(_json_document(path, stream.read()), dtype=object)
        numbered = [(number, line) for number, line in enumerate(stream, 1) if line.strip()]
    records = [json_record(path, number, line) for number, line in numbered]
    return pd.DataFrame(records, index=[number for number, _ in numbered], dtype=object)


def _json_document(path: Path, text: str) -> list[Document]:
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
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


def json_record(path: Path, number: int, line: str) -> Document:
    """The record in one line of a JSON Lines file.

    Raises:
        LogFormatError: If it is not JSON, or no record.
    """
    try:
        record: Document = json.loads(line)
    except json.JSONDecodeError as error:
        raise LogFormatError(
            f"Line {number} of '{path.name}' is not JSON ({error.msg} at column {error.colno}), expected one "
            "record a line. Correct the line."
        ) from None
    if not isinstance(record, dict):
        raise LogFormatError(
            f"Line {number} of '{path.name}' is a JSON {type(record).__name__}, expected a record such as "
            '{"events": ["A", "B"]}. Correct the line.'
        )
    return record
