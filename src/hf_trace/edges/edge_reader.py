"""Names and edges in networks and in tables of edges; every edge that is written is read or refused by its name."""

import csv
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from tokenize import TokenError
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np

from hf_trace.documents import Document
from hf_trace.edges.edge_marks import is_mark, unlike_an_arrow
from hf_trace.errors import HfTraceError, preview

# Names of the two ends of an edge, in columns and in documents, cause first.
ENDS = (
    ("cause", "effect"),
    ("source", "target"),
    ("from", "to"),
    ("parent", "child"),
    ("tail", "head"),
    ("src", "dst"),
)
# What a node may say of its edges, beside `parents` and `children`, which are read.
_EDGES_OF_NODES = (
    *("parent", "child", "causes", "caused_by", "effects", "neighbors", "neighbours", "adjacency", "adjacencies"),
    *("adjacent", "links", "arcs", "successors", "predecessors", "targets", "depends_on", "dependencies"),
)
# What the readers of other libraries raise where a file is damaged; KeyError is that of networkx for undeclared keys.
BROKEN = (
    *(nx.NetworkXException, ElementTree.ParseError, csv.Error, TokenError, EOFError, SyntaxError),
    *(AttributeError, LookupError, MemoryError, OverflowError, RecursionError, TypeError, ValueError),
)
Pair = tuple[str, str]


