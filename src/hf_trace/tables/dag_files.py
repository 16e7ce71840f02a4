"""Known graphs from wherever a user keeps them: files, JSON documents, edge lists, networkx graphs, schemas."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import networkx as nx

from hf_trace.checks import refuse_unknown
from hf_trace.documents import parse_json
from hf_trace.edges.edge_documents import document_edges
from hf_trace.edges.edge_reader import BROKEN, EdgeReader, Pair, gml_network, graphml_network, numbered_rows
from hf_trace.errors import DagFormatError, first_line
from hf_trace.logs.formats import data_suffix, likely_delimiter
from hf_trace.tables.bif import parse_bif
from hf_trace.tables.dag_source import DagSource, VariableHint, existing_file, read_text_file
from hf_trace.tables.network import Network
from hf_trace.tables.schema import FORMAT, VERSION, DagSchema, parents_in
from hf_trace.tables.variables import PARTS, variable_name, variable_parts

_EXPECTED = (
    'expected {"variables": {"X": {"parents": ["A"]}, …}} or {"edges": [["A", "X"], …]}, with "latent": ["U"] '
    "where variables are never observed"
)
_EDGES = EdgeReader(
    DagFormatError,
    variable_name,
    _EXPECTED,
    "Orient it or remove it; where a hidden common cause is meant, make it a variable with two arrows and name it with "
    "`--latent`.",
)


def _from_pairs(pairs: Iterable[Any], names: Iterable[str] = ()) -> DagSource:
    edges = [_EDGES.edge(pair) for pair in pairs]
    return _source(names, [(edge["cause"], edge["effect"]) for edge in edges], {})


def _source(names: Iterable[str], edges: Sequence[Pair], said: Mapping[str, Mapping[str, Any]]) -> DagSource:
    """A graph of listed names, or of those that edges name where none are listed."""
    listed = tuple(dict.fromkeys(names)) or tuple(dict.fromkeys(end for edge in edges for end in edge))
    return DagSource(listed, tuple(edges), _hints(said))


def _from_networkx(graph: Any) -> DagSource:
    """A graph from a `networkx.DiGraph`; nodes may carry what a ``VariableHint`` holds."""
    found = _EDGES.network(graph)
    said = {name: _without_empty(attributes) for name, attributes in (found.nodes or {}).items()}
    return _source(said, found.pairs, said)


def _without_empty(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of ``values`` and other lists, an empty one says nothing."""
    return {
        key: value
        for key, value in attributes.items()
        if not (isinstance(value, list | tuple | str) and value in ([], (), "", "[]"))
    }


def _from_json(content: Any) -> DagSource:
    """A graph from variables with parents, from edges, or from what other programs write."""
    if isinstance(content, list):
        return _from_pairs(content)
    if not isinstance(content, Mapping):
        raise DagFormatError(f"The document holds {str(content)[:40]}, {_EXPECTED}.")
    _check_version(content)
    variables = _variables(content.get("variables"))
    stated = [(parent, name) for name, each in variables.items() for parent in parents_in(name, each)]
    # Variables alone are a graph, too: one in which nothing causes anything.
    has_names = any(content.get(key) is not None for key in ("variables", "nodes", "events"))
    more_keys = ("variables", "latent")
    found = document_edges(_EDGES, content, more_keys=more_keys, stated=stated if has_names else None)
    nodes = found.nodes or {}
    latent = [variable_name(each) for each in _EDGES.listed("latent", content.get("latent") or [])]
    # A list of nodes may leave out the latent ones, which edges name.
    ends = {end for edge in found.pairs for end in edge}
    names = [*variables, *nodes]
    names += [name for name in latent if name in ends and names]
    return _source(names, found.pairs, {**nodes, **variables}).with_latent(latent)


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


def _hints(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, VariableHint]:
    """What is said of the variables of which something is said."""
    hints = {name: VariableHint(**variable_parts(name, each)) for name, each in documents.items()}
    return {name: hint for name, hint in hints.items() if hint != VariableHint()}


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
    except BROKEN as error:
        raise DagFormatError(
            f"'{path.name}' cannot be read as {data_suffix(path)[1:]} ({first_line(error)[:200]}). Check how it was "
            "written, or give it the suffix of its format."
        ) from None


def _read_csv(text: str, delimiter: str | None = None) -> DagSource:
    delimiter = delimiter or likely_delimiter(next(line for line in text.splitlines() if line.strip()))
    rows = [(number, [cell.strip() for cell in row]) for number, row in numbered_rows(text, delimiter)]
    return _source((), [(edge["cause"], edge["effect"]) for edge in _EDGES.table(rows)], {})


_READERS: dict[str, Callable[[str], DagSource]] = {
    ".json": lambda text: _from_json(parse_json(text)),
    ".gml": lambda text: _from_networkx(gml_network(text)),
    ".graphml": lambda text: _from_networkx(graphml_network(text)),
    ".csv": _read_csv,
    ".tsv": partial(_read_csv, delimiter="\t"),
    ".bif": lambda text: parse_bif(text).source,
}
