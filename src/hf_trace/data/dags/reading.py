"""Known graphs from wherever a user keeps them: files, networkx graphs, lists of edges, schemas.

What a document means is decided in ``formats`` and ``bif``.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx

from hf_trace.data.dags.bif import parse_bif
from hf_trace.data.dags.formats import ENDS, source_from_json, source_from_networkx, source_from_pairs
from hf_trace.data.dags.network import Network
from hf_trace.data.dags.schema import DagSchema
from hf_trace.data.dags.source import DagSource
from hf_trace.data.dags.text_files import existing_file, read_text_file
from hf_trace.data.formats import data_suffix
from hf_trace.errors import DagFormatError, first_line, preview

_BROKEN = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    nx.NetworkXException,
    ParseError,
    csv.Error,
)


def read_dag(source: Any) -> DagSource:
    r"""Read a directed acyclic graph of variables.

    Args:
        source: A path (JSON, GML, GraphML, an edge list as CSV or TSV, BIF; each with ``.gz`` if compressed), a
            `networkx.DiGraph`, a ``DagSchema``, a ``Network``, a mapping as in a JSON file, or pairs of names, cause
            first.

    Returns:
        Names, edges, and what is said of each variable; ``infer_schema`` reads the rest from a table.

    Raises:
        DagFormatError: If there is no such file, it cannot be read, or the graph is undirected, has a cycle, repeats
            a name or an edge, or is empty.

    Example:
        >>> read_dag([("rain", "wet")]).names
        ('rain', 'wet')
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "edges.csv"
        ...     _ = path.write_text("cause,effect\nrain,wet\nsprinkler,wet\n")
        ...     read_dag(path).edges
        (('rain', 'wet'), ('sprinkler', 'wet'))
    """
    if isinstance(source, DagSource):
        return source
    if isinstance(source, Network):
        return DagSource.from_schema(source.schema)
    if isinstance(source, DagSchema):
        return DagSource.from_schema(source)
    if isinstance(source, nx.Graph):
        return source_from_networkx(source)
    if isinstance(source, Mapping):
        return source_from_json(source)
    if isinstance(source, str | PathLike):
        return _from_file(Path(source))
    if isinstance(source, Iterable):
        return source_from_pairs(source)
    raise DagFormatError(
        f"Got a {type(source).__name__}, expected a graph. Pass a path, a `networkx.DiGraph` or pairs of names."
    )


def _from_file(path: Path) -> DagSource:
    reader = _READERS.get(data_suffix(path))
    if reader is None and not path.is_dir():
        raise DagFormatError(
            f"Cannot read a graph from '{path}'. Expected a name that ends in {', '.join(_READERS)}."
        )
    path = existing_file(path)
    text = read_text_file(path)
    if not text.strip():
        raise DagFormatError(f"'{path.name}' is empty, expected a graph. Check how it was written.")
    try:
        return _READERS[data_suffix(path)](text)
    except DagFormatError as error:
        raise DagFormatError(f"'{path.name}': {error}") from None
    except (*_BROKEN, RecursionError) as error:
        raise DagFormatError(
            f"'{path.name}' cannot be read as {data_suffix(path)[1:]} ({first_line(error)}). Check how it was "
            "written, or give it the suffix of its format."
        ) from None


def _read_json(text: str) -> DagSource:
    return source_from_json(json.loads(text))


def _read_bif(text: str) -> DagSource:
    return parse_bif(text).source


def _read_graphml(text: str) -> DagSource:
    return source_from_networkx(nx.parse_graphml(text))


def _read_gml(text: str) -> DagSource:
    lines = text.splitlines()
    try:
        return source_from_networkx(nx.parse_gml(lines))
    except nx.NetworkXError as error:
        if "label" not in str(error):
            raise
        return source_from_networkx(nx.parse_gml(lines, label="id"))


def _read_csv(text: str) -> DagSource:
    return _from_cells(list(csv.reader(io.StringIO(text), delimiter=_delimiter(text))))


def _read_tsv(text: str) -> DagSource:
    return _from_cells(list(csv.reader(io.StringIO(text), delimiter="\t")))


def _delimiter(text: str) -> str:
    header = next(line for line in text.splitlines() if line.strip())
    return max((",", ";", "\t", "|"), key=header.count)


def _from_cells(rows: list[list[str]]) -> DagSource:
    lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(rows, 1) if any(row)]
    header = lines[0][1]
    cause, effect, has_header = _end_columns(header, [row for _, row in lines[1:]])
    pairs = []
    for number, row in lines[has_header:]:
        if len(row) != len(header) or not row[cause] or not row[effect]:
            raise DagFormatError(f"Line {number} is {','.join(row)!r}, expected a cause and an effect.")
        pairs.append((row[cause], row[effect]))
    return source_from_pairs(pairs)


def _end_columns(header: list[str], body: list[list[str]]) -> tuple[int, int, bool]:
    """Columns of causes and effects, and whether the first line only names them."""
    lower = [cell.lower() for cell in header]
    for cause, effect in ENDS:
        if cause in lower and effect in lower:
            return lower.index(cause), lower.index(effect), True
    if len(header) != 2:
        raise DagFormatError(
            f"The columns are {preview(header, limit=6)}, expected `cause` and `effect` (or "
            f"{', '.join(f'`{cause}` and `{effect}`' for cause, effect in ENDS if cause != 'cause')})."
        )
    # Without known names, a first line whose names stand in another line is an edge itself.
    cells = {cell for row in body for cell in row}
    return 0, 1, bool(body) and not cells & set(header)


_READERS: dict[str, Callable[[str], DagSource]] = {
    ".json": _read_json,
    ".gml": _read_gml,
    ".graphml": _read_graphml,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".bif": _read_bif,
}
