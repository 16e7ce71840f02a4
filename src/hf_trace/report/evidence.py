"""What stands behind the edges of a graph over event types: examples, times between cause and effect, incidents."""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from hf_trace.discovery.pair_graphs import direction
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Threshold
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.sequence import EventSequence

Pair = tuple[str, str]
# Upper ends of the bins of the time from cause to effect, in seconds; the first bin holds only ties.
LAG_SECONDS = (0.0, 1e-3, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0)
_EXAMPLES = 3
_AROUND = 2
_LONGEST_EXCERPT = 14
_INCIDENTS = 8
_INCIDENTS_HELD = 64
_LONGEST_INCIDENT = 300
_MOST_ARCS = 1_000
_PAIRS_HELD = 20_000


@dataclass(frozen=True)
class Link:
    """One edge between two positions of a sequence; ``cmi`` is None where it is not known."""

    cause: int
    effect: int
    cmi: float | None
    direction: str | None


@dataclass(frozen=True)
class Example:
    """One place where a pair of event types carries an edge.

    Attributes:
        sequence: Id of the sequence.
        link: The edge, by positions in the sequence.
        times: Seconds of cause and effect, or None.
        start: Position of the first event of ``events``.
        events: The events around; empty where cause and effect stand far apart.
    """

    sequence: str
    link: Link
    times: tuple[float, float] | None
    start: int
    events: tuple[str, ...]


@dataclass(frozen=True)
class Incident:
    """One sequence, or the part of a long one with the most edges, with the edges within.

    Attributes:
        sequence: Id of the sequence.
        start: Position of the first event that is kept.
        length: Events of the whole sequence.
        events: The events that are kept.
        timestamps: Their times in seconds, or None.
        links: Edges within, by positions in the whole sequence.
        found: Number of edges of the whole sequence.
    """

    sequence: str
    start: int
    length: int
    events: tuple[str, ...]
    timestamps: tuple[float, ...] | None
    links: tuple[Link, ...]
    found: int


@dataclass
class _PairEvidence:
    carried: int = 0
    seconds: Counter[int] = field(default_factory=Counter)
    best: list[tuple[float, int, Example]] = field(default_factory=list)  # strongest first, then earliest


