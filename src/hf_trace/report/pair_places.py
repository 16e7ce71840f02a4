"""Where an edge of event types may have acted: places where cause and effect stand at their usual distance."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.places_of_edges import BETWEEN, BOTH
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.near_names import near_name
from hf_trace.logs.sequence import EventSequence
from hf_trace.report.evidence import EvidenceCollector, Link, Pair

_MOST_EVENTS = 100_000
_USUAL_LAG = 16  # events, where an edge does not say how far it reaches


class PairPlaces:
    """Finds the places of the edges of a graph over event types, of which the model was not asked one by one.

    A place is an effect with the latest cause before it, no further away than nine in ten of the delays of the edge,
    or than its longest lag where delays are not known.

    Args:
        graph: Over event types.

    Example:
        >>> graph = CausalGraph.from_edges([("a", "b")])
        >>> [(link.cause, link.effect) for link in PairPlaces(graph).links(EventSequence(("a", "x", "b")))]
        [(0, 2)]
    """

    def __init__(self, graph: CausalGraph) -> None:
        reach = int(graph.metadata.get("settings", {}).get("max_lag") or _USUAL_LAG)
        self._into: dict[str, list[tuple[str, float | None, int, Mapping[str, Any]]]] = defaultdict(list)
        for edge in graph.edges:
            longest = (edge.get("lag_seconds_quantiles") or {}).get("0.9")
            lag = max(edge.get("lags") or [reach])
            for cause, effect in pairs_of(edge):
                self._into[effect].append((cause, longest, lag, edge))

    def links(self, sequence: EventSequence) -> list[Link]:
        """The places in one sequence, each with the strength and the direction of its edge."""
        found, last, times = [], dict[str, int](), sequence.timestamps
        for position, event in enumerate(sequence.events):
            for cause, longest, lag, edge in self._into.get(event, ()):
                before = last.get(cause)
                if before is None:
                    continue
                if times is None or longest is None:
                    is_near = position - before <= lag
                else:
                    is_near = times[position] - times[before] <= longest
                if is_near:
                    found.append(Link(before, position, edge.get("cmi"), edge.get("direction")))
            last[event] = position
        return found


def pairs_of(edge: Mapping[str, Any]) -> list[Pair]:
    """The pairs of types in histories with neighbours that an edge stands for: of own causes, near ones, or both.

    Example:
        >>> pairs_of({"cause": "a", "effect": "b", "place": "both"})
        [('a', 'b'), ('<near:a>', 'b')]
    """
    own, near = edge["cause"], near_name(edge["cause"])
    causes = {BETWEEN: [near], BOTH: [own, near]}.get(str(edge.get("place")), [own])
    return [(cause, edge["effect"]) for cause in causes]


def looked_up(graph: CausalGraph, log: EventLog) -> EvidenceCollector:
    """Evidence for the edges of a graph from the places where they may have acted, in the first 100,000 events.

    Args:
        graph: Over event types.
        log: The sequences that were looked at.
    """
    places, collector, read = PairPlaces(graph), EvidenceCollector(), 0
    for sequence in log:
        if read >= _MOST_EVENTS:
            break
        read += len(sequence)
        collector.add_links(sequence, places.links(sequence))
    return collector