@dataclass(frozen=True)
class NamedEdges:
    """What a document or a network says.

    Attributes:
        nodes: What is said of each node, by name; None where only the edges name them.
        edges: Records with ``cause``, ``effect`` and whatever else is said.
    """

    nodes: Mapping[str, Mapping[str, Any]] | None
    edges: tuple[Document, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The edges, cause first."""
        return tuple((edge["cause"], edge["effect"]) for edge in self.edges)


@dataclass(frozen=True)
class EdgeReader:
    """Reads names and edges for one kind of graph.

    Attributes:
        error: The class of its mistakes.
        name: The name that a value stands for; it refuses what is none.
        expected: What a document should hold, for messages.
        advice: What to do with an edge that is no arrow.
        guesses: Whether two columns without known names hold an edge in the first line, too; if not, this is so only
            where a name of the first line comes again.
        noun: What a node is called.
        own: Keys of edges that mean what they say here, and are kept.

    Example:
        >>> from hf_trace.errors import GraphFormatError
        >>> reader = EdgeReader(GraphFormatError, str, "edges", "Orient it.")
        >>> reader.edge(["a", "b"])
        {'cause': 'a', 'effect': 'b'}
        >>> reader.edge(["a", "<->", "b"])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        hf_trace.errors.GraphFormatError: The edge of 'a' and 'b' has mark '<->', expected an arrow ...
    """

    error: type[HfTraceError]
    name: Callable[[Any], str]
    expected: str
    advice: str
    guesses: bool = True
    noun: str = "variable"
    own: tuple[str, ...] = ()

    def edge(self, item: Any) -> Document:
        """One edge: a pair, a pair with a mark or with more said, or a mapping with the usual names of its ends.

        Raises:
            HfTraceError: If it is none of these, or no arrow.
        """
        record = self._record(item)
        if wrong := unlike_an_arrow({key: each for key, each in record.items() if key not in (*ENDS[0], *self.own)}):
            ends = f"{record['cause']!r} and {record['effect']!r}"
            raise self.error(f"The edge of {ends} has {wrong}, expected an arrow from cause to effect. {self.advice}")
        return record

    def _record(self, item: Any) -> Document:
        if isinstance(item, Mapping):
            return self._from_mapping(item)
        elif isinstance(item, list | tuple | np.ndarray) and len(item) in (2, 3):
            cause, effect, *more = item
            if not more:
                return self._named(cause, effect, {})
            if isinstance(more[0], Mapping):
                return self._named(cause, effect, more[0])
            if is_mark(effect) or is_mark(more[0]):
                mark, effect = (effect, more[0]) if is_mark(effect) else (more[0], effect)
                return self._named(cause, effect, {"mark": mark})
        raise self.error(f"Got the edge {repr(item)[:80]}, expected [cause, effect].")

    def _from_mapping(self, item: Mapping[Any, Any]) -> Document:
        both = [ends for ends in ENDS if all(end in item for end in ends)]
        if not both:
            raise self.error(f"Got the edge {repr(item)[:80]}, expected [cause, effect].")
        cause, effect = both[0]
        for other in both[1:]:
            if [str(item[end]) for end in other] != [str(item[cause]), str(item[effect])]:
                raise self.error(
                    f"The edge {repr(item)[:80]} has other ends under {cause!r} and {effect!r} than under {other[0]!r} "
                    f"and {other[1]!r}, expected one pair. Remove the other."
                )
        return self._named(item[cause], item[effect], {key: each for key, each in item.items() if key not in both[0]})

    def _named(self, cause: Any, effect: Any, rest: Mapping[Any, Any]) -> Document:
        more = {key: each for key, each in rest.items() if key not in ENDS[0]}
        return {"cause": self.name(cause), "effect": self.name(effect), **more}

    def undirected(self) -> HfTraceError:
        """The mistake of a graph without arrows."""
        return self.error(f"The graph is undirected, expected directed edges, cause → effect. {self.advice}")

    def listed(self, key: str, value: Any) -> list[Any]:
        """A list; anything else is refused."""
        if not isinstance(value, list | tuple):
            raise self.error(f'"{key}" is a {type(value).__name__}, expected a list.')
        return list(value)

    def network(self, graph: Any) -> NamedEdges:
        """What a `networkx.DiGraph` says.

        Raises:
            HfTraceError: If it is undirected, or an edge is.
        """
        if not graph.is_directed():
            raise self.undirected()
        shown = self.shown(list(graph.nodes(data=True)), numbers_only=False)
        nodes = {shown[node]: dict(said) for node, said in graph.nodes(data=True)}
        plain = replace(self, own=())  # who reads a network has only the ends of its edges
        edges = [
            plain.edge({**said, "cause": shown[cause], "effect": shown[effect]})
            for cause, effect, said in graph.edges(data=True)
        ]
        return NamedEdges(nodes, self.joined(edges, self.said_by(nodes)))

    def shown(self, nodes: Sequence[tuple[Any, Mapping[str, Any]]], *, numbers_only: bool) -> dict[Any, str]:
        """Nodes by name; programs that number their nodes write the name beside the number.

        Args:
            nodes: With what is said of each.
            numbers_only: Whether to read names beside numbers only, and keep other nodes as they are.
        """
        if not numbers_only or all(str(node).isdigit() for node, _ in nodes):
            for key in ("name", "label"):
                named = [said.get(key) for _, said in nodes]
                if named and all(isinstance(each, str) and each for each in named) and len(set(named)) == len(named):
                    return {node: str(each) for (node, _), each in zip(nodes, named, strict=True)}
        return {node: self.name(node) for node, _ in nodes}

    def said_by(self, nodes: Mapping[str, Mapping[str, Any]]) -> list[Pair]:
        """The edges that nodes name as their parents and children; anything alike is refused."""
        pairs: list[Pair] = []
        for name, said in nodes.items():
            if wrong := [key for key in _EDGES_OF_NODES if said.get(key) not in (None, "", [], {})]:
                raise self.error(
                    f"The node {name!r} has the key {wrong[0]!r}, expected its edges in a list, or as its `parents`."
                )
            pairs += [(self.name(parent), name) for parent in self.listed("parents", said.get("parents") or [])]
            pairs += [(name, self.name(child)) for child in self.listed("children", said.get("children") or [])]
        return pairs

    def joined(self, edges: Sequence[Document], stated: Sequence[Pair]) -> tuple[Document, ...]:
        """Edges of a list after those that nodes state; of one node both must say the same."""
        listed: dict[str, set[str]] = {}
        for edge in edges:
            listed.setdefault(edge["effect"], set()).add(edge["cause"])
        parents: dict[str, set[str]] = {}
        for cause, effect in stated:
            parents.setdefault(effect, set()).add(cause)
        for name in parents.keys() & listed.keys():
            if differ := sorted(listed[name] ^ parents[name]):
                raise self.error(
                    f"The edges and the parents of {name!r} disagree on {differ[0]} → {name}, expected the same. "
                    "Correct one of them."
                )
        more = ({"cause": cause, "effect": effect} for cause, effect in stated if effect not in listed)
        return (*more, *edges)

    def table(self, rows: Sequence[tuple[int, list[str]]]) -> list[Document]:
        """The edges of a table of texts, of which the first row may name the columns.

        Args:
            rows: Cells with the number of their line, as ``numbered_rows`` gives them.

        Raises:
            HfTraceError: If a row lacks an end, or it is not known which columns are the ends.
        """
        if not rows:
            return []
        header = [cell.strip() for cell in rows[0][1]]
        columns, has_names = self._columns(header, [row for _, row in rows[1:]])
        return [self.edge(self._row(number, row, columns)) for number, row in rows[has_names:]]

    def _row(self, number: int, row: list[str], columns: Sequence[str]) -> Document:
        if len(row) > len(columns):
            raise self.error(
                f"Line {number} has {len(row)} cells, expected {len(columns)} as in the first line. Quote names that "
                "hold commas."
            )
        record = dict(zip(columns, row, strict=False))
        if not record.get("cause") or not record.get("effect"):
            raise self.error(f"Line {number} is {','.join(row)[:80]!r}, expected a cause and an effect.")
        return {key: cell for key, cell in record.items() if cell or key in ENDS[0]}

    def _columns(self, header: list[str], body: list[list[str]]) -> tuple[list[str], bool]:
        """Names of the columns, cause and effect among them, and whether the first line only names them."""
        lower = [cell.lower() for cell in header]
        for cause, effect in ENDS:
            if cause in lower and effect in lower:
                new = {cause: "cause", effect: "effect"}
                columns = [new.get(low, cell) for low, cell in zip(lower, header, strict=True)]
                if twice := [
                    cell for name, cell in zip(columns, header, strict=True) if columns.count(name) > 1 and name
                ]:
                    raise self.error(f"The column {twice[0]!r} is there twice, expected each once. Rename one.")
                return columns, True
        if len(header) == 3 and len(drawn := [place for place, cell in enumerate(header) if is_mark(cell)]) == 1:
            columns = ["cause", "effect"]
            columns.insert(drawn[0], "mark")
            return columns, False
        # Without known names the first line is an edge like the others; where its names come again, this is sure.
        if len(header) == 2 and (self.guesses or {cell.strip() for row in body for cell in row} & set(header)):
            return ["cause", "effect"], False
        raise self.error(
            f"The columns are {preview(header, limit=6)}, expected `cause` and `effect` (or "
            f"{', '.join(f'`{cause}` and `{effect}`' for cause, effect in ENDS[1:4])})."
        )


def numbered_rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    r"""Cells of a table with the numbers of their lines; empty lines are left out.

    Raises:
        csv.Error: If a cell has more than 131,072 characters.

    Example:
        >>> numbered_rows("a,b\n\nc,d\n", ",")
        [(1, ['a', 'b']), (3, ['c', 'd'])]
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    # Blanks may be names, where they stand in cells.
    return [(reader.line_num, row) for row in reader if any(row) and (len(row) > 1 or row[0].strip())]


def gml_network(text: str) -> Any:
    """The network of a GML text; nodes without labels are named by their numbers.

    Raises:
        networkx.NetworkXError: If it is no GML, or of two nodes with one label.
    """
    lines = text.splitlines()
    try:
        return nx.parse_gml(lines)
    except nx.NetworkXError as error:
        if "no 'label'" not in str(error):
            raise
        return nx.parse_gml(lines, label="id")


def graphml_network(content: str | bytes) -> Any:
    """The network of a GraphML file.

    Raises:
        ValueError: If it holds more than one graph, of which networkx would read the first.
        networkx.NetworkXError: If it is no GraphML.
    """
    elements = ElementTree.fromstring(content).iter()
    count = sum(isinstance(each.tag, str) and each.tag.rpartition("}")[2] == "graph" for each in elements)
    if count > 1:
        raise ValueError(f"it holds {count} graphs, beside or within each other, expected one")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # values of undeclared types are read as texts
        return nx.parse_graphml(content) if isinstance(content, str) else nx.read_graphml(io.BytesIO(content))