class EvidenceCollector:
    """Keeps, per pair of event types, a few examples and a histogram of times; and the sequences with most edges.

    Memory grows with the pairs of types that carry an edge, up to 40,000, not with the sequences.

    Args:
        threshold: What makes a pair of positions an edge; not needed for graphs.

    Example:
        >>> edge = {"cause": "a", "effect": "b", "cause_position": 0, "effect_position": 1, "cmi": 0.3}
        >>> collector = EvidenceCollector()
        >>> collector.add_graph(EventSequence(("a", "b"), id="x"), CausalGraph("instance", ("a", "b"), (edge,)))
        >>> collector.examples(("a", "b"))[0].sequence
        'x'
    """

    def __init__(self, threshold: Threshold | None = None) -> None:
        self._threshold = threshold
        self._sequences = 0
        self._pairs: dict[Pair, _PairEvidence] = {}
        # Most pairs of types first, then most edges, then earliest: no two rank alike.
        self._incidents: list[tuple[int, int, int, Incident]] = []

    def add(self, sequence: EventSequence, scores: PairScores) -> None:
        """Add the tested pairs of one sequence, of which the threshold keeps some."""
        if self._threshold is None:
            return
        kept = self._threshold.keep(scores)
        columns = (scores.cause_position, scores.effect_position, scores.cmi, scores.gain)
        rows = zip(*(column[kept].tolist() for column in columns), strict=True)
        self.add_links(sequence, [Link(cause, effect, cmi, direction(gain)) for cause, effect, cmi, gain in rows])

    def add_graph(self, sequence: EventSequence, graph: CausalGraph) -> None:
        """Add the instance graph of one sequence."""
        self.add_links(
            sequence, [Link(*graph.ends(edge), edge.get("cmi"), edge.get("direction")) for edge in graph.edges]
        )

    def examples(self, *pairs: Pair) -> list[Example]:
        """The strongest examples of pairs, at most three, those of one pair each from a sequence of its own."""
        found = chain.from_iterable(self._pairs[pair].best for pair in pairs if pair in self._pairs)
        return [example for *_, example in sorted(found, key=lambda item: item[:2], reverse=True)][:_EXAMPLES]

    def seconds(self, *pairs: Pair) -> list[int]:
        """How often pairs carried an edge over a time of each bin of ``LAG_SECONDS``; the last bin is open."""
        found = sum((self._pairs[pair].seconds for pair in pairs if pair in self._pairs), Counter[int]())
        return [found[i] for i in range(len(LAG_SECONDS) + 1)] if found else []

    def incidents(self, among: Container[Pair] | None = None) -> list[Incident]:
        """The sequences with edges between the most pairs of types, at most eight, in the order in which they came.

        Args:
            among: Pairs that count, such as the edges of a graph; sequences without one of them are left out. None:
                all pairs.
        """
        ranked = [(_kinds(item[3], among) if among is not None else item[0], *item[1:]) for item in self._incidents]
        most = sorted((item for item in ranked if item[0]), reverse=True, key=lambda item: item[:3])[:_INCIDENTS]
        return [incident for *_, incident in sorted(most, key=lambda item: -item[2])]

    def add_links(self, sequence: EventSequence, links: Sequence[Link]) -> None:
        """Add the edges of one sequence."""
        self._sequences += 1
        by_pair: dict[Pair, list[Link]] = {}
        for link in links:
            by_pair.setdefault((sequence.events[link.cause], sequence.events[link.effect]), []).append(link)
        for pair, carrying in by_pair.items():
            self._add_pair(sequence, pair, carrying)
        if len(self._pairs) > 2 * _PAIRS_HELD:
            often = sorted(self._pairs, key=lambda pair: -self._pairs[pair].carried)[:_PAIRS_HELD]
            self._pairs = {pair: self._pairs[pair] for pair in often}
        rank = (len(by_pair), len(links), -self._sequences)
        if links and (len(self._incidents) < _INCIDENTS_HELD or rank > self._incidents[-1][:3]):
            incident = (*rank, _incident(sequence, self._name(sequence), links))
            self._incidents = sorted([*self._incidents, incident], reverse=True)[:_INCIDENTS_HELD]

    def _add_pair(self, sequence: EventSequence, pair: Pair, links: list[Link]) -> None:
        found = self._pairs.setdefault(pair, _PairEvidence())
        found.carried += len(links)
        if (times := sequence.timestamps) is not None:
            lags = [times[link.effect] - times[link.cause] for link in links]
            found.seconds.update(np.searchsorted(LAG_SECONDS, lags, side="left").tolist())
        strongest = max(links, key=_strength)
        item = (_strength(strongest), -self._sequences)
        if len(found.best) < _EXAMPLES or item > found.best[-1][:2]:
            example = (*item, _example(sequence, self._name(sequence), strongest))
            found.best = sorted([*found.best, example], reverse=True)[:_EXAMPLES]

    def _name(self, sequence: EventSequence) -> str:
        return str(self._sequences - 1) if sequence.id is None else str(sequence.id)


def _strength(link: Link) -> float:
    return abs(link.cmi or 0.0)


def _example(sequence: EventSequence, name: str, link: Link) -> Example:
    times = sequence.timestamps
    start, stop = max(0, link.cause - _AROUND), link.effect + _AROUND + 1
    near = stop - start <= _LONGEST_EXCERPT
    return Example(
        name,
        link,
        None if times is None else (times[link.cause], times[link.effect]),
        start,
        sequence.events[start:stop] if near else (),
    )


def _incident(sequence: EventSequence, name: str, links: Sequence[Link]) -> Incident:
    """The whole sequence, or the part of it with the most edges, and the strongest of them."""
    start = _densest(links, len(sequence))
    stop = min(start + _LONGEST_INCIDENT, len(sequence))
    inside = [link for link in links if start <= link.cause and link.effect < stop]
    strongest = sorted(inside, key=lambda link: -_strength(link))[:_MOST_ARCS]
    part = sequence.part(start, stop)
    return Incident(name, start, len(sequence), part.events, part.timestamps, tuple(strongest), len(links))


def _kinds(incident: Incident, among: Container[Pair]) -> int:
    """How many different pairs of types its edges are, of those that count."""
    start, events = incident.start, incident.events
    pairs = {(events[link.cause - start], events[link.effect - start]) for link in incident.links}
    return sum(pair in among for pair in pairs)


def _densest(links: Sequence[Link], length: int) -> int:
    """Where the part with the most edges starts."""
    starts = max(length - _LONGEST_INCIDENT, 0) + 1
    change = np.zeros(starts + 1, dtype=np.int64)
    for link in links:
        first, last = max(link.effect - _LONGEST_INCIDENT + 1, 0), min(link.cause, starts - 1)
        if first <= last:
            change[first] += 1
            change[last + 1] -= 1
    return int(change.cumsum()[:-1].argmax())
