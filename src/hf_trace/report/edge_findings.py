"""The strongest edges of a population graph in sentences: what the log shows, what the model adds, cautions."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.near_events import suggested_horizon
from hf_trace.graphs.places_of_edges import BETWEEN, BOTH, WITHIN
from hf_trace.logs.diagnosis.findings import percent
from hf_trace.logs.log import EventLog, count, duration
from hf_trace.logs.places.histories import own_events
from hf_trace.logs.places.near_names import near_name
from hf_trace.report.beside_counting import onset_columns
from hf_trace.report.followed_pairs import FollowedPair, PairCounter, UsualSteps, round_horizon

MOST_FINDINGS = 10
USUAL, SURPRISE = "usual order", "surprise"
_LOOKED_AT = 5
# What a surprise must add to the share of other events after which the effect comes; and what is hardly more.
_ADDS, _HARDLY = 0.1, 1.1
# Fewer times, or sequences where there are many, could be luck; and so could a strength within two of its errors.
FEW = 5
_SIGMAS = 2.0
_EITHER_WAY = 0.6
_TOGETHER = 0.5
_ALWAYS = 0.8
_HORIZON = 16  # events, of a log without times
_MINUTE = 60.0


@dataclass(frozen=True)
class EdgeFinding:
    """One edge in words.

    Attributes:
        cause: Its event type.
        effect: Its event type.
        direction: ``excites`` or ``inhibits``.
        place: Where it acts (``within``, ``between``, ``both``); empty without a topology.
        kind: Of a log whose cases run alike: ``usual order``, which each case shows, or ``surprise``; else empty.
        weak: Whether few sequences speak for it, or its error is half of it.
        short: A clause, for a summary.
        text: What was found, in sentences.
        caution: What to beware of; empty where there is nothing.
        pair: What was counted.
    """

    cause: str
    effect: str
    direction: str
    place: str
    kind: str
    weak: bool
    short: str
    text: str
    caution: str
    pair: FollowedPair

    def to_dict(self) -> Document:
        """What a page shows of it."""
        found = {key: value for key, value in asdict(self).items() if key not in ("pair", "short")}
        return found


def edge_findings(graph: CausalGraph, log: EventLog, *, most: int = MOST_FINDINGS) -> list[EdgeFinding]:
    """The edges to read first in words: what is well supported before what is not, surprises before what is usual.

    Args:
        graph: A population graph.
        log: The log it was found in, whole: sequences that are not cut, of the event types that the graph has. With a
            topology events of neighbours are in it.
        most: How many.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("disk full", "reboot", "ping"), (0.0, 30.0, 90.0))] * 8)
        >>> (found,) = edge_findings(CausalGraph.from_edges([("disk full", "reboot")], level="population"), log)
        >>> found.text.partition(", typ")[0]
        'After “disk full”, “reboot” comes within 30 seconds in 100 % of 8 times (after other events in 0 %)'
    """
    words = _Words(graph, log)
    strongest = sorted(range(len(graph)), key=lambda number: -abs(graph.edges[number].get("cmi") or 0.0))
    found = [words.finding(number) for number in strongest[: _LOOKED_AT * most]]
    return sorted(found, key=_by_worth)[:most]


def _by_worth(finding: EdgeFinding) -> tuple[bool, int]:
    """Rank of what is worth reading: surprises that add something, then what is usual, then the others."""
    adds = abs(finding.pair.followed - finding.pair.otherwise)
    surprise = 0 if adds >= _ADDS else 2
    return finding.weak, {USUAL: 1, SURPRISE: surprise}.get(finding.kind, 0)


class _Words:
    """Puts edges of one graph into words."""

    def __init__(self, graph: CausalGraph, log: EventLog) -> None:
        self._graph, own = graph, own_events(log)
        self._counter, self._usual = PairCounter(log), UsualSteps.of(own)
        self._horizon = suggested_horizon(own, positions=_HORIZON)
        self._ranks = onset_columns(graph).get("onset_rank")
        self._question = str(graph.metadata.get("settings", {}).get("question") or "drives")
        self._sequences, self._in_time = len(log), log.timestamps is not None
        self._ends = {graph.ends(edge) for edge in graph.edges}

    def finding(self, number: int) -> EdgeFinding:
        edge = self._graph.edges[number]
        place = str(edge.get("place", ""))
        cause = near_name(edge["cause"]) if _stronger_place(edge) == BETWEEN else edge["cause"]
        pair = self._counter.count(cause, edge["effect"], within=self._within(edge, cause))
        kind, order = self._order(edge, pair)
        cautions = [*self._weaknesses(edge, pair), *self._doubts(edge, pair)]
        return EdgeFinding(
            edge["cause"],
            edge["effect"],
            str(edge.get("direction", "excites")),
            place,
            kind,
            weak=bool(self._weaknesses(edge, pair)),
            short=_short(edge, pair),
            text=" ".join(filter(None, [_followed(edge, pair), self._model(edge), order, self._counting(number)])),
            caution=" ".join(cautions),
            pair=pair,
        )

    def _within(self, edge: Mapping[str, Any], cause: str) -> float:
        """How soon the effect comes, of this edge: its 90 % quantile, and no more than the horizon of the log."""
        if not self._in_time:
            return float(max(edge.get("lags") or [self._horizon]))
        quantiles = edge.get("lag_seconds_quantiles")
        counted = None if quantiles else self._counter.count(cause, edge["effect"]).delays
        delays = (quantiles["0.1"], quantiles["0.5"], quantiles["0.9"]) if quantiles else counted
        if delays is None:
            return self._horizon
        # Of one that the horizon would cut in half, it is twice the median.
        return round_horizon(min(delays[2], max(self._horizon, 2 * delays[1])))

    def _model(self, edge: Mapping[str, Any]) -> str:
        """What the model adds to counting."""
        cause, effect = quoted(edge["cause"]), quoted(edge["effect"])
        if "risk" in edge:
            return (
                f"Forced by the model, {cause} is followed by {effect} in {percent(min(edge['risk'], 1.0))}, any other "
                f"event in {percent(min(edge['baseline_risk'], 1.0))}."
            )
        gain = edge.get("gain")
        if gain is None:
            return ""
        change = "fewer" if gain > 0 else "more"
        return (
            f"Without {cause}, and all else as it was, the model expects {abs(gain) * 100:.3g} {change} {effect} for "
            f"every 100 {cause}."
        )

    def _order(self, edge: Mapping[str, Any], pair: FollowedPair) -> tuple[str, str]:
        """Whether an edge is merely the usual order of cases that run alike, and what is usual."""
        if not self._usual.is_workflow:
            return "", ""
        cause, effect = edge["cause"], edge["effect"]
        if min(pair.followed, pair.preceded) >= _ALWAYS:
            return USUAL, "Nearly every case shows both in this order: it may be how work goes, and no cause."
        step = self._usual.next_of(cause)
        if cause in self._usual.route(effect):
            return SURPRISE, f"It goes back: usually {quoted(effect)} comes before {quoted(cause)}."
        if step is None:
            return SURPRISE, f"No next step is usual after {quoted(cause)}."
        if step[0] == effect:
            return USUAL, f"It is the usual next step, in {percent(step[1])}."
        if effect in self._usual.route(cause):
            return USUAL, f"It is on the usual way, which goes on with {quoted(step[0])} ({percent(step[1])})."
        return SURPRISE, f"The usual next step is {quoted(step[0])} ({percent(step[1])})."

    def _counting(self, number: int) -> str:
        if self._ranks is None:
            return ""
        rank, types = int(self._ranks[number]), len(self._graph.events)
        if rank <= len(self._graph):
            return f"Counting agrees (its number {rank:,} of {types * (types - 1):,} pairs)."
        return f"Counting disagrees (its number {rank:,} of {types * (types - 1):,} pairs): look at examples first."

    def _weaknesses(self, edge: Mapping[str, Any], pair: FollowedPair) -> list[str]:
        found = []
        if (times := round(pair.followed * pair.occurrences) if pair.occurrences else 0) < FEW:
            found.append(f"Seen {count(times, 'time')} only.")
        elif pair.carrying < FEW <= self._sequences // 2:
            found.append(f"Seen in {count(pair.carrying, 'sequence')} only.")
        error, strength = edge.get("standard_error"), abs(edge.get("cmi") or 0.0)
        if error is not None and strength < _SIGMAS * error:
            found.append("Its strength is within two of its errors: it may be chance.")
        return found

    def _doubts(self, edge: Mapping[str, Any], pair: FollowedPair) -> list[str]:
        found, (cause, effect) = [], self._graph.ends(edge)
        if pair.together >= _TOGETHER:
            found.append(f"{percent(pair.together)} of them come at the very time of the cause: either may be first.")
        elif (effect, cause) in self._ends:
            found.append("The graph has the other direction too: they may be in a loop, or have a common cause.")
        elif edge.get("forward", 1.0) < _EITHER_WAY:
            found.append("Either of the two comes first about as often: which one is the cause is open.")
        if not _is_less(edge) and pair.followed < _HARDLY * pair.otherwise:
            found.append("Alone, the effect is hardly more frequent after it than after other events.")
        if "risk" in edge and not _is_less(edge) and edge["risk"] <= edge["baseline_risk"]:
            found.append("Forced by the model, the effect is no more likely after it than after others.")
        return found


def _followed(edge: Mapping[str, Any], pair: FollowedPair) -> str:
    """What the log shows of an edge."""
    return (
        f"After {_cause(edge)}, {quoted(edge['effect'])} comes within {_span(pair, pair.within)} in "
        f"{percent(pair.followed)} of {count(pair.occurrences, 'time')}{_beside(pair)}{_typically(pair)}. Seen in "
        f"{pair.carrying:,} of {count(pair.sequences, 'sequence')}."
    )


def _short(edge: Mapping[str, Any], pair: FollowedPair) -> str:
    return (
        f"after {_cause(edge)}, {quoted(edge['effect'])} {'comes less often' if _is_less(edge) else 'comes'} within "
        f"{_span(pair, pair.within)} ({percent(pair.followed)} of {count(pair.occurrences, 'time')}"
        + (")" if pair.otherwise != pair.otherwise else f", {percent(pair.otherwise)} after other events)")
    )


def _is_less(edge: Mapping[str, Any]) -> bool:
    return edge.get("direction") == "inhibits"


def _beside(pair: FollowedPair) -> str:
    return "" if pair.otherwise != pair.otherwise else f" (after other events in {percent(pair.otherwise)})"


def _typically(pair: FollowedPair) -> str:
    if pair.delays is None:
        return ""
    low, middle, high = (_span(pair, each) for each in pair.delays)
    spread = "" if low == high else f" (10-90 %: {low} to {high})"
    return f", typically after {middle}{spread}"


def _span(pair: FollowedPair, length: float) -> str:
    if not pair.in_time:
        return count(round(length), "event")
    text = duration(length * (1 + 1e-9)) if length >= _MINUTE else duration(length)
    return re.sub(r"^1 (\w+)s$", r"1 \1", text.replace(".0 ", " "))


def _stronger_place(edge: Mapping[str, Any]) -> str:
    """Where an edge acts, of both places the one where it is stronger; empty without a topology."""
    place = str(edge.get("place", ""))
    return max((WITHIN, BETWEEN), key=lambda each: abs(edge.get(each) or 0.0)) if place == BOTH else place


def _cause(edge: Mapping[str, Any]) -> str:
    beside = " (and here)" if edge.get("place") == BOTH else ""
    near = f" at a neighbour{beside}" if _stronger_place(edge) == BETWEEN else ""
    return f"{quoted(edge['cause'])}{near}"


def quoted(event: str) -> str:
    """An event type within a sentence.

    Example:
        >>> quoted("disk full")
        '“disk full”'
    """
    return f"“{event}”"
