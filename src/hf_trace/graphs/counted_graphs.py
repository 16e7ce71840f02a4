"""Graphs by counting alone, without any model, and the counting baselines that stand beside every other graph."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from hf_trace.checks import number, one_of, whole
from hf_trace.documents import Document
from hf_trace.errors import SettingsError
from hf_trace.graphs.counting import bigram_adjacency, cooccurrence_lift, windowed_cooccurrence
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.hawkes import fit_hawkes
from hf_trace.graphs.near_events import suggested_horizon, types_of_table
from hf_trace.graphs.onsets import onset_counts, onset_errors
from hf_trace.graphs.score_tables import score_table
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import own_events
from hf_trace.logs.places.topology import Topology
from hf_trace.options import MAX_LAG, QUESTIONS

# With more types, tables of all pairs would dwarf a graph.
MOST_SCORED_TYPES = 1_000
Table = Float[np.ndarray, "cause effect"]
Edges = Bool[np.ndarray, "cause effect"]


@dataclass(frozen=True)
class CountingSettings:
    """How pairs are counted.

    Attributes:
        max_lag: Longest distance from cause to effect, in events, where order alone counts; and the horizon of a log
            without times.
        horizon: How soon an effect follows where times count, in seconds; None: suggested by the log, a fifth of the
            mean time between successive events of a sequence.
        topology: Sequences that are joined, where times count.

    Raises:
        SettingsError: If a number is out of range.
    """

    max_lag: int = MAX_LAG.default or 16
    horizon: float | None = None
    topology: Topology | None = None

    def __post_init__(self) -> None:
        whole("max_lag", self.max_lag)
        if self.horizon is not None:
            number("horizon", self.horizon, above=0, expected="a number of seconds above 0")

    def horizon_of(self, log: EventLog) -> float:
        """The horizon, in seconds; of a log without times in events."""
        return suggested_horizon(own_events(log), positions=self.max_lag) if self.horizon is None else self.horizon


@dataclass(frozen=True, eq=False)
class CountedPairs:
    """What a method says of all pairs of types.

    Attributes:
        scores: By which pairs are ranked.
        edges: Gives the pairs that are edges by the method's own rule.
        strength: What the scores are, in words.
        parameters: What was used.
        columns: Gives more tables, of which every edge keeps its entry.
        errors: Gives the standard errors of the scores, where they are known.
    """

    scores: Table
    edges: Callable[[], Edges]
    strength: str
    parameters: Document
    columns: Callable[[], Mapping[str, Shaped[np.ndarray, "cause effect"]]] = dict
    errors: Callable[[], Table | None] = lambda: None


def _in_order(score: Callable[..., Table], least: float, strength: str) -> "CountingMethod":
    """A method by order alone: an edge is a pair whose score is at least ``least``."""

    def counted(log: EventLog, settings: CountingSettings) -> CountedPairs:
        scores = score(log.codes, log.offsets, types_of_table(log), max_lag=settings.max_lag)
        return CountedPairs(scores, lambda: scores >= least, strength, {"max_lag": settings.max_lag})

    return counted


def _onset(log: EventLog, settings: CountingSettings) -> CountedPairs:
    found = onset_counts(log, horizon=settings.horizon_of(log), topology=settings.topology)
    return CountedPairs(
        found.scores(),
        found.edges,
        "onset and direction (S)",
        {"horizon_seconds": found.horizon},
        lambda: {"confidence": found.confidence(), "begins": found.begins, "before": found.before},
        found.errors if settings.topology is not None else lambda: onset_errors(log, found),
    )


def _hawkes(log: EventLog, settings: CountingSettings) -> CountedPairs:
    found = fit_hawkes(log, horizon=settings.horizon_of(log), topology=settings.topology)
    return CountedPairs(
        found.weights,
        found.edges,
        "effects per cause (W)",
        {"horizon_seconds": found.horizon},
        lambda: {"nats": found.nats},
        found.errors,
    )


CountingMethod = Callable[[EventLog, CountingSettings], CountedPairs]
# What makes an edge without looking at a truth: five in a hundred more than after any event, or twice as many; of onset
# and Hawkes see their `edges`.
BASELINES: dict[str, CountingMethod] = {
    "bigram": _in_order(bigram_adjacency, 0.05, "share of next events, less that of all"),
    "cooccurrence": _in_order(windowed_cooccurrence, 0.05, "share followed, less that after any event"),
    "lift": _in_order(cooccurrence_lift, 2.0, "share followed, over that after any event"),
    "onset": _onset,
    "hawkes": _hawkes,
}
IN_TIME = ("onset", "hawkes")
# Hawkes alone shares every effect out among all that came before it.
_DRIVES = ("hawkes",)


def baseline_tables(log: EventLog, events: Sequence[str], settings: CountingSettings) -> dict[str, list[list[float]]]:
    """Scores of all baselines, in the order of a graph's events; of events that the log lacks they are 0.

    Args:
        log: What is counted; of too many types there are no tables, and none of a baseline that takes too much memory.
        events: Names of the rows and columns.
        settings: How.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a", "b"))])
        >>> baseline_tables(log, ["b", "a"], CountingSettings())["onset"]
        [[0.0, 0.0], [0.6666666666666666, 0.0]]
    """
    if max(len(log.event_types), len(events)) > MOST_SCORED_TYPES:
        return {}
    place = {name: number for number, name in enumerate(events)}
    codes = np.array([code for code, name in enumerate(log.event_types) if name in place], dtype=np.int64)
    known = np.array([place[log.event_types[code]] for code in codes], dtype=np.int64)
    tables = {}
    for name, method in BASELINES.items():
        with suppress(SettingsError):
            table = np.zeros((len(place), len(place)))
            table[np.ix_(known, known)] = method(log, settings).scores[np.ix_(codes, codes)]
            tables[name] = table.tolist()
    return tables


def counted_graph(
    log: EventLog,
    method: str = "onset",
    settings: CountingSettings | None = None,
    *,
    threshold: float | None = None,
    top: int | None = None,
    self_loops: bool = False,
) -> CausalGraph:
    """The population graph of a log by counting alone.

    Args:
        log: Events; onset and Hawkes want times.
        method: A name of ``BASELINES``.
        settings: How pairs are counted.
        threshold: Least score of an edge; None: the method's own rule.
        top: Most edges, the pairs of highest score above 0; not with a threshold.
        self_loops: Whether to keep edges from a type to itself.

    Returns:
        Edges whose ``cmi`` is the score, for whatever reads graphs by their strength, and which hold more by name:
        ``confidence``, ``begins`` and ``before`` of onsets, ``nats`` of Hawkes. The metadata say what the score is
        (``strength``), and hold the ``scores`` and ``baselines`` of all pairs of up to 1,000 types, and of onsets and
        Hawkes the ``errors`` of the scores.

    Raises:
        SettingsError: If an option is out of range, all events of a sequence have the same time, or the log is too
            large for the method.
        TimestampError: If there is a topology and no times.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a", "b"), (0.0, 1.0)), EventSequence(("a",), (5.0,))])
        >>> edge = counted_graph(log, settings=CountingSettings(horizon=2.0), top=1).edges[0]
        >>> edge["cause"], edge["effect"], edge["cmi"]  # 1/2 * (1 + 1) / (1 + 0 + 2)
        ('a', 'b', 0.3333333333333333)
    """
    settings = settings or CountingSettings()
    one_of("method", method, BASELINES)
    if threshold is not None and top is not None:
        raise SettingsError("A threshold and a number of edges (top) are given, expected one of them.")
    _check_times(log, method, settings)
    found = BASELINES[method](log, settings)
    kept = _chosen(found, threshold, top, self_loops=self_loops)
    names, columns = log.event_types, found.columns()
    edges = tuple(
        {"cause": names[cause], "effect": names[effect], "cmi": float(found.scores[cause, effect]),
         "direction": "excites", **{key: table[cause, effect].item() for key, table in columns.items()}}
        for cause, effect in np.argwhere(kept)
    )  # fmt: skip
    rule = {"threshold": threshold} if threshold is not None else {"top": top} if top is not None else {"edges": "own"}
    places = {} if settings.topology is None else {"joined": len(settings.topology.joined)}
    metadata: dict[str, Any] = {
        "settings": {"method": method, **found.parameters, **rule, **places, "self_loops": self_loops},
        "strength": found.strength,
        "question": QUESTIONS["drives" if method in _DRIVES else "follows"],
    }
    if len(names) <= MOST_SCORED_TYPES:
        metadata["scores"] = score_table(names, found.scores, found.errors())
        metadata["baselines"] = baseline_tables(log, names, settings)
    return CausalGraph("population", names, edges, metadata)


def _chosen(found: CountedPairs, threshold: float | None, top: int | None, *, self_loops: bool) -> Edges:
    counted = np.full(found.scores.shape, fill_value=True)
    if not self_loops:
        np.fill_diagonal(counted, val=False)
    if top is not None:
        ranked = np.argsort(-np.where(counted, found.scores, -np.inf), axis=None, kind="stable")
        kept = np.zeros_like(counted)
        kept.flat[ranked[: whole("top", top)]] = True
        kept &= found.scores > 0
    elif threshold is not None:
        kept = found.scores >= number("threshold", threshold)
    else:
        kept = found.edges()
    chosen: Edges = kept & counted
    return chosen


def _check_times(log: EventLog, method: str, settings: CountingSettings) -> None:
    if method not in IN_TIME:
        given = [name for name in ("horizon", "topology") if getattr(settings, name) is not None]
        if given:
            raise SettingsError(
                f"A {given[0]} is given, and {method!r} counts by order alone. Leave it out, or choose the method "
                f"{' or '.join(IN_TIME)}."
            )
    elif settings.horizon is not None and log.timestamps is None:
        raise SettingsError(
            f"The horizon is {settings.horizon:g} seconds and the log has no times. Name the time column, or leave the "
            "horizon out and say with max_lag how many events ahead to look."
        )
    elif settings.horizon_of(log) == 0:
        raise SettingsError(
            "No event of this log follows another one of its sequence at a later time, so that there is no horizon. "
            "Name a case column that joins events, the column of a finer time, or a horizon in seconds."
        )
