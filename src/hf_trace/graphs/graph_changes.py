"""What changed between two graphs of one kind, before and after, or of one site and another, beyond what chance does.

For each pair of event types the difference of its two strengths is tested with their standard errors; the p-values of
all pairs tested are corrected for their number (Benjamini and Hochberg 1995).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import chain
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import chi2, false_discovery_control, norm

from hf_trace.checks import number, share
from hf_trace.documents import Document
from hf_trace.errors import SettingsError, preview
from hf_trace.graphs.event_graph import EventGraph
from hf_trace.graphs.score_tables import table_of
from hf_trace.notebooks import table_html

LEVEL = 0.05
# What may have happened to an edge; of those with `UNTESTED` nothing is known.
CHANGES = ("new", "gone", "stronger", "weaker")
SAME, UNTESTED = "same", "untested"
# What the graph of both says of itself.
_KEPT = ("strength", "question", "settings", "oracle")
_NORMAL = float(norm.ppf(0.975))
# Of fewer pairs the median says little about what chance does.
_FEWEST = 30
# Settings that make two strengths two different things, and those that make no difference.
_MEANING = ("effect", "construction", "statistic", "method")
_NO_MATTER = ("seed", "batch_size", "threshold", "top", "edges", "min_frequency", "min_support", "bootstrap", "level")
Table = Float[np.ndarray, "cause effect"]
Column = Float[np.ndarray, " pair"]
Kept = Bool[np.ndarray, "cause effect"]
Graph = TypeVar("Graph", bound=EventGraph)


@dataclass(frozen=True, eq=False, repr=False)
class GraphChanges(Generic[Graph]):
    """Two graphs, pair by pair.

    Attributes:
        before: The first graph.
        after: The second one.
        pairs: Each pair tested, and each other one that is an edge of either graph: ``cause``, ``effect``; ``before``
            and ``after``, its strengths; ``difference`` with its 95 % interval ``low`` to ``high``; ``p`` and ``q``,
            its p-value alone and among all pairs tested; ``is_edge_before``, ``is_edge_after``; and ``change``: one of
            ``CHANGES`` for an edge of either graph that changed, ``same`` or ``untested``.
        least: Differences up to this are none.
        inflation: How many times as large as the standard errors explain the variances of differences are (median).
        notes: What else is different, in sentences.
    """

    before: Graph
    after: Graph
    pairs: pd.DataFrame
    least: float
    inflation: float
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        counts = self.changed["change"].value_counts()
        kinds = "".join(f"{kind}={counts[kind]}, " for kind in CHANGES if kind in counts)
        return f"GraphChanges({kinds}edges={len(self.edges)})"

    def _repr_html_(self) -> str:
        columns = ["cause", "effect", "change", "before", "after", "difference", "low", "high", "q"]
        said = "".join(f"<p>{escape(each)}</p>" for each in (*self.sentences(), *self.remarks(), *self.notes))
        return table_html(self.edges[columns], self.summary()) + said

    @property
    def edges(self) -> pd.DataFrame:
        """The pairs that are an edge of either graph, those that changed first, the largest difference first."""
        kept = self.pairs[self.pairs["is_edge_before"] | self.pairs["is_edge_after"]]
        order = [*CHANGES, SAME, UNTESTED]
        rank = kept["change"].map(order.index)
        size = -kept["difference"].abs()
        return kept.assign(rank=rank, size=size).sort_values(["rank", "size"], kind="stable")[kept.columns]

    @property
    def changed(self) -> pd.DataFrame:
        """The edges that changed."""
        return self.edges[self.edges["change"].isin(CHANGES)]

    @property
    def unsure(self) -> int:
        """Number of edges that one graph alone has, though their strengths do not differ by more than chance."""
        edges = self.edges
        return int(((edges["is_edge_before"] != edges["is_edge_after"]) & (edges["change"] == SAME)).sum())

    def summary(self) -> str:
        """How much changed, in a sentence."""
        counts = self.changed["change"].value_counts()
        tested = int(self.pairs["p"].notna().sum())
        kinds = ", ".join(f"{counts[kind]} {kind}" for kind in CHANGES if kind in counts)
        found = f"{len(self.changed):,} of {len(self.edges):,} edges changed ({kinds})" if kinds else "No edge changed"
        return f"{found}; {tested:,} pairs were tested, at a false discovery rate of {LEVEL:.0%}.".replace("%", " %")

    def sentences(self) -> list[str]:
        """What happened to each edge that changed."""
        return [change_sentence(row) for row in self.changed.to_dict("records")]

    def remarks(self) -> list[str]:
        """What a reader should know beside the changes."""
        remarks = []
        if self.unsure:
            more = f" beyond {self.least:g}" if self.least else ""
            remarks.append(
                f"{self.unsure:,} of the edges are in one graph only, though their strengths differ by no more than "
                f"chance explains{more}: of those nothing is known."
            )
        if self.inflation > 1:
            remarks.append(
                f"Most pairs moved more than their errors explain (the variance is {self.inflation:.1f} times "
                "as large), as graphs of two oracles do; the intervals are as much wider."
            )
        return remarks

    def findings(self) -> Document:
        """The same as a page shows it: a summary, and a sentence for each edge that changed."""
        question = str(self.after.metadata.get("question") or "").partition(":")[0]
        found = [
            {"cause": row["cause"], "effect": row["effect"], "kind": row["change"], "text": change_sentence(row)}
            for row in self.changed.to_dict("records")
        ]
        return {"summary": [self.summary(), *self.remarks(), *self.notes], "questions": {question: found}}

    def to_dict(self) -> Document:
        """All edges of either graph, as JSON."""
        return {
            "summary": self.summary(),
            "changes": {kind: int((self.changed["change"] == kind).sum()) for kind in CHANGES},
            "sentences": self.sentences(),
            "remarks": self.remarks(),
            "edges": self.edges.to_dict("records"),
            "tested": int(self.pairs["p"].notna().sum()),
            "unsure": self.unsure,
            "level": LEVEL,
            "least": self.least,
            "inflation": self.inflation,
            "notes": list(self.notes),
        }

    def graph(self) -> Graph:
        """Both graphs in one: every edge says in ``change`` what happened, and has ``before`` and ``after``.

        What else an edge says is what it says after, and of one that is gone what it said before.
        """
        said = {self.before.ends(edge): edge for edge in self.before.edges}
        said |= {self.after.ends(edge): edge for edge in self.after.edges}
        keys = ["change", "before", "after", "difference", "low", "high", "q"]
        edges = tuple(
            said[row["cause"], row["effect"]] | {key: row[key] for key in keys} for row in self.edges.to_dict("records")
        )
        events = tuple(dict.fromkeys((*self.after.events, *self.before.events)))
        kept = {key: value for key, value in self.after.metadata.items() if key in _KEPT}
        return replace(self.after, events=events, edges=edges, metadata=kept | {"changes": self.summary()})


def change_sentence(row: Mapping[Any, Any]) -> str:
    """What happened to an edge.

    Example:
        >>> found = {"cause": "A", "effect": "B", "change": "new", "before": 0.02, "after": 0.31}
        >>> change_sentence(found | {"difference": 0.29, "low": 0.24, "high": 0.34})
        'A → B is new: 0.02 before, 0.31 after (difference 0.29 ± 0.05).'
    """
    before, after, difference = (_short(row[name]) for name in ("before", "after", "difference"))
    around = _short((row["high"] - row["low"]) / 2)
    what = f"{row['cause']} → {row['effect']} is {row['change']}"
    return f"{what}: {before} before, {after} after (difference {difference} ± {around})."


def _short(value: float) -> str:
    return f"{value:.2g}"


def graph_changes(before: Graph, after: Graph, *, least: float = 0.0, level: float = LEVEL) -> GraphChanges[Graph]:
    r"""Compare two population graphs, pair by pair.

    With the strengths s and their standard errors e before and after,

    .. math:: d = s_2 - s_1, \quad \sigma^2 = \lambda (e_1^2 + e_2^2), \quad
        p = \Phi\Big(\frac{\delta - |d|}{\sigma}\Big) + \Phi\Big(\frac{-\delta - |d|}{\sigma}\Big)

    is the chance of a difference as large where the true one is at most :math:`\delta` (``least``), at its worst. The
    errors are those over sequences or contexts; what two oracles have learned differently, and bursts, move strengths
    more. As most pairs are the same before and after, the differences themselves tell how much:
    :math:`\lambda = \max(1, \mathrm{median}(d^2 / (e_1^2 + e_2^2)) / 0.455)`, 0.455 being the median of a squared
    standard normal number ("genomic control", Devlin and Roeder 1999). The median is that of all pairs or, where it is
    larger, that of the 30 pairs nearest in strength. With fewer than 30 pairs it is 1.

    Args:
        before: With ``metadata["scores"]``, strengths and errors of all pairs; of a graph that lacks the errors of some
            they are taken from its edges, else those of the other graph are taken for both.
        after: Of the same question and settings.
        least: Differences up to this are none.
        level: False discovery rate.

    Raises:
        SettingsError: If the two cannot be compared, with the reason.

    Example:
        >>> def graph(strength):
        ...     errors = [[None, 0.02], [None, None]]
        ...     scores = {"events": ["a", "b"], "matrix": [[0, strength], [0, 0]], "errors": errors}
        ...     edges = ({"cause": "a", "effect": "b", "cmi": strength},) if strength > 0.05 else ()
        ...     return EventGraph("population", ("a", "b"), edges, {"scores": scores})
        >>> graph_changes(graph(0.02), graph(0.31)).sentences()
        ['a → b is new: 0.02 before, 0.31 after (difference 0.29 ± 0.055).']
    """
    number("least", least, least=0)
    share("level", level)
    notes = _different(before, after)
    events = tuple(dict.fromkeys((*before.events, *after.events)))
    one, other = _Measured.of(before, events), _Measured.of(after, events)
    shared = np.isin(events, before.events) & np.isin(events, after.events)
    notes += _lone_types(before, after)
    difference = other.strength - one.strength
    errors = _borrowed(one.error, other.error), _borrowed(other.error, one.error)
    error = np.hypot(*errors)
    tested = (error > 0) & shared[:, None] & shared & ((one.strength != 0) | (other.strength != 0))
    np.fill_diagonal(tested, val=(one.is_edge | other.is_edge).diagonal() & tested.diagonal())
    if not tested.any():
        raise SettingsError(_nothing(before, after))
    inflation = np.ones(error.shape)
    inflation[tested] = _inflation((difference / error)[tested] ** 2, (one.strength + other.strength)[tested])
    listed = tested | one.is_edge | other.is_edge
    cause, effect = np.nonzero(listed)
    pairs = pd.DataFrame({
        "cause": np.array(events, dtype=object)[cause], "effect": np.array(events, dtype=object)[effect],
        "before": one.strength[listed], "after": other.strength[listed],
        "difference": np.where(tested, difference, np.nan)[listed], "error": (np.sqrt(inflation) * error)[listed],
        "is_edge_before": one.is_edge[listed], "is_edge_after": other.is_edge[listed],
    })  # fmt: skip
    return GraphChanges(
        before,
        after,
        _judged(pairs, tested[listed], least, level),
        least,
        float(np.median(inflation[tested])),
        tuple(notes),
    )


def _judged(pairs: pd.DataFrame, tested: Bool[np.ndarray, " pair"], least: float, level: float) -> pd.DataFrame:
    """Intervals, p-values and what happened."""
    difference, error = pairs["difference"].to_numpy(), pairs["error"].to_numpy()
    p_values, q_values = np.full((2, len(pairs)), np.nan)
    size = np.abs(difference[tested])
    p_values[tested] = norm.sf((size - least) / error[tested]) + norm.sf((size + least) / error[tested])
    q_values[tested] = false_discovery_control(np.minimum(p_values[tested], 1))
    differs = np.nan_to_num(q_values, nan=1.0) <= level
    kinds = [
        (~tested, UNTESTED),
        (~differs | ~(pairs["is_edge_before"] | pairs["is_edge_after"]), SAME),
        ((difference > 0) & ~pairs["is_edge_before"], "new"),
        ((difference < 0) & ~pairs["is_edge_after"], "gone"),
        (difference > 0, "stronger"),
    ]
    half = np.where(tested, _NORMAL * error, np.nan)
    return pairs.assign(
        low=difference - half,
        high=difference + half,
        p=p_values,
        q=q_values,
        change=np.select([condition for condition, _ in kinds], [name for _, name in kinds], "weaker"),
    ).drop(columns="error")


@dataclass(frozen=True)
class _Measured:
    """What a graph says of all pairs of some types."""

    strength: Table
    error: Table
    is_edge: Kept

    @classmethod
    def of(cls, graph: EventGraph, events: Sequence[str]) -> "_Measured":
        place = {event: number for number, event in enumerate(events)}
        scores = graph.metadata.get("scores") or {}
        strength, error = (table_of(scores, name, events) for name in ("matrix", "errors"))
        is_edge = np.zeros(strength.shape, dtype=np.bool_)
        for edge in graph.edges:
            cell = place[edge["cause"]], place[edge["effect"]]
            is_edge[cell] = True
            if np.isnan(strength[cell]) and edge.get("cmi") is not None:
                strength[cell] = edge["cmi"]
            if np.isnan(error[cell]):
                error[cell] = _error_of(edge)
        return cls(np.abs(np.nan_to_num(strength)), error, is_edge)


def _error_of(edge: Mapping[str, Any]) -> float:
    """The standard error that an edge says, or that its bootstrap interval implies."""
    if (error := edge.get("standard_error")) is not None:
        return float(error)
    if edge.get("cmi_low") is None or edge.get("cmi_high") is None:
        return float("nan")
    return float(edge["cmi_high"] - edge["cmi_low"]) / (2 * _NORMAL)


def _borrowed(own: Table, other: Table) -> Table:
    found: Table = np.where(np.isnan(own), other, own)
    return found


def _inflation(squares: Column, strength: Column) -> Column:
    """Of each pair: how many times too large its squared difference is by the median of all and of those as strong."""
    if len(squares) < _FEWEST:
        return np.ones(len(squares))
    order = np.argsort(strength, kind="stable")
    windows = np.median(sliding_window_view(squares[order], _FEWEST), axis=1)
    start = np.clip(np.arange(len(squares)) - _FEWEST // 2, 0, len(windows) - 1)
    found = np.empty(len(squares))
    found[order] = windows[start]
    larger: Column = np.maximum(1.0, np.maximum(found, np.median(squares)) / chi2.median(1))
    return larger


def _different(before: EventGraph, after: EventGraph) -> list[str]:
    """Refuse graphs of different things; sentences on what else is different."""
    for which, graph in (("first", before), ("second", after)):
        if graph.level != "population":
            raise SettingsError(
                f"The {which} graph is of level {graph.level!r}, expected two graphs of many sequences: make both with "
                "`--level population`."
            )
    settings = [graph.metadata.get("settings") or {} for graph in (before, after)]
    told = [{"question": graph.metadata.get("question"), "strength": graph.metadata.get("strength")}
            | {key: each.get(key) for key in _MEANING}
            for graph, each in zip((before, after), settings, strict=True)]  # fmt: skip
    for key in told[0]:
        if told[0][key] != told[1][key]:
            raise SettingsError(
                f"The {key} of the two graphs is {_told(told[0][key])} and {_told(told[1][key])}, and their strengths "
                "are two different things. Make both with the same options."
            )
    keys = [key for key in dict.fromkeys(chain(*settings)) if key not in (*_MEANING, *_NO_MATTER, "question")]
    found = [key for key in keys if settings[0].get(key) != settings[1].get(key)]
    return [_difference(key, settings[0].get(key), settings[1].get(key)) for key in found]


def _difference(key: str, before: Any, after: Any) -> str:
    advice = "Give both the same `--horizon`" if key.startswith("horizon") else "Make both with the same options"
    return f"{key} is {_told(before)} before and {_told(after)} after, and strengths depend on it. {advice}."


def _told(value: Any) -> str:
    """A setting in few characters: of a question its name."""
    return f"{value:.4g}" if isinstance(value, float) else repr(str(value).partition(":")[0])


def _lone_types(before: EventGraph, after: EventGraph) -> list[str]:
    """Sentences on types that one graph alone has."""
    return [
        f"Only the {which} graph has {preview(lone)}, whose edges cannot be compared."
        for which, one, other in (("first", before, after), ("second", after, before))
        if (lone := [event for event in one.events if event not in set(other.events)])
    ]


def _nothing(before: EventGraph, after: EventGraph) -> str:
    """Why no pair can be compared."""
    if not set(before.events) & set(after.events):
        return (
            f"The two graphs share no event type: {preview(before.events)} against {preview(after.events)}. Expected "
            "the same names in both."
        )
    return (
        "Neither graph holds standard errors, without which chance cannot be told from change. Make both again with "
        "this version: `hf-trace discover` (not `--statistic combined`), or `hf-trace count` with onset or hawkes."
    )
