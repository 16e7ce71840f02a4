"""Causal graphs in files: JSON, GraphML, GML, DOT, CSV, Parquet and numpy adjacencies; edges of many in one table."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from hf_trace.checks import refuse_unknown
from hf_trace.documents import Document, parse_json
from hf_trace.edges.edge_documents import document_edges
from hf_trace.edges.edge_reader import BROKEN, EdgeReader, gml_network, graphml_network, numbered_rows
from hf_trace.errors import GraphFormatError, OutputError, first_line
from hf_trace.graphs.workbooks import write_workbook
from hf_trace.logs.writing import atomic_path

FORMAT = "hf_trace.causal_graph"
VERSION = 1
_LONGEST_REASON = 200
_DIRECTION_COLOURS = {"excites": "#0072B2", "inhibits": "#D55E00"}
# XML allows no control characters, turns some white space into blanks, and has no U+FFFE and U+FFFF. A
# backslash is escaped only where an escape could be read, so that ordinary names stay as they are.
_NEEDS_ESCAPE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]|\\\\(?=u)")
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})")


def write_graph(document: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the mapping of a graph in the format that the suffix of ``path`` names.

    Raises:
        OutputError: If the suffix is unknown or the place cannot be written.
    """
    writer = _WRITERS.get(Path(path).suffix.lower())
    if writer is None:
        raise OutputError(f"Cannot write a graph to '{path}'. Expected a name that ends in {', '.join(_WRITERS)}.")
    with atomic_path(path) as unfinished:
        writer(document, unfinished)


def read_graph(path: str | os.PathLike[str]) -> Document:
    """Read the mapping of a graph from a file that this package or another program wrote.

    Raises:
        GraphFormatError: If the file is missing, has an unknown suffix or holds no directed graph.
    """
    suffix = Path(path).suffix.lower()
    if suffix in _FOR_PEOPLE:
        raise GraphFormatError(
            f"Cannot read '{path}': {_FOR_PEOPLE[suffix]} only. Save the graph as .json or .graphml."
        )
    reader = _READERS.get(suffix)
    if reader is None:
        raise GraphFormatError(
            f"Cannot read a graph from '{path}'. Expected a name that ends in {', '.join(_READERS)}."
        )
    try:
        return reader(Path(path))
    except GraphFormatError as error:
        raise GraphFormatError(f"Cannot read '{path}': {error}") from error
    except OSError as error:
        reason = (error.strerror or first_line(error)).lower()[:_LONGEST_REASON]
        raise GraphFormatError(f"Cannot read '{path}': {reason}.") from error
    except BROKEN as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON].rstrip(".") or type(error).__name__
        raise GraphFormatError(f"Cannot read '{path}' as {suffix[1:]}: {reason}.") from error


# JSON


