"""Causal graphs as other packages for causal inference take them; none of them needs to be installed."""

from collections.abc import Mapping
from typing import Any

import networkx as nx
import numpy as np

from hf_trace.errors import GraphFormatError
from hf_trace.graphs.event_graph import EventGraph


def acyclic_network(graph: EventGraph, reader: str) -> "nx.DiGraph[str]":
    """Names and arrows alone, for models that allow no cycle.

    Args:
        graph: Nodes of an instance graph are named by position and event.
        reader: Who reads it, for the message.

    Raises:
        GraphFormatError: If there is a cycle.

    Example:
        >>> acyclic_network(EventGraph.from_edges([("a", "b"), ("b", "a")]), "DoWhy")
        Traceback (most recent call last):
            ...
        hf_trace.errors.GraphFormatError: The graph has the cycle 'a' -> 'b' -> 'a', expected none, as DoWhy reads no \
others. Take edges out with `with_edges`.
    """
    numbered = graph.level == "instance"
    names = [f"{node}: {event}" if numbered else event for node, event in zip(graph.nodes, graph.events, strict=True)]
    of_node = dict(zip(graph.nodes, names, strict=True))
    network: nx.DiGraph[str] = nx.DiGraph()
    network.add_nodes_from(names)
    network.add_edges_from((of_node[cause], of_node[effect]) for cause, effect in map(graph.ends, graph.edges))
    if not nx.is_directed_acyclic_graph(network):
        around = [*(cause for cause, _ in nx.find_cycle(network)), nx.find_cycle(network)[0][0]]
        raise GraphFormatError(
            f"The graph has the cycle {' -> '.join(map(repr, around))}, expected none, as {reader} reads no others. "
            "Take edges out with `with_edges`."
        )
    return network


def tigramite_arrays(graph: EventGraph) -> dict[str, np.ndarray | list[str]]:
    """The arrays that Tigramite keeps a graph in, over event types and lags in events; see ``CausalGraph``.

    Raises:
        GraphFormatError: If it is an instance graph.

    Example:
        >>> edge = {"cause": "a", "effect": "a", "lag": 2, "cmi": 0.5, "direction": "inhibits"}
        >>> arrays = tigramite_arrays(EventGraph("summary", ("a",), (edge,)))
        >>> arrays["graph"].tolist(), arrays["val_matrix"].tolist()
        ([[['', '', '-->']]], [[[0.0, 0.0, -0.5]]])
    """
    if graph.level == "instance":
        raise GraphFormatError(
            "Got an instance graph, whose nodes are single events, expected one of event types, whose edges have lags. "
            "Ask for level='summary' or 'population'."
        )
    lags = [_lags(edge) for edge in graph.edges]
    size = len(graph.events), len(graph.events), 1 + max((max(each) for each in lags), default=1)
    arrows, values = np.full(size, "", dtype="<U3"), np.zeros(size)
    index = {event: number for number, event in enumerate(graph.events)}
    for edge, found in zip(graph.edges, lags, strict=True):
        place = index[edge["cause"]], index[edge["effect"]], found
        arrows[place] = "-->"
        values[place] = abs(edge.get("cmi") or 0.0) * (-1 if edge.get("direction") == "inhibits" else 1)
    return {"graph": arrows, "val_matrix": values, "var_names": list(graph.events)}


def _lags(edge: Mapping[str, Any]) -> list[int]:
    """Where an edge stands, in events; always after its cause, as one at the same place would need an order."""
    given = edge.get("lags") or [edge.get("lag")]
    return [max(1, lag) if isinstance(lag, int) else 1 for lag in given]
