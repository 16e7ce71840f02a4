"""Which states led to alarms: the oddest first, what follows from others after them, each in a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import networkx as nx
import numpy as np

from hf_trace.checks import whole
from hf_trace.documents import Document
from hf_trace.errors import QueryError, SettingsError, preview
from hf_trace.logs.states.state_histories import StateHistory
from hf_trace.logs.states.state_log import StateLog
from hf_trace.questions.normal_states import NormalStates, OddState
from hf_trace.questions.state_sentences import told

# How much less odd, in nats, what explains a state may be.
_ABOUT_AS_ODD = 3.0
_EXPLAINED = 5  # first causes of which is said beside what they are odd


@dataclass(frozen=True)
class StateRankSettings:
    """How states that led to an alarm are ranked.

    Attributes:
        exclude: Patterns of variables that are never causes, such as ``Alarm*``.
        top: Number of causes listed; None for all.

    Raises:
        SettingsError: If a value is not understood.
    """

    exclude: Sequence[str] = ()
    top: int | None = None

    def __post_init__(self) -> None:
        if self.top is not None:
            whole("top", self.top)
        if isinstance(self.exclude, str):
            raise SettingsError(f"exclude is {self.exclude!r}, expected a list of patterns: [{self.exclude!r}].")
        object.__setattr__(self, "exclude", tuple(self.exclude))


@dataclass(frozen=True)
class SeenIncident:
    """An incident of which nobody says what caused it.

    Attributes:
        alarms: The events that were raised.
        states: What every variable held when the last of them was.
    """

    alarms: frozenset[str]
    states: Mapping[str, str]

    @classmethod
    def of(cls, states: StateLog, number: int, outcomes: Sequence[str]) -> "SeenIncident | None":
        """A sequence at its alarms; None where it has none."""
        raised = states.raised(number, outcomes)
        if not raised:
            return None
        held = states.histories[number].at(max(raised.values()))
        return cls(frozenset(raised), {name: each.value for name, each in held.items()})


@dataclass(frozen=True)
class StateCause:
    """A state with all that places it among the others.

    Attributes:
        state: The state, and how odd it is.
        seen: How much more often it was held at the same alarms than at others, as a log ratio.
        path: Variables from it to an alarm in what is known, empty if there is none; None: nothing is known.
        explained_by: The variable of an earlier state that explains it.
    """

    state: OddState
    seen: float
    path: tuple[str, ...] | None
    explained_by: str | None = None

    @property
    def score(self) -> float:
        """What it is ranked by, in nats."""
        return self.state.score + self.seen

    @property
    def onset(self) -> float:
        """When it began; after all others where it was there from the beginning."""
        return np.inf if self.state.onset is None else self.state.onset

    @property
    def key(self) -> tuple[bool, bool, float, float, str]:
        """The order: what leads to no alarm comes last, and what is explained after what is not."""
        explained = self.explained_by is not None
        return self.path == (), explained, -round(self.score, 1), self.onset, self.state.variable


def rank_states(
    normal: NormalStates,
    states: StateLog,
    number: int,
    outcomes: Sequence[str],
    settings: StateRankSettings,
    *,
    seen: Sequence[SeenIncident] = (),
    graph: "nx.DiGraph[str] | None" = None,
    time: float | None = None,
) -> Document:
    """Rank what variables hold when alarms come by how surely it led to them.

    A state is the odder the more rarely it is held in normal operation and the less it fitted the others when
    it began; see ``normal_states``. States that an earlier one of about their oddness explains come after all others.

    Args:
        normal: What normal operation is like.
        states: The log with the incident.
        number: Which sequence it is.
        outcomes: The alarms; those it does not hold are passed over, of the others the first occurrence counts.
        settings: See ``StateRankSettings``.
        seen: Other incidents: what is held at these alarms, rather than at others, counts more.
        graph: What is known to cause what, as variables: states that no path leads from come last.
        time: The moment to look at; None: when the last of the alarms came.

    Returns:
        ``causes``, best first, each with ``variable``, ``value``, ``since``, ``lag_seconds``, ``onset``, ``share`` of
        normal time, ``rarity``, ``context``, ``surprise``, ``expected`` with its probability, ``beside`` what (of the
        first five), ``seen``, ``score``, ``explained_by``, ``path``, ``stands_out`` and a ``sentence``; and when each
        alarm came. If nothing stands out, a ``note``.

    Raises:
        QueryError: If the sequence holds none of the alarms, or the graph none of them.
    """
    history = states.histories[number]
    raised = states.raised(number, outcomes)
    if not raised:
        raise QueryError(
            f"The sequence {history.id or ''!r} has no event {outcomes[0]!r}, expected one to explain. Choose another "
            "sequence or outcome."
        )
    time = max(raised.values()) if time is None else time
    alarms = [states.names[name].variable for name in raised]
    odd = [each for each in normal.odd_states(history, time, settings.exclude) if each.variable not in alarms]
    ordered = ordered_causes(odd, normal.horizon, raised=frozenset(raised), seen=seen, alarms=alarms, graph=graph)
    listed = [_document(place, each, normal, history, time) for place, each in enumerate(ordered[: settings.top], 1)]
    document = {
        "id": history.id,
        "outcome": next(iter(raised)),
        "time": time,
        "alarms": [{"event": name, "time": when} for name, when in raised.items()],
        "causes": listed,
        "settings": asdict(settings),
        "seen_incidents": len(seen),
        "knows_graph": graph is not None,
        "bound": normal.bound,
    }
    if not any(each.state.score > normal.bound for each in ordered):
        document["note"] = (
            "Nothing stands out: no state is odder than what is seen in one of twenty moments of normal operation. Do "
            "not act on this order."
        )
    return document


def ordered_causes(
    odd: Sequence[OddState],
    horizon: float,
    *,
    raised: frozenset[str] = frozenset(),
    seen: Sequence[SeenIncident] = (),
    alarms: Sequence[str] = (),
    graph: "nx.DiGraph[str] | None" = None,
) -> list[StateCause]:
    """States in the order in which they are taken for causes.

    Args:
        odd: The states of a moment.
        horizon: How soon what follows a state follows it, in seconds.
        raised: The alarms, as events.
        seen: See ``rank_states``.
        alarms: Their variables.
        graph: See ``rank_states``.

    Example:
        >>> first, then = (OddState(name, "off", when, when, 9.0) for name, when in (("pump", 1.0), ("fan", 1.2)))
        >>> [(each.state.variable, each.explained_by) for each in ordered_causes([then, first], horizon=0.5)]
        [('pump', None), ('fan', 'pump')]
    """
    paths = None if graph is None else _paths(graph, alarms)
    reaches = {} if graph is None else {name: set(nx.descendants(graph, name)) for name in graph}
    ways = [None if paths is None else paths.get(each.variable, ()) for each in odd]
    told_apart = [_told_apart(each, raised, seen) for each in odd]
    causes = [StateCause(*each) for each in zip(odd, told_apart, ways, strict=True)]
    return sorted((_explained(each, causes, horizon, reaches) for each in causes), key=lambda cause: cause.key)


def variable_graph(graph: "nx.DiGraph[str]", states: StateLog) -> "nx.DiGraph[str]":
    """A graph of variables from one of variables and events: an event stands for its variable.

    Raises:
        QueryError: If no node is a variable or an event of the log.

    Example:
        >>> from hf_trace.logs.log import EventLog
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("pump=off", "leak"))])
        >>> list(variable_graph(nx.DiGraph([("pump=off", "leak")]), StateLog.of(log)).edges)
        [('pump', 'leak')]
    """
    names = {node: states.names[node].variable if node in states.names else node for node in graph}
    known = {name for history in states.histories for name in history.changes}
    if not known.intersection(names.values()):
        raise QueryError(
            f"No node of the graph is a variable of the log: {preview(list(graph))}. Expected names such as "
            f"{preview(sorted(known))}."
        )
    found: nx.DiGraph[str] = nx.DiGraph()
    found.add_nodes_from(names.values())
    found.add_edges_from((names[a], names[b]) for a, b in graph.edges if names[a] != names[b])
    return found


def _told_apart(state: OddState, raised: frozenset[str], seen: Sequence[SeenIncident]) -> float:
    """How much more often a state was held at the same alarms than at others, as a log ratio; 0 if none was seen."""
    if not seen:
        return 0.0
    odds = []
    for group in ([each for each in seen if each.alarms & raised], [each for each in seen if not each.alarms & raised]):
        held = sum(each.states.get(state.variable) == state.value for each in group)
        odds.append(np.log((held + 0.5) / (len(group) + 1)))
    return float(odds[0] - odds[1])


def _paths(graph: "nx.DiGraph[str]", alarms: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Of every variable that leads to one of the alarms the shortest path to the nearest."""
    known = [name for name in alarms if name in graph]
    if not known:
        raise QueryError(
            f"The graph has no node {alarms[0]!r}, expected one to explain. Name its nodes as the log does."
        )
    found: dict[str, tuple[str, ...]] = {}
    for alarm in known:
        for name, path in nx.single_target_shortest_path(graph, alarm).items():
            if name not in found or len(path) < len(found[name]):
                found[name] = tuple(path)
    return found


