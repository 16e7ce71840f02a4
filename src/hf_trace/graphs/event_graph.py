"""Graphs over events as values: nodes, edges, and what makes them valid; see ``graph`` for what is done with one."""

import copy
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import networkx as nx
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from hf_trace.checks import one_of
from hf_trace.documents import Document
from hf_trace.errors import EventNameError, GraphFormatError, UnknownEventError, preview
from hf_trace.graphs.graph_files import FORMAT, VERSION

Level: TypeAlias = Literal["instance", "summary", "population"]
Own = TypeVar("Own", bound="EventGraph")


@dataclass(frozen=True, repr=False)
class EventGraph:
    """Nodes, edges between them, and what is known of them; ``CausalGraph`` says what each of its fields holds.

    Raises:
        UnknownEventError: If an edge names an event that ``events`` lacks.
        GraphFormatError: If an edge lacks a key, repeats another edge or contradicts ``events``.
        EventNameError: If an event is not text that UTF-8 can write.
    """

    level: Level
    events: tuple[str, ...]
    edges: tuple[Document, ...] = ()
    metadata: Document = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("level", self.level, get_args(Level), error=GraphFormatError)
        object.__setattr__(self, "events", tuple(self.events))
        _check_events(self.level, self.events)
        object.__setattr__(self, "edges", _checked_edges(self.level, self.events, self.edges))
        object.__setattr__(self, "metadata", plain(self.metadata))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(level={self.level!r}, nodes={len(self.events)}, edges={len(self.edges)})"

    def __len__(self) -> int:
        return len(self.edges)

    @property
    def nodes(self) -> tuple[int, ...] | tuple[str, ...]:
        """Positions of an instance graph, event types of the other levels."""
        return tuple(range(len(self.events))) if self.level == "instance" else self.events

    @classmethod
    def from_edges(
        cls: type[Own], pairs: Iterable[Iterable[str]], events: Iterable[str] | None = None, *, level: Level = "summary"
    ) -> Own:
        """Build a graph over event types from pairs, for example a known truth.

        Args:
            pairs: ``(cause, effect)`` names. Repeated pairs count once.
            events: All event types, those without an edge included; by default those in ``pairs``.
            level: ``"summary"`` or ``"population"``.

        Raises:
            GraphFormatError: If a pair does not have two names.
            UnknownEventError: If a pair names an event that ``events`` lacks.

        Example:
            >>> EventGraph.from_edges([("a", "b"), ("b", "c")]).events
            ('a', 'b', 'c')
        """
        unique = list(dict.fromkeys(tuple(pair) for pair in pairs))
        wrong = next((pair for pair in unique if len(pair) != 2), None)
        if wrong is not None:
            raise GraphFormatError(f"Got the edge {wrong!r}. Expected two names, (cause, effect).")
        names = (name for pair in unique for name in pair) if events is None else events
        edges = tuple({"cause": cause, "effect": effect} for cause, effect in unique)
        return cls(level, tuple(dict.fromkeys(names)), edges)

    @classmethod
    def from_dict(cls: type[Own], document: Mapping[str, Any]) -> Own:
        """Build a graph from what ``to_dict`` returned.

        Raises:
            GraphFormatError: If the mapping is not a graph, or was written by a newer version.

        Example:
            >>> graph = EventGraph.from_edges([("a", "b")])
            >>> EventGraph.from_dict(graph.to_dict()) == graph
            True
        """
        _check_document(document)
        metadata = document.get("metadata") or {}
        edges = tuple(map(_plain_record, document["edges"]))
        return cls(document["level"], tuple(document["events"]), edges, metadata)

    def to_dict(self) -> Document:
        """Return the graph as a new mapping that JSON can hold.

        Example:
            >>> EventGraph.from_edges([("a", "b")]).to_dict()["edges"]
            [{'cause': 'a', 'effect': 'b'}]
        """
        document = {"format": FORMAT, "version": VERSION, "level": self.level, "events": list(self.events)}
        return document | {"edges": copy.deepcopy(list(self.edges)), "metadata": copy.deepcopy(self.metadata)}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per edge and one column per key.

        Example:
            >>> EventGraph.from_edges([("a", "b")]).to_frame().values.tolist()
            [['a', 'b']]
        """
        columns = list(dict.fromkeys(("cause", "effect", *(key for edge in self.edges for key in edge))))
        return pd.DataFrame(list(self.edges), columns=columns)

    def to_networkx(self) -> "nx.DiGraph[Any]":
        """Return a directed graph whose edges carry the edge records.

        Nodes are event types; those of an instance graph are positions with the attribute ``event``.

        Example:
            >>> list(EventGraph.from_edges([("a", "b")]).to_networkx().edges)
            [('a', 'b')]
        """
        network: nx.DiGraph[Any] = nx.DiGraph(level=self.level)
        network.add_nodes_from((node, {"event": event}) for node, event in zip(self.nodes, self.events, strict=True))
        for edge in self.edges:
            cause, effect = self.ends(edge)
            network.add_edge(cause, effect, **copy.deepcopy(edge))
        return network

    def ends(self, edge: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the two nodes that an edge joins, cause first.

        Example:
            >>> graph = EventGraph.from_edges([("a", "b")])
            >>> graph.ends(graph.edges[0])
            ('a', 'b')
        """
        if self.level == "instance":
            return edge["cause_position"], edge["effect_position"]
        return edge["cause"], edge["effect"]

    def adjacency(self) -> Bool[np.ndarray, "cause effect"]:
        """Return where there is an edge: ``[i, j]`` reads "node ``i`` causes node ``j``".

        Example:
            >>> EventGraph.from_edges([("a", "b")]).adjacency().tolist()
            [[False, True], [False, False]]
        """
        return self._filled((True for _ in self.edges), np.dtype(np.bool_))

    def matrix(self, key: str = "cmi") -> Float[np.ndarray, "cause effect"]:
        """Return a number of every edge, and 0 where there is no edge.

        Args:
            key: A numeric key of the edge records; ``"cmi"`` is in nats.

        Raises:
            GraphFormatError: If an edge lacks ``key`` or holds no number there.

        Example:
            >>> edge = {"cause": "a", "effect": "b", "cmi": 0.5}
            >>> EventGraph("summary", ("a", "b"), (edge,)).matrix().tolist()
            [[0.0, 0.5], [0.0, 0.0]]
        """
        for edge in self.edges:
            if not isinstance(edge.get(key), int | float):
                raise GraphFormatError(
                    f"The edge {edge['cause']!r} -> {edge['effect']!r} has no number `{key}`; "
                    f"it has {preview(edge, limit=8)}. Name a numeric key, or use `adjacency()`."
                )
        return self._filled((edge[key] for edge in self.edges), np.dtype(np.float64))

    def strongest(self: Own, count: int, *, key: str = "cmi") -> Own:
        """Return the graph with all nodes and only the edges of largest absolute ``key``.

        Edges that lack ``key`` count as 0; among equals, earlier causes come first.

        Example:
            >>> edges = tuple({"cause": "a", "effect": e, "cmi": s} for e, s in (("b", 0.1), ("c", 0.4)))
            >>> EventGraph("summary", ("a", "b", "c"), edges).strongest(1).edges[0]["effect"]
            'c'
        """
        ranked = sorted(self.edges, key=lambda edge: -abs(edge.get(key) or 0.0))
        return replace(self, edges=tuple(ranked[: max(count, 0)]))

    def with_edges(self: Own, edges: Iterable[Mapping[str, Any]]) -> Own:
        """Return the graph with other edges between the same nodes.

        Raises:
            UnknownEventError: If an edge names an event that the graph lacks.
            GraphFormatError: If an edge lacks a key, repeats another edge or contradicts the events.

        Example:
            >>> graph = EventGraph.from_edges([("a", "b"), ("b", "a")])
            >>> graph.with_edges(edge for edge in graph.edges if edge["cause"] == "a")
            EventGraph(level='summary', nodes=2, edges=1)
        """
        return replace(self, edges=tuple(dict(edge) for edge in edges))

    def with_metadata(self: Own, **more: Any) -> Own:
        """Return the graph with more metadata; what is there already under a name is replaced.

        Raises:
            GraphFormatError: If JSON cannot hold a value.

        Example:
            >>> EventGraph.from_edges([("a", "b")]).with_metadata(source="manual").metadata
            {'source': 'manual'}
        """
        return replace(self, metadata={**self.metadata, **more})

    def _filled(self, values: Iterable[Any], dtype: "np.dtype[Any]") -> Shaped[np.ndarray, "cause effect"]:
        index = {node: i for i, node in enumerate(self.nodes)}
        filled = np.zeros((len(self.events), len(self.events)), dtype)
        for edge, value in zip(self.edges, values, strict=True):
            cause, effect = self.ends(edge)
            filled[index[cause], index[effect]] = value
        return filled


