"""How edges look, and event types as dots or one sequence from left to right with them as arrows and arcs."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke

from hf_trace.errors import visible
from hf_trace.graphs.graph import CausalGraph
from hf_trace.report.layout import LabelPlacer, Place, place_nodes

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
        strength = graph.metadata.get("strength")
        shown = f"cmi {largest:.2g} nats" if strength is None else f"{largest:.2g} {strength}"
        entries.append((f"widest: {shown}", NEUTRAL, 4.0, "-"))
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
    label = visible(_lag_text(edge, crowded=len(graph) > _CROWDED))
    return DrawnEdge(graph.ends(edge), width, color, line, label)


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


_LARGE = 60  # event types; a picture of more draws only those with an arrow
_MARGIN = 0.75
Curve = tuple[Place, Place, float]  # start, end and bend, which is `rad` of matplotlib's arc3
_HALO = [withStroke(linewidth=2.5, foreground="white")]
# Of timelines: inches from event to event, inches for the names below, and events above which some have no name.
_STEP, _NAMES, _MANY = 0.29, 1.75, 120


@dataclass(frozen=True)
class Scale:
    """Sizes for a number of nodes: picture in inches, dots and text in points, labels in characters."""

    width: float
    height: float
    radius: float
    font: float
    label: int

    @classmethod
    def of(cls, nodes: int) -> "Scale":
        """Choose the sizes for a number of nodes."""
        if nodes <= 8:
            return cls(7.5, 5.2, 9.0, 11.0, 28)
        if nodes <= 25:
            return cls(11.0, 7.6, 7.0, 10.0, 24)
        if nodes <= _LARGE:
            return cls(14.0, 10.0, 6.0, 9.0, 20)
        return cls(17.0, 12.0, 3.5, 8.0, 20)


def drawn_nodes(graph: CausalGraph, edges: Sequence[DrawnEdge]) -> tuple[str, ...]:
    """Return the types to draw: all of a small graph, those with an arrow of a large one."""
    joined = _joined(edges)
    return graph.events if len(graph.events) <= _LARGE else tuple(e for e in graph.events if e in joined)


def draw_types(axes: Any, nodes: Sequence[str], edges: Sequence[DrawnEdge], scale: Scale, foot: float) -> None:
    """Draw dots, arrows and names on axes whose unit is an inch.

    Args:
        axes: Matplotlib axes, one unit per inch.
        nodes: Event types to draw.
        edges: Arrows, the topmost last.
        scale: Sizes.
        foot: Height kept free for the legend, in inches.
    """
    network: nx.DiGraph[Any] = nx.DiGraph()
    network.add_nodes_from(nodes)
    network.add_edges_from(edge.ends for edge in edges)
    inner = place_nodes(network, scale.width - 2 * _MARGIN - 0.5, scale.height - 2 * _MARGIN - foot)
    places = {node: (x + _MARGIN + 0.25, y + _MARGIN + foot) for node, (x, y) in inner.items()}
    large = len(nodes) > _LARGE
    for order, edge in enumerate(edges):
        _draw_arrow(axes, edge, places, network, scale, order=2 + order / len(edges), labelled=not large)
    _add_dots(axes, list(places.values()), area=(2 * scale.radius) ** 2, line=1.0)
    _draw_names(axes, places, edges, network, scale)


def _draw_arrow(
    axes: Any, edge: DrawnEdge, places: Mapping[str, Place], network: Any, scale: Scale, *, order: float, labelled: bool
) -> None:
    curve = _path(edge, places, network, scale)
    shrink = 0.0 if edge.ends[0] == edge.ends[1] else scale.radius + 1.5
    head, alpha = 6 + scale.radius * 0.5, 0.85 if labelled else 0.6
    _add_arrow(axes, edge, curve, head=head, shrink=shrink, alpha=alpha, order=order)
    if labelled:
        _add_lags(axes, edge, _middle(*curve), scale.font - 2)


def _path(edge: DrawnEdge, places: Mapping[str, Place], network: Any, scale: Scale) -> Curve:
    cause, effect = edge.ends
    start, end = places[cause], places[effect]
    if cause == effect:
        reach = scale.radius / 72
        return (start[0] - reach, start[1] + reach / 2), (start[0] + reach, start[1] + reach / 2), -4.0
    if network.has_edge(effect, cause):
        return start, end, 0.22
    blocked = any(
        node not in edge.ends and _near_line(place, start, end, 2.2 * scale.radius / 72)
        for node, place in places.items()
    )
    return start, end, 0.3 if blocked and len(places) <= _LARGE else 0.0


def _near_line(place: Place, start: Place, end: Place, distance: float) -> bool:
    point, origin, along = np.array(place), np.array(start), np.array(end) - np.array(start)
    share = float((point - origin) @ along / max(along @ along, 1e-12))
    return 0 < share < 1 and float(np.hypot(*(point - origin - share * along))) < distance


def _middle(start: Place, end: Place, bend: float) -> Place:
    """Middle of the quadratic curve that matplotlib's ``arc3`` draws."""
    (x0, y0), (x1, y1) = start, end
    return (x0 + x1) / 2 + bend * (y1 - y0) / 2, (y0 + y1) / 2 - bend * (x1 - x0) / 2


