"""Instance graph and summary graph of one sequence, from the scores of its pairs."""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

import numpy as np

from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Threshold
from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.knowledge import Pair
from hf_trace.logs.sequence import EventSequence

# Of the times from cause to effect, which have heavy tails: quantiles say what a mean does not.
DELAY_LEVELS = (0.1, 0.5, 0.9)


def strongest_scores(sequence: EventSequence, scores: PairScores, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Largest ``cmi`` over the tested positions of each pair of types; pairs never tested are left out."""
    events = np.array(sequence.events, dtype=object)
    cause, effect = events[scores.cause_position], events[scores.effect_position]
    tested = {pair: scores.cmi[(cause == pair[0]) & (effect == pair[1])] for pair in pairs}
    return {pair: float(values.max()) for pair, values in tested.items() if len(values)}


def direction(gain: float) -> str:
    """Whether a cause ``excites`` an effect (makes it more likely) or ``inhibits`` it.

    Example:
        >>> direction(-0.2)
        'inhibits'
    """
    return "excites" if gain >= 0 else "inhibits"


def instance_graph(sequence: EventSequence, scores: PairScores, threshold: Threshold) -> CausalGraph:
    """Which events of one sequence caused which.

    Args:
        sequence: The events; with timestamps, edges have lags in seconds.
        scores: Its tested pairs.
        threshold: Decides which pairs are edges.

    Returns:
        A graph over positions, edges ordered by cause. Edges between events at the same time that were scored in both
        orders are ``undirected``, with ``order_difference`` (nats) and its ``order_error``.
    """
    kept = threshold.keep(scores).nonzero()[0]
    edges = tuple(_edge(sequence, scores, int(index)) for index in kept)
    confidence = threshold.confidence(scores)
    if confidence is not None:
        sure = confidence[kept].tolist()
        edges = tuple({**edge, "confidence": each} for edge, each in zip(edges, sure, strict=True))
    return CausalGraph("instance", sequence.events, edges)


def _edge(sequence: EventSequence, scores: PairScores, index: int) -> Document:
    cause, effect = int(scores.cause_position[index]), int(scores.effect_position[index])
    edge: Document = {
        "cause": sequence.events[cause],
        "effect": sequence.events[effect],
        "cause_position": cause,
        "effect_position": effect,
        "lag": effect - cause,
        "cmi": float(scores.cmi[index]),
        "standard_error": float(scores.standard_error[index]),
        "gain": float(scores.gain[index]),
        "direction": direction(scores.gain[index]),
    }
    if sequence.timestamps is not None:
        edge["lag_seconds"] = sequence.timestamps[effect] - sequence.timestamps[cause]
    if scores.order_difference is not None and scores.order_error is not None and scores.tied[index]:
        edge["undirected"] = True
        edge["order_difference"] = float(scores.order_difference[index])
        edge["order_error"] = float(scores.order_error[index])
    return edge


def summary_graph(instance: CausalGraph, *, self_loops: bool = False) -> CausalGraph:
    """Project an instance graph on event types: two types have an edge if any of their positions do.

    Args:
        instance: A graph over positions.
        self_loops: Whether to keep edges from a type to itself.

    Returns:
        A graph over the event types of the sequence. ``cmi`` and, where known, ``confidence`` are the largest over
        the pairs of positions that carry the edge; ``lags`` (events) are theirs, ``support`` is their number. With
        timestamps ``lag_seconds_quantiles`` are those of their delays, by level.

    Example:
        >>> edge = {"cause": "a", "effect": "b", "cause_position": 0, "effect_position": 1}
        >>> edge |= {"lag": 1, "cmi": 0.3, "gain": 0.2}
        >>> summary_graph(CausalGraph("instance", ("a", "b"), (edge,))).edges[0]["support"]
        1
    """
    names = itemgetter("cause", "effect")
    pairs = sorted((edge for edge in instance.edges if self_loops or edge["cause"] != edge["effect"]), key=names)
    edges = tuple(_merged(list(group)) for _, group in groupby(pairs, key=names))
    return CausalGraph("summary", tuple(dict.fromkeys(instance.events)), edges)


def _merged(edges: list[Document]) -> Document:
    sure = [edge["confidence"] for edge in edges if "confidence" in edge]
    delays = [edge["lag_seconds"] for edge in edges if edge.get("lag_seconds") is not None]
    return {
        "cause": edges[0]["cause"],
        "effect": edges[0]["effect"],
        "cmi": max(edge["cmi"] for edge in edges),
        **({"confidence": max(sure)} if sure else {}),
        **({"undirected": True} if all(edge.get("undirected") for edge in edges) else {}),
        "direction": direction(sum(edge["gain"] for edge in edges)),
        "lags": sorted({edge["lag"] for edge in edges}),
        "support": len(edges),
        **({"lag_seconds_quantiles": _quantiles(delays)} if delays else {}),
    }


def _quantiles(delays: list[float]) -> dict[str, float]:
    found = np.quantile(delays, DELAY_LEVELS, method="inverted_cdf").tolist()
    return {f"{level:g}": seconds for level, seconds in zip(DELAY_LEVELS, found, strict=True)}
