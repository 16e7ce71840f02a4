"""How an edge looks: width, color and line say its strength, its direction and whether it is true."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.lines import Line2D

from hf_trace.graphs.graph import CausalGraph

# Blue and vermilion of Okabe and Ito stay apart for every kind of color blindness, and in grey.
COLORS = {"excites": "#0072B2", "inhibits": "#D55E00"}
NEUTRAL = "#5A5A5A"
FAINT = "#8C8C8C"
INK = "#1A1A1A"
NODE = "#F0E9D8"
_FALSE_LINE, _MISSED_LINE = (0, (3.2, 1.6)), (0, (1, 1.8))
_CROWDED = 40  # edges above which each names one lag only


@dataclass(frozen=True)
class DrawnEdge:
    """One arrow: the nodes it joins, its line width in points, its color and line, and the text on it."""

    ends: tuple[Any, Any]
    width: float
    color: str
    line: Any
    label: str


def drawn_edges(graph: CausalGraph, truth: CausalGraph | None, *, widest: float = 4.0) -> list[DrawnEdge]:
    """Style the edges of a graph, weakest first, and before them the edges of ``truth`` that it lacks."""
    largest = max((_strength(edge) for edge in graph.edges), default=0.0)
    found = [_drawn(graph, edge, truth, widest, largest) for edge in graph.strongest(len(graph)).edges]
    found.sort(key=lambda edge: edge.width)
    return [*_missed(graph, truth), *found]


def legend_lines(graph: CausalGraph, truth: CausalGraph | None) -> list[Line2D]:
    """Say what colors, widths and lines mean, as far as the graph uses them."""
    present = {edge.get("direction") for edge in graph.edges}
    entries: list[tuple[str, str, float, Any]]
    entries = [(name, color, 2.5, "-") for name, color in COLORS.items() if name in present]
    largest = max((_strength(edge) for edge in graph.edges), default=0.0)
    if largest > 0:
        entries.append((f"widest: cmi {largest:.2g} nats", NEUTRAL, 4.0, "-"))
    if truth is not None:
        entries.append(("in the truth", NEUTRAL, 1.6, "-"))
        entries.append(("not in the truth", NEUTRAL, 1.6, _FALSE_LINE))
        entries.append(("missed", FAINT, 1.2, _MISSED_LINE))
    return [Line2D([], [], color=c, linewidth=w, linestyle=line, label=text) for text, c, w, line in entries]


def shortened(name: str, limit: int) -> str:
    """Cut a long name in its middle and show control characters as blanks.

    Example:
        >>> shortened("connection to the database lost", 16)
        'connecti…se lost'
    """
    visible = "".join(char if char.isprintable() else " " for char in name)
    if len(visible) <= limit:
        return visible
    head = limit // 2
    return f"{visible[:head]}…{visible[len(visible) - (limit - head - 1) :]}"


def _strength(edge: Mapping[str, Any]) -> float:
    return abs(edge.get("cmi") or 0.0)


def _drawn(
    graph: CausalGraph, edge: Mapping[str, Any], truth: CausalGraph | None, widest: float, largest: float
) -> DrawnEdge:
    width = 0.7 + (widest - 0.7) * _strength(edge) / largest if largest else 1.4
    is_true = truth is None or _identity(edge, graph, truth) in _identities(truth, graph)
    color = COLORS.get(edge.get("direction", ""), NEUTRAL)
    line = "-" if is_true else _FALSE_LINE
    return DrawnEdge(graph.ends(edge), width, color, line, _lag_text(edge, crowded=len(graph) > _CROWDED))


def _missed(graph: CausalGraph, truth: CausalGraph | None) -> list[DrawnEdge]:
    if truth is None or (truth.level == "instance") != (graph.level == "instance"):
        return []
    found, nodes = _identities(graph, truth), set(graph.nodes)
    ends = [truth.ends(edge) for edge in truth.edges]
    return [DrawnEdge(pair, 1.2, FAINT, _MISSED_LINE, "") for pair in ends if pair not in found and set(pair) <= nodes]


def _identities(graph: CausalGraph, other: CausalGraph) -> set[Hashable]:
    return {_identity(edge, graph, other) for edge in graph.edges}


def _identity(edge: Mapping[str, Any], graph: CausalGraph, other: CausalGraph) -> tuple[Any, Any]:
    """Name an edge by its positions when both graphs have them, and by its event types otherwise."""
    if graph.level == other.level == "instance":
        return edge["cause_position"], edge["effect_position"]
    return edge["cause"], edge["effect"]


def _lag_text(edge: Mapping[str, Any], *, crowded: bool) -> str:
    """The lags of an edge; only the first, which is the most frequent, where many edges cross."""
    if isinstance(lags := edge.get("lags"), list) and lags:
        return str(lags[0]) if crowded else ", ".join(map(str, lags[:3])) + ("…" if len(lags) > 3 else "")
    return "" if edge.get("lag") is None else str(edge["lag"])
