"""Names and edges in JSON documents of other programs: networkx, Cytoscape, D3, the JSON Graph Format, by hand."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

from hf_trace.checks import near, refuse_unknown
from hf_trace.documents import Document
from hf_trace.edges.edge_marks import is_no, unlike_an_arrow
from hf_trace.edges.edge_reader import EdgeReader, NamedEdges, Pair
from hf_trace.errors import preview

_LISTS = ("edges", "links", "arcs")
_HOLDERS = (*_LISTS, "adjacency", "elements", "graph", "children")
_NODES = ("nodes", "events")
_ABOUT = ("directed", "multigraph", "type", "format", "version", "level", "metadata", "data", "id")
_SPOKEN = ("name", "title", "label", "description", "comment")
Nodes = dict[str, Mapping[str, Any]]


def document_edges(
    reader: EdgeReader,
    content: Mapping[str, Any],
    *,
    more_keys: Sequence[str] = (),
    stated: Sequence[Pair] | None = None,
) -> NamedEdges:
    """What a JSON document says: edges, node-link or adjacency data, a tree, elements of Cytoscape.

    Args:
        reader: Reads one edge.
        content: The document.
        more_keys: Further keys, which the caller reads.
        stated: Edges that the caller has found under them; None if the document must list edges, if only an empty list.

    Raises:
        HfTraceError: Of the reader's class, if the document has an unknown key, no edges, lists of edges that disagree,
            or an edge that is no arrow.

    Example:
        >>> from hf_trace.errors import GraphFormatError
        >>> reader = EdgeReader(GraphFormatError, str, "edges", "Orient it.")
        >>> document_edges(reader, {"nodes": ["a", "b"], "links": [{"source": 0, "target": 1}]}).pairs
        (('a', 'b'),)
        >>> document_edges(reader, {"adjacency": {"a": {"b": 1, "c": 0}}}).pairs
        (('a', 'b'),)
    """
    if "children" not in content or any(content.get(key) is not None for key in _HOLDERS[:-1]):
        _check_keys(reader, content, more_keys)  # the root of a tree has attributes like any other node
    if is_no(content.get("directed")) or unlike_an_arrow({"type": content.get("type")}):
        raise reader.undirected()
    found = _Found(reader)
    found.read(content)
    edges = _agreed(reader, found.lists)
    nodes = found.nodes or {}
    shown = reader.shown(list(nodes.items()), numbers_only=True)
    known = _places(edges, list(nodes), shown) or shown
    said = [(known.get(cause, cause), known.get(effect, effect)) for cause, effect in reader.said_by(nodes)]
    if not found.lists and not said and stated is None:
        keys = f"has the keys {preview(content)}" if content else "is empty"
        found_instead = f"lists {len(nodes)} nodes and no edges" if nodes else keys
        raise reader.error(f"The document {found_instead}, {reader.expected}.")
    edges = [{**edge, **{end: known.get(edge[end], edge[end]) for end in ("cause", "effect")}} for edge in edges]
    named = None if found.nodes is None else {shown[node]: each for node, each in nodes.items()}
    return NamedEdges(named, reader.joined(edges, [*(stated or ()), *said]))


def _check_keys(reader: EdgeReader, content: Mapping[str, Any], more: Sequence[str]) -> None:
    for key in content:
        if any(word in str(key).casefold() for word in ("undirected", "bidirected")):
            raise reader.error(f"The document has the key {key!r}, expected arrows only. {reader.advice}")
    known = (*more, *_HOLDERS, *_NODES, *_ABOUT, *_SPOKEN)
    for key, value in content.items():
        if (
            key not in known
            and isinstance(value, list)
            and value
            and all(isinstance(each, list | dict) for each in value)
        ):
            hint = near(key, known) or " Did you mean 'edges'?"
            raise reader.error(f"Unknown key of the document: {key!r}, expected edges under 'edges'.{hint}")
    refuse_unknown(content, known, what="key of the document:", error=reader.error)


def _agreed(reader: EdgeReader, lists: Mapping[str, list[Document]]) -> list[Document]:
    """The one list of edges that is filled, or several that say the same."""
    filled = {key: edges for key, edges in lists.items() if edges}
    if not filled:
        return []
    (first, edges), *others = filled.items()
    pairs = {(edge["cause"], edge["effect"]) for edge in edges}
    for key, more in others:
        if differ := sorted(pairs ^ {(edge["cause"], edge["effect"]) for edge in more}):
            cause, effect = differ[0]
            raise reader.error(
                f"The document lists edges under {first!r} and others under {key!r}: {cause} → {effect} is in one of "
                "them. Expected one list; remove the other."
            )
    return edges


def _places(edges: Sequence[Document], nodes: Sequence[str], shown: Mapping[str, str]) -> dict[str, str]:
    """Nodes by their place, where edges name places and no node is named so (networkx 1 and D3 write this)."""
    ends = {edge[end] for edge in edges for end in ("cause", "effect")}
    places = {str(place): shown[node] for place, node in enumerate(nodes)}
    return places if ends and ends <= places.keys() and not ends & {*nodes, *shown.values()} else {}


class _Found:
    """All lists of edges of a document, by the key under which they stand, and its nodes."""

    def __init__(self, reader: EdgeReader) -> None:
        self.reader = reader
        self.lists: dict[str, list[Document]] = {}
        self.nodes: Nodes | None = None

    def read(self, content: Mapping[str, Any]) -> None:
        given = {key: value for key, value in content.items() if value is not None}
        for key in (key for key in _NODES if key in given):
            self._add_nodes(key, _listed_nodes(self.reader, key, given[key]))
        for key in (key for key in _LISTS if key in given):
            self.lists[key] = [self.reader.edge(each) for each in self.reader.listed(key, given[key])]
        if "adjacency" in given:
            self._adjacency(given["adjacency"])
        if "elements" in given:
            self._elements(given["elements"])
        if isinstance(given.get("graph"), Mapping):
            self._graph(given["graph"])
        if "children" in given:
            self._tree(given)

    def _add_nodes(self, key: str, nodes: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        found: Nodes = {}
        for name, said in nodes:
            if name in found:
                raise self.reader.error(f"The {self.reader.noun} {name!r} is listed twice, expected each once.")
            found[name] = said
        if self.nodes is not None and found.keys() != self.nodes.keys():
            differ = min(found.keys() ^ self.nodes.keys())
            raise self.reader.error(f"{key!r} and another list of nodes disagree on {differ!r}. Expected one list.")
        self.nodes = found if self.nodes is None else self.nodes

    def _adjacency(self, value: Any) -> None:
        """Rows of mappings as networkx writes them, of names, or of numbers of which 0 is no edge."""
        if isinstance(value, Mapping):
            rows = [(self.reader.name(name), row) for name, row in value.items()]
            if self.nodes is None:
                ends = [self.reader.name(each) for _, row in rows if isinstance(row, Mapping | list) for each in row]
                self.nodes = {end: {} for end in (*(name for name, _ in rows), *ends)}
        else:
            nodes, listed = list(self.nodes or ()), self.reader.listed("adjacency", value)
            if len(listed) != len(nodes):
                raise self.reader.error(
                    f'"adjacency" has {len(listed)} rows, expected one for each of the {len(nodes)} "nodes".'
                )
            rows = list(zip(nodes, listed, strict=True))
        if not isinstance(value, Mapping) and _is_matrix(rows):
            rows = [(name, dict(zip(self.nodes or (), row, strict=True))) for name, row in rows]
        self.lists["adjacency"] = [
            self.reader.edge(edge) for name, row in rows for edge in self._neighbours(name, row) if edge
        ]

    def _neighbours(self, name: str, row: Any) -> Iterator[Any]:
        if not isinstance(row, Mapping):
            for each in self.reader.listed("adjacency", row):
                rest = {key: value for key, value in each.items() if key != "id"} if _has(each, "id") else {}
                yield {**rest, "cause": name, "effect": each["id"] if _has(each, "id") else each}
            return
        for other, said in row.items():
            if isinstance(said, Mapping | str):
                yield {**(said if isinstance(said, Mapping) else {"mark": said}), "cause": name, "effect": other}
            elif not isinstance(said, Real) or math.isnan(said):
                raise self.reader.error(f"The adjacency of {name!r} and {other!r} is {said!r}, expected a number.")
            else:
                yield (name, other) if said else None

    def _elements(self, value: Any) -> None:
        """Nodes and edges as Cytoscape writes them, apart or in one list."""
        if isinstance(value, Mapping):
            refuse_unknown(value, ("nodes", "edges"), what="key of the elements:", error=self.reader.error)
            nodes, edges = (self.reader.listed(key, value.get(key) or []) for key in ("nodes", "edges"))
        else:
            every = self.reader.listed("elements", value)
            edges = [each for each in every if _has(_said(each), "source")]
            nodes = [each for each in every if not _has(_said(each), "source")]
        self._add_nodes("elements", _listed_nodes(self.reader, "nodes", list(map(_said, nodes))))
        self.lists["elements"] = [self.reader.edge(_said(each)) for each in edges]

    def _graph(self, graph: Mapping[str, Any]) -> None:
        """A graph within the document, or only what networkx keeps beside nodes and edges."""
        if any(isinstance(graph.get(key), list | Mapping) for key in (*_NODES, *_HOLDERS)):
            inner = document_edges(self.reader, graph)
            if inner.nodes is not None:
                self._add_nodes("graph", inner.nodes.items())
            self.lists["graph"] = list(inner.edges)

    def _tree(self, root: Mapping[str, Any]) -> None:
        nodes: list[tuple[str, Mapping[str, Any]]] = []
        edges, left = [], [root]
        while left:
            name, said = _node(self.reader, left.pop())
            nodes.append((name, {key: value for key, value in said.items() if key != "children"}))
            children = self.reader.listed("children", said.get("children") or [])
            edges += [self.reader.edge((name, _node(self.reader, child)[0])) for child in children]
            left += children
        self._add_nodes("children", nodes)
        self.lists["children"] = edges


def _listed_nodes(reader: EdgeReader, key: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        value = [{"id": name, **(said if isinstance(said, Mapping) else {})} for name, said in value.items()]
    if not isinstance(value, list | tuple):
        raise reader.error(f'"{key}" is a {type(value).__name__}, expected a list of names.')
    for each in value:
        yield _node(reader, each) if isinstance(each, Mapping) else (reader.name(each), {})


def _node(reader: EdgeReader, said: Any) -> tuple[str, Mapping[str, Any]]:
    for key in ("id", "name"):
        if _has(said, key):
            return reader.name(said[key]), said
    raise reader.error(f'A {reader.noun} is {str(said)[:60]}, expected a mapping with "id".')


def _has(each: Any, key: str) -> bool:
    return isinstance(each, Mapping) and key in each


def _said(element: Any) -> Any:
    return element["data"] if _has(element, "data") else element


def _is_matrix(rows: Sequence[tuple[str, Any]]) -> bool:
    """Whether all rows are numbers, one for each node."""
    return all(
        isinstance(row, list | tuple) and len(row) == len(rows) and all(isinstance(each, Real) for each in row)
        for _, row in rows
    )
