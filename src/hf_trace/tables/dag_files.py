"""Known graphs from wherever a user keeps them: files, JSON documents, edge lists, networkx graphs, schemas."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx
import numpy as np

from hf_trace.checks import refuse_unknown
from hf_trace.errors import DagFormatError, first_line, preview
from hf_trace.logs.formats import data_suffix, likely_delimiter
from hf_trace.tables.bif import parse_bif
from hf_trace.tables.dag_source import DagSource, VariableHint, existing_file, read_text_file
from hf_trace.tables.network import Network
from hf_trace.tables.schema import FORMAT, VERSION, DagSchema, parents_in
from hf_trace.tables.variables import PARTS, variable_name, variable_parts

# Names of the two ends of an edge, in columns and in JSON, cause first.
ENDS = (("source", "target"), ("cause", "effect"), ("from", "to"), ("parent", "child"))
_EXPECTED = (
    'expected {"variables": {"X": {"parents": ["A"]}, …}} or {"edges": [["A", "X"], …]}, with "latent": ["U"] '
    "where variables are never observed"
)


def _from_pairs(pairs: Iterable[Any], names: Iterable[str] = ()) -> DagSource:
    edges = [_edge(pair) for pair in pairs]
    ends = [end for edge in edges for end in edge]
    return DagSource(tuple(dict.fromkeys([*names, *ends])), tuple(edges))


def _from_networkx(graph: Any) -> DagSource:
    """A graph from a `networkx.DiGraph`; nodes may carry what a ``VariableHint`` holds."""
    if not graph.is_directed():
        raise DagFormatError("The graph is undirected, expected directed edges, cause → effect.")
    shown = _shown_names(graph)
    hints = _hints({shown[node]: _without_empty(attributes) for node, attributes in graph.nodes(data=True)})
    edges = tuple((shown[cause], shown[effect]) for cause, effect in graph.edges())
    return DagSource(tuple(shown.values()), edges, hints)


def _shown_names(graph: Any) -> dict[Any, str]:
    """Nodes by name; programs that number their nodes write the name beside the number."""
    for key in ("name", "label"):
        named = [data.get(key) for _, data in graph.nodes(data=True)]
        if named and all(isinstance(each, str) and each for each in named) and len(set(named)) == len(named):
            return dict(zip(graph.nodes, named, strict=True))
    return {node: variable_name(node) for node in graph.nodes}


def _without_empty(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of ``values`` and other lists, an empty one says nothing."""
    return {
        key: value
        for key, value in attributes.items()
        if not (isinstance(value, list | tuple | str) and value in ([], (), "", "[]"))
    }


def _from_json(content: Any) -> DagSource:
    """A graph from variables with parents, from edges, or from node-link data."""
    if isinstance(content, list):
        return _from_pairs(content)
    if not isinstance(content, Mapping):
        raise DagFormatError(f"The document holds {str(content)[:40]}, {_EXPECTED}.")
    _check_version(content)
    if content.get("directed") is False:
        raise DagFormatError("The graph is undirected, expected directed edges, cause → effect.")
    listed = [key for key in ("variables", "edges", "links", "nodes", "events") if content.get(key) is not None]
    if not listed:
        raise DagFormatError(f"The document has the keys {preview(content)}, {_EXPECTED}.")
    variables = _variables(content.get("variables"))
    nodes = _nodes(content.get("nodes", content.get("events")))
    own = [_edge(pair) for pair in _listed(content, "links" if "links" in content else "edges")]
    edges = [(parent, name) for name, each in variables.items() for parent in parents_in(name, each)] + own
    names = dict.fromkeys([*variables, *nodes])
    if not names:
        names = dict.fromkeys(end for edge in own for end in edge)
    latent = [variable_name(each) for each in _listed(content, "latent")]
    # A list of nodes may leave out the latent ones, which edges name.
    ends = {end for edge in edges for end in edge}
    names |= dict.fromkeys(name for name in latent if name in ends)
    return DagSource(tuple(names), tuple(edges), _hints({**nodes, **variables})).with_latent(latent)


def _check_version(content: Mapping[str, Any]) -> None:
    version = content.get("version", VERSION)
    if content.get("format") == FORMAT and version != VERSION:
        raise DagFormatError(
            f"The schema is of version {version!r}, expected {VERSION}. Use the version of hf_trace that wrote it."
        )


