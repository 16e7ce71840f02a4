"""Which places are joined, in files: the edges of networks without arrows, as topologies are written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_trace.checks import one_of
from hf_trace.documents import parse_json
from hf_trace.errors import GraphFormatError, first_line
from hf_trace.graphs.edge_documents import document_edges
from hf_trace.graphs.edge_reader import BROKEN, EdgeReader, Pair, gml_network, graphml_network, numbered_rows
from hf_trace.graphs.graph_files import read_graph

_READER = EdgeReader(
    GraphFormatError,
    str,
    'expected {"edges": [["a", "b"], …]} or a list of pairs of joined places',
    "Leave the mark out: joined places have no direction.",
    noun="place",
)


def read_joined_places(path: str | os.PathLike[str]) -> tuple[Pair, ...]:
    """Read pairs of joined places; a pair may be written in one direction or in both.

    CSV, TSV and TXT hold two columns, with or without a line of names; JSON, GML and GraphML what networkx writes of
    a graph with or without arrows; the places of a ``.npy`` adjacency are named ``"0"`` to ``"n-1"``.

    Raises:
        GraphFormatError: If the file is missing or holds no edges.
    """
    suffix = Path(path).suffix.lower()
    one_of(f"The suffix of the topology '{path}'", suffix, _READERS, error=GraphFormatError)
    try:
        return tuple(_READERS[suffix](Path(path)))
    except GraphFormatError as error:
        raise GraphFormatError(f"Cannot read the topology '{path}': {error}") from error
    except OSError as error:
        reason = (error.strerror or first_line(error)).lower()
        raise GraphFormatError(f"Cannot read the topology '{path}': {reason}.") from error
    except BROKEN as error:
        raise GraphFormatError(f"Cannot read the topology '{path}' as {suffix[1:]}: {first_line(error)}.") from error


def _table(path: Path, delimiter: str) -> list[Pair]:
    rows = numbered_rows(path.read_text(encoding="utf-8-sig"), delimiter)
    # Where the first line names the columns in words of its own, it joins two places that no log has.
    return [(edge["cause"], edge["effect"]) for edge in _READER.table(rows)]


def _json(path: Path) -> list[Pair]:
    content = parse_json(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, list):
        return [(edge["cause"], edge["effect"]) for edge in map(_READER.edge, content)]
    if not isinstance(content, dict):
        raise GraphFormatError(f"The document holds {str(content)[:40]}, {_READER.expected}.")
    if "level" in content:
        return _adjacency(path)
    return list(document_edges(_READER, content | {"directed": True}).pairs)


def _network(network: Any) -> list[Pair]:
    name = _READER.shown(list(network.nodes(data=True)), numbers_only=False)
    return [(name[one], name[other]) for one, other in network.edges()]


def _adjacency(path: Path) -> list[Pair]:
    return [(edge["cause"], edge["effect"]) for edge in read_graph(path)["edges"]]


_READERS: dict[str, Callable[[Path], list[Pair]]] = {
    ".csv": lambda path: _table(path, ","),
    ".tsv": lambda path: _table(path, "\t"),
    ".txt": lambda path: _table(path, " "),
    ".json": _json,
    ".gml": lambda path: _network(gml_network(path.read_text(encoding="utf-8-sig"))),
    ".graphml": lambda path: _network(graphml_network(path.read_bytes())),
    ".npy": _adjacency,
}