def _write_json(document: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> Document:
    content = parse_json(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, list):
        return _document(map(_EDGES.edge, content))
    if not isinstance(content, dict):
        raise GraphFormatError(f"The document holds {str(content)[:40]}, {_EDGES.expected}.")
    if "level" in content:
        holders = [key for key, value in content.items() if isinstance(value, list | dict)]
        refuse_unknown(holders, _KEYS, what="key of the graph:", error=GraphFormatError)
        return content
    if isinstance(content.get("graph"), dict) and content["graph"].get("format") == FORMAT:
        content = {"edges": content.get("edges")}  # what a pipeline returns: its edges stand beside the graph
    found = document_edges(_EDGES, content)
    return _document(found.edges, found.nodes)


def _name(value: Any) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise GraphFormatError(f"An event is named {value!r}, expected a text.")


_KEYS = ("format", "version", "level", "events", "edges", "metadata")
_EDGES = EdgeReader(
    GraphFormatError,
    _name,
    'expected {"edges": [["a", "b"], …]} or a list of [cause, effect] pairs',
    "Orient it or remove it.",
    guesses=False,
    noun="event",
    own=("undirected",),
)


def _document(edges: Iterable[Document], events: Iterable[Any] | None = None) -> Document:
    merged = _merge_repeats(edges)
    level = "population" if merged and all("frequency" in edge for edge in merged) else "summary"
    ends = (edge[end] for edge in merged for end in ("cause", "effect"))
    names = ends if events is None else map(_name, events)
    return {"level": level, "events": list(dict.fromkeys(names)), "edges": merged, "metadata": {}}


def _merge_repeats(edges: Iterable[Document]) -> list[Document]:
    """Keep the strongest record of every pair, with the lags of all (tables often have a row per lag)."""
    kept: dict[tuple[str, str], Document] = {}
    lags: dict[tuple[str, str], list[Any]] = {}
    for edge in edges:
        pair = (edge["cause"], edge["effect"])
        lags.setdefault(pair, []).append(edge.get("lag"))
        if pair not in kept or _strength(edge) > _strength(kept[pair]):
            kept[pair] = edge
    several = {pair: sorted(set(found)) for pair, found in lags.items() if len(found) > 1 and None not in found}
    return [{**edge, "lags": several[pair]} if pair in several else edge for pair, edge in kept.items()]


def _strength(edge: Mapping[str, Any]) -> float:
    cmi = edge.get("cmi")
    return abs(cmi) if isinstance(cmi, int | float) else 0.0


# CSV


def _write_csv(document: Mapping[str, Any], path: Path) -> None:
    columns = dict.fromkeys(("cause", "effect", *(key for edge in document["edges"] for key in edge)))
    rows = [
        {key: value if key in ("cause", "effect") else _as_text(value) for key, value in edge.items()}
        for edge in document["edges"]
    ]
    frame = pd.DataFrame(rows, columns=list(columns), dtype=object)
    frame.to_csv(path, index=False, encoding="utf-8", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def _read_csv(path: Path) -> Document:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = numbered_rows(file.read(), ",")
    if not rows:
        raise GraphFormatError("it is empty, expected edges.")
    return _document(map(_typed, _EDGES.table(rows)))


def _typed(record: Mapping[Any, str]) -> Document:
    ends = {"cause": record["cause"], "effect": record["effect"]}
    return ends | {str(key): _from_text(text) for key, text in record.items() if key not in ends and text != ""}


def _as_text(value: Any) -> Any:
    """Write lists as JSON, and text as it is unless it could be taken for JSON."""
    if isinstance(value, str) and value and _from_text(value) == value:
        return value
    return value if isinstance(value, int | float) and not isinstance(value, bool) else json.dumps(value)


def _from_text(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


# GraphML and GML


def _write_graphml(document: Mapping[str, Any], path: Path) -> None:
    instance = document["level"] == "instance"
    network: nx.DiGraph[Any] = nx.DiGraph(
        format=FORMAT, level=document["level"], metadata=_escape(json.dumps(document["metadata"]))
    )
    for position, event in enumerate(document["events"]):
        network.add_node(str(position) if instance else _escape(event), event=_escape(event))
    for edge in document["edges"]:
        ends = (edge["cause_position"], edge["effect_position"]) if instance else (edge["cause"], edge["effect"])
        values = {_escape(k): _graphml_value(v) for k, v in edge.items() if k not in ("cause", "effect")}
        cause, effect = (_escape(str(end)) for end in ends)
        network.add_edge(cause, effect)
        network.edges[cause, effect].update(values)
    nx.write_graphml(network, path)


def _graphml_value(value: Any) -> Any:
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return _escape(_as_text(value) if isinstance(value, str) else json.dumps(value))


def _read_graphml(path: Path) -> Document:
    network = graphml_network(path.read_bytes())
    if network.graph.get("format") != FORMAT:
        return _foreign(network)
    names = {node: _unescape(values.get("event", "")) for node, values in network.nodes(data=True)}
    edges = [
        {"cause": names[cause], "effect": names[effect]}
        | {
            _unescape(key): _from_text(_unescape(each)) if isinstance(each, str) else each
            for key, each in values.items()
        }
        for cause, effect, values in network.edges(data=True)
    ]
    metadata = parse_json(_unescape(network.graph["metadata"]))
    level = network.graph["level"]
    return {"level": level, "events": list(names.values()), "edges": edges, "metadata": metadata}


def _read_gml(path: Path) -> Document:
    return _foreign(gml_network(path.read_text(encoding="utf-8-sig")))


def _foreign(network: Any) -> Document:
    found = _EDGES.network(network)
    return _document(({"cause": cause, "effect": effect} for cause, effect in found.pairs), found.nodes)


def _escape(text: str) -> str:
    return _NEEDS_ESCAPE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


# DOT and numpy


def _write_dot(document: Mapping[str, Any], path: Path) -> None:
    index = {event: position for position, event in enumerate(document["events"])}
    largest = max((_strength(edge) for edge in document["edges"]), default=0.0)
    lines = ["digraph causal {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    lines += [f"  n{i} [label={_quoted(event)}];" for i, event in enumerate(document["events"])]
    lines += [_dot_edge(edge, index, largest) for edge in document["edges"]]
    path.write_text("\n".join([*lines, "}"]) + "\n", encoding="utf-8")


def _dot_edge(edge: Mapping[str, Any], index: Mapping[str, int], largest: float) -> str:
    cause = edge.get("cause_position", index[edge["cause"]])
    effect = edge.get("effect_position", index[edge["effect"]])
    width = 1.0 + 4.0 * _strength(edge) / largest if largest else 1.0
    colour = _DIRECTION_COLOURS.get(edge.get("direction", ""), "#555555")
    lags = edge.get("lags") or ([edge["lag"]] if edge.get("lag") is not None else [])
    label = f", label={_quoted('lag ' + ', '.join(map(str, lags)))}" if lags else ""
    return f'  n{cause} -> n{effect} [penwidth={width:.3g}, color="{colour}"{label}];'


def _quoted(text: str) -> str:
    """Quote for DOT, whose labels know escapes with a backslash and entities with an ampersand."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;").replace("\n", "\\n")
    return '"' + re.sub("[\x00-\x1f\x7f]", "\ufffd", escaped) + '"'


def _read_npy(path: Path) -> Document:
    with path.open("rb") as file:
        adjacency = np.lib.format.read_array(file, allow_pickle=False)
    if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1]:
        raise GraphFormatError(f"got an array of shape {adjacency.shape}. Expected a square one, [cause, effect].")
    if adjacency.dtype.kind not in "biuf":
        raise GraphFormatError(f"got an array of {adjacency.dtype}. Expected numbers, 0 where there is no edge.")
    if np.isnan(adjacency).any():
        raise GraphFormatError("got an array with NaN. Expected numbers, 0 where there is no edge.")
    _refuse_marks(adjacency)
    edges = ({"cause": str(cause), "effect": str(effect)} for cause, effect in np.argwhere(adjacency))
    return _document(edges, range(len(adjacency)))


def _refuse_marks(adjacency: NDArray[Any]) -> None:
    """Refuse codes of the marks at both ends of each edge, as causal-learn writes them: -1 a tail, 1 an arrow head."""
    filled = adjacency != 0
    is_coded = np.isin(adjacency, (-1, 0, 1, 2)).all() and np.array_equal(filled, filled.T)
    if is_coded and adjacency.dtype.kind != "b" and (adjacency == -1).any():
        cause, effect = np.argwhere(adjacency == -1)[0]
        raise GraphFormatError(
            f"got -1 at [{cause}, {effect}] and {adjacency[effect, cause]:g} at [{effect}, {cause}]: marks at the "
            "ends of an edge. Expected 1 for an edge at [cause, effect] only, and 0 for none."
        )


# Parquet


_GRAPH_KEY, _MANY_KEY = b"hf_trace.graph", b"hf_trace.graphs"
ROWS_AT_ONCE = 65_536
_OTHER = "other"
_COLUMNS = {
    **{"cause": pa.string(), "effect": pa.string(), "cause_position": pa.int64(), "effect_position": pa.int64()},
    **{"lag": pa.int64(), "cmi": pa.float64(), "standard_error": pa.float64(), "gain": pa.float64()},
    **{"edge_cmi": pa.float64(), "confidence": pa.float64(), "direction": pa.string()},
    **{"frequency": pa.float64(), "frequency_low": pa.float64(), "frequency_high": pa.float64()},
    **{"support": pa.int64(), "lags": pa.list_(pa.int64()), "lag_seconds": pa.float64()},
}
_FIELDS = [pa.field(name, kind) for name, kind in {**_COLUMNS, _OTHER: pa.string()}.items()]


class EdgeTable:
    """A Parquet file that grows by the edges of one sequence after another.

    Args:
        writer: What writes it.
    """

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._rows: list[Document] = []

    def add(self, sequence: str | None, edges: list[Document]) -> None:
        """Add the edges of a sequence; ``sequence`` is its id, None for a graph of all."""
        self._rows += [_row(sequence, edge) for edge in edges]
        if len(self._rows) >= ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write the rows held as one group."""
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._writer.schema))
        self._rows = []


@contextmanager
def edge_table(path: str | os.PathLike[str], *, level: str) -> Iterator[EdgeTable]:
    """Write the edges of many graphs; the file appears when the block has ended well.

    Args:
        path: The file.
        level: Level of the graphs, kept with the table.

    Raises:
        OutputError: If it cannot be written.
    """
    schema = pa.schema([("id", pa.string()), *_FIELDS], metadata={_MANY_KEY: level.encode()})
    with atomic_path(path) as unfinished, pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        table = EdgeTable(writer)
        yield table
        table.flush()


def _write_parquet(document: Mapping[str, Any], path: Path) -> None:
    """Write the edges; everything else goes into the metadata of the file."""
    rest = {key: value for key, value in document.items() if key != "edges"}
    schema = pa.schema(_FIELDS, metadata={_GRAPH_KEY: json.dumps(rest, allow_nan=False).encode()})
    edges = document["edges"]
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, max(1, len(edges)), ROWS_AT_ONCE):
            rows = [_row(None, edge) for edge in edges[start : start + ROWS_AT_ONCE]]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _read_parquet(path: Path) -> Document:
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise GraphFormatError(f"it is not a Parquet file ({first_line(error)[:80]}).") from None
    metadata = table.schema.metadata or {}
    if _MANY_KEY in metadata:
        raise GraphFormatError(
            "it holds the graphs of many sequences, expected one. Read it with `pandas.read_parquet`, a row per edge."
        )
    edges = [_edge(row) for row in table.to_pylist()]
    if _GRAPH_KEY not in metadata:  # another program wrote the file
        return _document(map(_EDGES.edge, edges))
    return {**parse_json(metadata[_GRAPH_KEY].decode()), "edges": edges}


def _row(sequence: str | None, edge: Mapping[str, Any]) -> Document:
    row: Document = {name: edge[name] for name in _COLUMNS if name in edge}
    other = {name: value for name, value in edge.items() if name not in _COLUMNS}
    return row | {"id": sequence, _OTHER: json.dumps(other) if other else None}


def _edge(row: Mapping[str, Any]) -> Document:
    other = row.get(_OTHER)
    return {name: value for name, value in row.items() if value is not None and name != _OTHER} | (
        parse_json(other) if other else {}
    )


_FOR_PEOPLE = {
    **dict.fromkeys((".dot", ".gv"), "DOT files are written for drawing"),
    ".xlsx": "workbooks are written for reading",
}
_WRITERS: dict[str, Callable[[Mapping[str, Any], Path], None]] = {
    ".json": _write_json,
    ".graphml": _write_graphml,
    ".dot": _write_dot,
    ".gv": _write_dot,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".xlsx": write_workbook,
}
_READERS: dict[str, Callable[[Path], Document]] = {
    ".json": _read_json,
    ".graphml": _read_graphml,
    ".gml": _read_gml,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
}