def _checked_edges(level: Level, events: tuple[str, ...], edges: Iterable[Any]) -> tuple[Document, ...]:
    """Plain copies of the edges, ordered by cause and then effect."""
    index = {event: i for i, event in enumerate(events)}
    records = [_plain_record(edge) for edge in edges]
    for edge in records:
        _check_edge(level, events, index, edge)
    records.sort(key=lambda edge: _ends(level, index, edge))
    for one, other in itertools.pairwise(records):
        if _ends(level, index, one) == _ends(level, index, other):
            raise GraphFormatError(
                f"The edge {_arrow(one)} is given more than once. Expected one record per pair; "
                "put several lags in its `lags`."
            )
    return tuple(records)


def _ends(level: Level, index: Mapping[str, int], edge: Mapping[str, Any]) -> tuple[int, int]:
    if level == "instance":
        return edge["cause_position"], edge["effect_position"]
    return index[edge["cause"]], index[edge["effect"]]


def _arrow(edge: Mapping[str, Any]) -> str:
    return f"{edge['cause']!r} -> {edge['effect']!r}"


def plain(value: Any) -> Any:
    """Turn numpy values and tuples into what JSON can hold; NaN and infinity become None.

    Raises:
        GraphFormatError: If there is a value that JSON cannot hold.

    Example:
        >>> plain({"cmi": np.float64(0.5), "lags": (1, 2)})
        {'cmi': 0.5, 'lags': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    raise GraphFormatError(
        f"Got {value!r} of type {type(value).__name__} in a graph. Expected numbers, text, lists and mappings."
    )


def _plain_record(edge: Any) -> Document:
    if not isinstance(edge, Mapping):
        raise GraphFormatError(
            f"Got the edge {edge!r}. Expected a mapping with `cause` and `effect`; for pairs use `from_edges`."
        )
    record: Document = plain(edge)
    return record


def _check_events(level: Level, events: tuple[Any, ...]) -> None:
    """Refuse events that are not text, and event types given twice."""
    for position, event in enumerate(events):
        if not isinstance(event, str):
            raise EventNameError(f"Got the event {event!r} at {position}. Expected text: write numbers as '7'.")
        try:
            event.encode()
        except UnicodeEncodeError:
            raise EventNameError(
                f"Got the event {event!r} at {position}, which holds half of a character. Read the log as UTF-8."
            ) from None
    if level != "instance" and len(set(events)) < len(events):
        repeated = dict.fromkeys(event for event in events if events.count(event) > 1)
        raise GraphFormatError(
            f"Got event types more than once: {preview(repeated)}. Expected every type once; "
            'for positions use level="instance".'
        )


def _check_edge(level: Level, events: tuple[str, ...], index: Mapping[str, int], edge: Mapping[str, Any]) -> None:
    required = ("cause", "effect") + (("cause_position", "effect_position") if level == "instance" else ())
    missing = [key for key in required if key not in edge]
    if missing:
        raise GraphFormatError(f"An edge lacks {preview(missing)}; it has {preview(edge, limit=8)}.")
    for end in ("cause", "effect"):
        name = edge[end]
        if not isinstance(name, str) or name not in index:
            raise UnknownEventError(
                f"The {end} of the edge {_arrow(edge)} is not one of the {len(events)} events of the graph. "
                "Add it to `events`, or correct the edge."
            )
        if level == "instance":
            _check_position(events, edge, end)
    if level == "instance" and edge["cause_position"] >= edge["effect_position"]:
        raise GraphFormatError(
            f"The edge {_arrow(edge)} goes from position {edge['cause_position']} to "
            f"{edge['effect_position']}. Expected the cause before the effect."
        )


def _check_position(events: tuple[str, ...], edge: Mapping[str, Any], end: str) -> None:
    position = edge[f"{end}_position"]
    if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < len(events):
        raise GraphFormatError(
            f"The edge {_arrow(edge)} has `{end}_position` {position!r}. Expected 0 to {len(events) - 1}."
        )
    if events[position] != edge[end]:
        raise GraphFormatError(
            f"The edge {_arrow(edge)} has `{end}_position` {position}, where the event is {events[position]!r}."
        )


def _check_document(document: Any) -> None:
    """Refuse a mapping that is not a graph, or is one of a newer version."""
    if not isinstance(document, Mapping):
        raise GraphFormatError(f"Got {type(document).__name__} instead of a mapping as a causal graph.")
    if document.get("format", FORMAT) != FORMAT:
        raise GraphFormatError(f"Got a document of format {document['format']!r}. Expected {FORMAT!r}.")
    version = document.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise GraphFormatError(
            f"Got a graph of version {version!r}; this hf_trace reads up to {VERSION}. Update hf_trace."
        )
    kinds = {"level": str, "events": list | tuple, "edges": list | tuple}
    missing = [key for key, kind in kinds.items() if not isinstance(document.get(key), kind)]
    if missing:
        raise GraphFormatError(f"A causal graph lacks {preview(missing)}; got {preview(document, limit=8)}.")
    one_of("level", document["level"], get_args(Level), error=GraphFormatError)
    if not isinstance(document.get("metadata") or {}, Mapping):
        raise GraphFormatError(f"Got the `metadata` {document['metadata']!r} of a graph. Expected a mapping.")