def _explained(
    cause: StateCause, causes: Sequence[StateCause], horizon: float, reaches: Mapping[str, set[str]]
) -> StateCause:
    """A cause with the oddest earlier state that explains it, if one does."""
    name = cause.state.variable
    earlier = [
        other
        for other in causes
        if other.onset < cause.onset
        and other.score >= cause.score - _ABOUT_AS_ODD
        and (cause.onset - other.onset <= horizon or name in reaches.get(other.state.variable, ()))
    ]
    if not earlier:
        return cause
    first = min(earlier, key=lambda other: (-round(other.score, 1), other.onset))
    return StateCause(cause.state, cause.seen, cause.path, first.state.variable)


def _document(place: int, cause: StateCause, normal: NormalStates, history: StateHistory, time: float) -> Document:
    state = cause.state
    expected, probability = state.expected or (None, None)
    document = {
        "rank": place,
        "variable": state.variable,
        "value": state.value,
        "since": state.since,
        "lag_seconds": None if state.since is None else time - state.since,
        "onset": state.onset,
        "share": normal.share(state.variable, state.value),
        "rarity": state.rarity,
        "context": state.context,
        "surprise": state.surprise if np.isfinite(state.surprise) else None,
        "expected": expected,
        "probability_expected": probability,
        "beside": None,
        "seen": cause.seen,
        "score": cause.score,
        "explained_by": cause.explained_by,
        "path": None if cause.path is None else list(cause.path),
        "stands_out": state.score > normal.bound,
    }
    if place <= _EXPLAINED and expected not in (None, state.value):
        document["beside"] = normal.beside(history, time, state)
    return {**document, "sentence": told(document, normal)}
