"""Edges that background knowledge requires: marked where they were found, added where they were not."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from hf_trace.causal.knowledge import BackgroundKnowledge, Pair
from hf_trace.causal.pairs import PairScores
from hf_trace.data.graph import CausalGraph
from hf_trace.data.sequence import EventSequence


def with_required(
    graph: CausalGraph, knowledge: BackgroundKnowledge, measured: Mapping[Pair, float]
) -> CausalGraph:
    """Mark the required edges of a graph over event types ``"required": true``; add those it lacks.

    Args:
        graph: A summary or population graph. A required pair is added where both ends are among its types.
        knowledge: What is required.
        measured: ``cmi`` of edges to add, in nats; 0 where nothing could be measured.

    Example:
        >>> known = BackgroundKnowledge(required=(("a", "b"),))
        >>> with_required(CausalGraph("summary", ("a", "b")), known, {}).edges[0]["support"]
        0
    """
    required = knowledge.required_among(graph.events)
    found = {(edge["cause"], edge["effect"]) for edge in graph.edges}
    marked = [
        {**edge, "required": True} if (edge["cause"], edge["effect"]) in required else edge
        for edge in graph.edges
    ]
    added = [
        {
            "cause": cause,
            "effect": effect,
            "cmi": measured.get((cause, effect), 0.0),
            "lags": [],
            "support": 0,
            "required": True,
        }
        for cause, effect in required - found
    ]
    return replace(graph, edges=(*marked, *added))


def strongest_scores(sequence: EventSequence, scores: PairScores, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Largest ``cmi`` over the tested positions of each pair of types; pairs without any are left out."""
    events = np.array(sequence.events, dtype=object)
    cause, effect = events[scores.cause_position], events[scores.effect_position]
    tested = {pair: scores.cmi[(cause == pair[0]) & (effect == pair[1])] for pair in pairs}
    return {pair: float(values.max()) for pair, values in tested.items() if len(values)}