def _variables(listed: Any) -> dict[str, Mapping[str, Any]]:
    """Variables by name, from a mapping or from a list of mappings with names."""
    if isinstance(listed, list):
        pairs = [(_named(each, ("name", "id")), each) for each in listed]
    elif isinstance(listed, Mapping):
        pairs = [(variable_name(name), {} if each is None else each) for name, each in listed.items()]
    elif listed is None:
        return {}
    else:
        raise DagFormatError(f'"variables" is a {type(listed).__name__}, {_EXPECTED}.')
    for name, each in pairs:
        if not isinstance(each, Mapping):
            raise DagFormatError(f"The variable {name!r} is {each!r}, {_EXPECTED}.")
        known = (*PARTS, "parents", "name", "id")
        refuse_unknown(each, known, what=f"key of the variable {name!r}:", error=DagFormatError)
    return _by_name(pairs)


def _nodes(listed: Any) -> dict[str, Mapping[str, Any]]:
    """Nodes by name: names, or mappings with other things beside them, as networkx and others write."""
    if listed is None:
        return {}
    if not isinstance(listed, list):
        raise DagFormatError(f'"nodes" is a {type(listed).__name__}, expected a list of names.')
    return _by_name(
        (_named(each, ("id", "name")), each) if isinstance(each, Mapping) else (variable_name(each), {})
        for each in listed
    )


def _by_name(pairs: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for name, each in pairs:
        if name in found:
            raise DagFormatError(f"The variable {name!r} is listed twice, expected each once.")
        found[name] = each
    return found


def _named(document: Any, keys: tuple[str, ...]) -> str:
    if isinstance(document, Mapping):
        for key in keys:
            if key in document:
                return variable_name(document[key])
    raise DagFormatError(f'A variable is {str(document)[:60]}, expected a mapping with "{keys[0]}".')


def _listed(content: Mapping[str, Any], key: str) -> list[Any]:
    listed = content.get(key)
    if listed is None:
        return []
    if not isinstance(listed, list | tuple):
        raise DagFormatError(f'"{key}" is a {type(listed).__name__}, expected a list.')
    return list(listed)


def _edge(pair: Any) -> tuple[str, str]:
    """Read a pair, or a mapping with any of the usual names for its two ends."""
    if isinstance(pair, list | tuple | np.ndarray) and len(pair) == 2:
        return variable_name(pair[0]), variable_name(pair[1])
    if isinstance(pair, Mapping):
        for cause, effect in ENDS:
            if cause in pair and effect in pair:
                return variable_name(pair[cause]), variable_name(pair[effect])
    raise DagFormatError(f"Got the edge {pair!r}, expected [cause, effect].")


def _hints(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, VariableHint]:
    """What is said of the variables of which something is said."""
    hints = {name: VariableHint(**variable_parts(name, each)) for name, each in documents.items()}
    return {name: hint for name, hint in hints.items() if hint != VariableHint()}


_BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, nx.NetworkXException, ParseError, csv.Error)


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
        >>> document = {"variables": {"X": {"values": [0, 1]}, "Y": {"parents": ["X"]}}}
        >>> read_dag(document).edges, read_dag(document).hint("X").values
        ((('X', 'Y'),), ('0', '1'))
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
        return _from_networkx(source)
    if isinstance(source, Mapping):
        return _from_json(source)
    if isinstance(source, str | PathLike):
        return _from_file(Path(source))
    if isinstance(source, Iterable):
        return _from_pairs(source)
    raise DagFormatError(
        f"Got a {type(source).__name__}, expected a graph. Pass a path, a `networkx.DiGraph` or pairs of names."
    )


def _from_file(path: Path) -> DagSource:
    reader = _READERS.get(data_suffix(path))
    if reader is None and not path.is_dir():
        raise DagFormatError(f"Cannot read a graph from '{path}'. Expected a name that ends in {', '.join(_READERS)}.")
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


def _read_gml(text: str) -> DagSource:
    lines = text.splitlines()
    try:
        return _from_networkx(nx.parse_gml(lines))
    except nx.NetworkXError as error:
        if "label" not in str(error):
            raise
        return _from_networkx(nx.parse_gml(lines, label="id"))


def _read_csv(text: str, delimiter: str | None = None) -> DagSource:
    delimiter = delimiter or likely_delimiter(next(line for line in text.splitlines() if line.strip()))
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(rows, 1) if any(row)]
    header = lines[0][1]
    cause, effect, has_header = _end_columns(header, [row for _, row in lines[1:]])
    pairs = []
    for number, row in lines[has_header:]:
        if len(row) != len(header) or not row[cause] or not row[effect]:
            raise DagFormatError(f"Line {number} is {','.join(row)!r}, expected a cause and an effect.")
        pairs.append((row[cause], row[effect]))
    return _from_pairs(pairs)


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
    ".json": lambda text: _from_json(json.loads(text)),
    ".gml": _read_gml,
    ".graphml": lambda text: _from_networkx(nx.parse_graphml(text)),
    ".csv": _read_csv,
    ".tsv": partial(_read_csv, delimiter="\t"),
    ".bif": lambda text: parse_bif(text).source,
}