def _draw_names(axes: Any, places: Mapping[str, Place], edges: Sequence[DrawnEdge], network: Any, scale: Scale) -> None:
    large = len(places) > _LARGE
    shown = sorted(places, key=lambda node: -network.degree(node))[:_LARGE] if large else list(places)
    obstacles = [point for edge in edges for point in _curve(*_path(edge, places, network, scale))]
    # A name over a dot hides more than a name over a line.
    obstacles += [place for place in places.values() for _ in range(4)]
    placer = LabelPlacer(obstacles, (scale.width, scale.height), font=scale.font, gap=(scale.radius + 2.5) / 72)
    names = {places[node]: shortened(node, scale.label) for node in shown}
    for label in placer.place(names, drop_crowded=large):
        axes.text(
            label.x, label.y, label.text, fontsize=scale.font, color=INK, ha="center", va="center",
            parse_math=False, path_effects=_HALO, zorder=5,
        )  # fmt: skip


def _curve(start: Place, end: Place, bend: float) -> list[Place]:
    """Points along an arrow, dense enough to see whether a name covers it."""
    (x0, y0), (x1, y1), (x, y) = start, end, _middle(start, end, bend)
    control = (2 * x - (x0 + x1) / 2, 2 * y - (y0 + y1) / 2)
    steps = np.linspace(0, 1, 30)
    near, turn, far = (1 - steps) ** 2, 2 * steps * (1 - steps), steps**2
    return list(zip(near * x0 + turn * control[0] + far * x1, near * y0 + turn * control[1] + far * y1, strict=True))


def timeline_size(n_events: int) -> tuple[float, float]:
    """Return width and height of the picture in inches."""
    return min(max(7.5, 1.4 + _STEP * n_events), 36.0), 6.0


def draw_timeline(
    axes: Any, events: Sequence[str], edges: Sequence[DrawnEdge], size: tuple[float, float], foot: float
) -> None:
    """Draw events, arcs and names on axes whose unit is an inch.

    Args:
        axes: Matplotlib axes, one unit per inch.
        events: The event at every position.
        edges: Arrows between positions, the topmost last.
        size: Width and height of the picture, in inches.
        foot: Height kept free for the legend, in inches.
    """
    width, height = size
    ground = foot + _NAMES
    step = (width - 1.4) / max(len(events) - 1, 1)
    places = [0.7 + step * position for position in range(len(events))]
    longest = max((abs(edge.ends[1] - edge.ends[0]) for edge in edges), default=1)
    for order, edge in enumerate(edges):
        rise = (height - ground - 0.75) * (abs(edge.ends[1] - edge.ends[0]) / longest) ** 0.6
        _draw_arc(axes, edge, (places[edge.ends[0]], places[edge.ends[1]]), ground, rise, 2 + order / len(edges))
    _add_dots(axes, [(place, ground) for place in places], area=42.0, line=0.9)
    joined = _joined(edges)
    for position, event in enumerate(events):
        if position in joined or len(events) <= _MANY:
            _draw_name(axes, places[position], ground, event, is_joined=position in joined)


def _draw_arc(axes: Any, edge: DrawnEdge, ends: tuple[float, float], ground: float, rise: float, order: float) -> None:
    # The curve of matplotlib's arc3 rises to half of `rad` times its length.
    bend = -2 * rise / max(ends[1] - ends[0], 1e-6)
    curve = (ends[0], ground), (ends[1], ground), bend
    _add_arrow(axes, edge, curve, head=6.0, shrink=4.5, alpha=0.85, order=order)
    _add_lags(axes, edge, (sum(ends) / 2, ground + rise), 8.0)


def _draw_name(axes: Any, x: float, ground: float, event: str, *, is_joined: bool) -> None:
    axes.text(
        x, ground - 0.12, shortened(event, 22), color=INK if is_joined else FAINT, fontsize=8.5, rotation=90,
        ha="center", va="top", parse_math=False,
    )  # fmt: skip


def _joined(edges: Sequence[DrawnEdge]) -> set[Any]:
    return set(chain.from_iterable(edge.ends for edge in edges))


def _add_dots(axes: Any, points: Sequence[Place], area: float, line: float) -> None:
    x, y = np.array(points).reshape(-1, 2).T
    axes.scatter(x, y, s=area, color=NODE, edgecolors=INK, linewidths=line, zorder=3.5)


def _add_arrow(
    axes: Any, edge: DrawnEdge, curve: Curve, *, head: float, shrink: float, alpha: float, order: float
) -> None:
    """One arrow; ``head`` and ``shrink`` are the size of its head and its distance from the dots, in points."""
    start, end, bend = curve
    arrow = FancyArrowPatch(
        start, end, arrowstyle="-|>", connectionstyle=f"arc3,rad={bend}", mutation_scale=head + 2 * edge.width,
        shrinkA=shrink, shrinkB=shrink, linewidth=edge.width, linestyle=edge.line, color=edge.color, alpha=alpha,
        zorder=order,
    )  # fmt: skip
    axes.add_patch(arrow)


def _add_lags(axes: Any, edge: DrawnEdge, place: Place, font: float) -> None:
    """The lags of an edge on its arrow, where it has any."""
    if edge.label:
        axes.text(
            *place, edge.label, color=edge.color, fontsize=font, ha="center", va="center", parse_math=False,
            bbox={"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none"}, zorder=4,
        )  # fmt: skip
