"""Causal graphs over events: one class for positions, event types and many sequences.

Wherever a graph is a matrix, ``matrix[cause, effect]`` is the edge from row ``cause`` to column ``effect``.
File formats live in ``graph_files``; how good a graph is, in ``causal.metrics``.
"""

import copy
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from hf_trace.data.graph_files import FORMAT, VERSION, read_graph, write_graph
from hf_trace.data.graph_validation import (
    Level,
    check_document,
    check_events,
    check_level,
    checked_edges,
    plain,
)
from hf_trace.errors import GraphFormatError, HfTraceError, preview


@dataclass(frozen=True, repr=False)
class CausalGraph:
    """Which events cause which, at one of three levels.

    An *instance* graph joins the positions of one sequence, a *summary* graph joins the event types of one
    sequence, a *population* graph joins event types over many sequences. Edges are kept in the order of their
    cause and then their effect, so that equal graphs compare equal however they were found.

    Attributes:
        level: ``"instance"``, ``"summary"`` or ``"population"``.
        events: Instance: the event at every position. Otherwise: the distinct event types.
        edges: One record per edge with at least ``cause`` and ``effect`` (names), usually ``cmi`` (nats),
            ``direction`` (``"excites"`` or ``"inhibits"``) and ``lag`` or ``lags`` (events). Instance edges
            also have ``cause_position`` and ``effect_position``.
        metadata: Anything else that JSON can hold: settings, sources, scores of all tested pairs.

    Raises:
        UnknownEventError: If an edge names an event that ``events`` lacks.
        GraphFormatError: If an edge lacks a key, repeats another edge or contradicts ``events``.
        EventNameError: If an event is not text that UTF-8 can write.

    Example:
        >>> edge = {"cause": "disk full", "effect": "reboot", "cmi": 0.4}
        >>> graph = CausalGraph("summary", ("disk full", "reboot"), (edge,))
        >>> graph
        CausalGraph(level='summary', nodes=2, edges=1)
        >>> graph.adjacency().tolist()
        [[False, True], [False, False]]
    """

    level: Level
    events: tuple[str, ...]
    edges: tuple[dict[str, Any], ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_level(self.level)
        events = tuple(self.events)
        check_events(self.level, events)
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "edges", checked_edges(self.level, events, self.edges))
        object.__setattr__(self, "metadata", plain(self.metadata))

    def __repr__(self) -> str:
        return f"CausalGraph(level={self.level!r}, nodes={len(self.events)}, edges={len(self.edges)})"

    def __len__(self) -> int:
        return len(self.edges)

    @property
    def nodes(self) -> tuple[int, ...] | tuple[str, ...]:
        """Positions of an instance graph, event types of the other levels."""
        return tuple(range(len(self.events))) if self.level == "instance" else self.events

    @classmethod
    def from_edges(
        cls, pairs: Iterable[Iterable[str]], events: Iterable[str] | None = None, *, level: Level = "summary"
    ) -> "CausalGraph":
        """Build a graph over event types from pairs, for example a known truth.

        Args:
            pairs: ``(cause, effect)`` names. Repeated pairs count once.
            events: All event types, those without an edge included; by default those in ``pairs``.
            level: ``"summary"`` or ``"population"``.

        Raises:
            GraphFormatError: If a pair does not have two names.
            UnknownEventError: If a pair names an event that ``events`` lacks.

        Example:
            >>> CausalGraph.from_edges([("a", "b"), ("b", "c")]).events
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
    def from_dict(cls, document: Mapping[str, Any]) -> "CausalGraph":
        """Build a graph from what ``to_dict`` returned.

        Raises:
            GraphFormatError: If the mapping is not a graph, or was written by a newer version.

        Example:
            >>> graph = CausalGraph.from_edges([("a", "b")])
            >>> CausalGraph.from_dict(graph.to_dict()) == graph
            True
        """
        check_document(document)
        metadata = document.get("metadata") or {}
        return cls(document["level"], tuple(document["events"]), tuple(document["edges"]), metadata)

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as a new mapping that JSON can hold.

        Example:
            >>> CausalGraph.from_edges([("a", "b")]).to_dict()["edges"]
            [{'cause': 'a', 'effect': 'b'}]
        """
        document = {"format": FORMAT, "version": VERSION, "level": self.level, "events": list(self.events)}
        return document | {"edges": copy.deepcopy(list(self.edges)), "metadata": copy.deepcopy(self.metadata)}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per edge and one column per key.

        Example:
            >>> CausalGraph.from_edges([("a", "b")]).to_frame().values.tolist()
            [['a', 'b']]
        """
        columns = list(dict.fromkeys(("cause", "effect", *(key for edge in self.edges for key in edge))))
        return pd.DataFrame(list(self.edges), columns=columns)

    def to_networkx(self) -> "nx.DiGraph[Any]":
        """Return a directed graph whose edges carry the edge records.

        Nodes are event types; those of an instance graph are positions with the attribute ``event``.

        Example:
            >>> list(CausalGraph.from_edges([("a", "b")]).to_networkx().edges)
            [('a', 'b')]
        """
        network: nx.DiGraph[Any] = nx.DiGraph(level=self.level)
        network.add_nodes_from(
            (node, {"event": event}) for node, event in zip(self.nodes, self.events, strict=True)
        )
        for edge in self.edges:
            cause, effect = self.ends(edge)
            network.add_edge(cause, effect, **copy.deepcopy(edge))
        return network

    def ends(self, edge: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the two nodes that an edge joins, cause first.

        Example:
            >>> graph = CausalGraph.from_edges([("a", "b")])
            >>> graph.ends(graph.edges[0])
            ('a', 'b')
        """
        if self.level == "instance":
            return edge["cause_position"], edge["effect_position"]
        return edge["cause"], edge["effect"]

    def adjacency(self) -> Bool[np.ndarray, "cause effect"]:
        """Return where there is an edge: ``[i, j]`` reads "node ``i`` causes node ``j``".

        Example:
            >>> CausalGraph.from_edges([("a", "b")]).adjacency().tolist()
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
            >>> CausalGraph("summary", ("a", "b"), (edge,)).matrix().tolist()
            [[0.0, 0.5], [0.0, 0.0]]
        """
        for edge in self.edges:
            if not isinstance(edge.get(key), int | float):
                raise GraphFormatError(
                    f"The edge {edge['cause']!r} -> {edge['effect']!r} has no number `{key}`; "
                    f"it has {preview(edge, limit=8)}. Name a numeric key, or use `adjacency()`."
                )
        return self._filled((edge[key] for edge in self.edges), np.dtype(np.float64))

    def strongest(self, count: int, *, key: str = "cmi") -> "CausalGraph":
        """Return the graph with all nodes and only the edges of largest absolute ``key``.

        Edges that lack ``key`` count as 0; among equals, earlier causes come first.

        Example:
            >>> edges = tuple({"cause": "a", "effect": e, "cmi": s} for e, s in (("b", 0.1), ("c", 0.4)))
            >>> CausalGraph("summary", ("a", "b", "c"), edges).strongest(1).edges[0]["effect"]
            'c'
        """
        ranked = sorted(self.edges, key=lambda edge: -abs(edge.get(key) or 0.0))
        return CausalGraph(self.level, self.events, tuple(ranked[: max(count, 0)]), self.metadata)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph in the format that the suffix names: .json, .graphml, .dot, .gv or .csv.

        JSON and GraphML hold everything; CSV holds the edges of event types; DOT is for drawing and cannot be
        read back.

        Raises:
            OutputError: If the suffix is unknown or the place cannot be written.
        """
        write_graph(self.to_dict(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "CausalGraph":
        """Read a graph or a known truth: .json, .graphml, .gml, .csv or .npy.

        JSON may also be a list of ``[cause, effect]`` pairs; a CSV needs two columns, ``cause`` and
        ``effect`` (or ``source, target``, or ``from, to``), and reads as a graph of event types; the nodes
        of a ``.npy`` adjacency are named ``"0"`` to ``"n-1"``.

        Raises:
            GraphFormatError: If the file does not hold a directed graph.
            UnknownEventError: If an edge names an event that the file does not list.
        """
        document = read_graph(path)
        try:
            return cls.from_dict(document)
        except HfTraceError as error:
            raise type(error)(f"Cannot read '{path}': {error}") from error

    def _filled(self, values: Iterable[Any], dtype: "np.dtype[Any]") -> Shaped[np.ndarray, "cause effect"]:
        index = {node: i for i, node in enumerate(self.nodes)}
        filled = np.zeros((len(self.events), len(self.events)), dtype)
        for edge, value in zip(self.edges, values, strict=True):
            cause, effect = self.ends(edge)
            filled[index[cause], index[effect]] = value
        return filled
