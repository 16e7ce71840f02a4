"""Causal graphs over events, and what is done with them: look, draw, compare, keep, hand on to other packages."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from hf_trace.documents import Document
from hf_trace.errors import HfTraceError
from hf_trace.graphs.event_graph import EventGraph
from hf_trace.graphs.exports import acyclic_network, tigramite_arrays
from hf_trace.graphs.graph_changes import GraphChanges, graph_changes
from hf_trace.graphs.graph_files import read_graph, write_graph
from hf_trace.graphs.pictures.figure import GraphFigure, graph_figure
from hf_trace.notebooks import picture_html, table_html

_SHOWN = ("cause", "effect", "cmi", "direction", "lag", "lags", "lag_seconds", "frequency", "support", "change")


@dataclass(frozen=True, repr=False)
class CausalGraph(EventGraph):
    """Which events cause which, at one of three levels.

    An *instance* graph joins the positions of one sequence, a *summary* graph joins the event types of one
    sequence, a *population* graph joins event types over many sequences. Edges are kept in the order of their
    cause and then their effect, so that equal graphs compare equal however they were found.

    In a loop a graph gives its edges, ``(cause, effect) in graph`` tells whether there is one, and a notebook shows
    the picture and the strongest edges.

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
        >>> ("disk full", "reboot") in graph, [edge["effect"] for edge in graph]
        (True, ['reboot'])
    """

    def __iter__(self) -> Iterator[Document]:
        return iter(self.edges)

    def __contains__(self, ends: object) -> bool:
        return ends in {self.ends(edge) for edge in self.edges}

    def _repr_html_(self) -> str:
        frame = self.strongest(len(self)).to_pandas()
        order = frame["cmi"].abs().sort_values(ascending=False, kind="stable").index if "cmi" in frame else frame.index
        shown = frame.loc[order, [name for name in _SHOWN if name in frame]]
        return picture_html(self.plot().png(), repr(self)) + table_html(shown, repr(self))

    def to_pandas(self) -> pd.DataFrame:
        """One row per edge and one column per key; the same as ``to_frame``.

        Example:
            >>> CausalGraph.from_edges([("a", "b")]).to_pandas().values.tolist()
            [['a', 'b']]
        """
        return self.to_frame()

    def plot(self, **options: Any) -> GraphFigure:
        r"""A picture of the graph, which a notebook shows; ``draw_graph`` writes one to a file.

        Args:
            options: As for ``draw_graph``: ``title``, ``max_edges``, ``truth``.

        Example:
            >>> CausalGraph.from_edges([("a", "b")]).plot(title="One edge").png()[:4]
            b'\x89PNG'
        """
        return graph_figure(self, **options)

    def compare(self, other: "CausalGraph", *, least: float = 0.0) -> "GraphChanges[CausalGraph]":
        """What changed from this graph to a later one, beyond what chance does; see ``graph_changes``.

        Args:
            other: Of the same question and settings.
            least: Differences up to this are none.

        Raises:
            SettingsError: If the two cannot be compared, with the reason.
        """
        return graph_changes(self, other, least=least)

    def to_dowhy(self) -> "nx.DiGraph[str]":
        """What ``dowhy.CausalModel(graph=...)`` and ``dowhy.gcm.StructuralCausalModel`` take.

        Nodes are named by their event types; of an instance graph by position and event, as ``"3: reboot"``.

        Raises:
            GraphFormatError: If the graph has a cycle, which these models cannot have.

        Example:
            >>> list(CausalGraph.from_edges([("a", "b")]).to_dowhy().edges)
            [('a', 'b')]
        """
        return acyclic_network(self, "DoWhy")

    def to_pgmpy(self) -> list[tuple[str, str]]:
        """What ``pgmpy.models.DiscreteBayesianNetwork(...)`` takes: pairs of names, as for ``to_dowhy``.

        Event types without an edge are none of them; ``add_nodes_from(graph.events)`` adds them.

        Raises:
            GraphFormatError: If the graph has a cycle, which these models cannot have.

        Example:
            >>> CausalGraph.from_edges([("a", "b")]).to_pgmpy()
            [('a', 'b')]
        """
        return list(acyclic_network(self, "pgmpy").edges)

    def to_tigramite(self) -> dict[str, np.ndarray | list[str]]:
        """What ``tigramite.plotting.plot_graph(**...)`` takes: ``graph``, ``val_matrix`` and ``var_names``.

        ``graph[i, j, lag]`` is ``"-->"`` where type ``i`` causes type ``j`` so many events later; an edge without a lag
        stands at 1. Values are the ``cmi``, negative where the cause inhibits.

        Raises:
            GraphFormatError: If it is an instance graph, whose nodes are single events.

        Example:
            >>> CausalGraph.from_edges([("a", "b")]).to_tigramite()["graph"][0, 1].tolist()
            ['', '-->']
        """
        return tigramite_arrays(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph in the format that the suffix names: .json, .graphml, .dot, .gv, .csv, .parquet or .xlsx.

        JSON, GraphML and Parquet hold everything; CSV holds the edges of event types; DOT is for drawing, and a
        workbook (``pip install hf-trace[excel]``) for reading: these cannot be read back.

        Raises:
            OutputError: If the suffix is unknown or the place cannot be written.
        """
        write_graph(self.to_dict(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "CausalGraph":
        """Read a graph or a known truth: .json, .graphml, .gml, .csv, .parquet or .npy.

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
