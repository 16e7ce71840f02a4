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
from hf_trace.graphs.event_graph import EventGraph
from hf_trace.graphs.pictures.layout import LabelPlacer, Place, place_nodes
from hf_trace.logs.log import duration

# Blue and vermilion of Okabe and Ito stay apart for every kind of color blindness, and in grey.
COLORS = {"excites": "#0072B2", "inhibits": "#D55E00"}
NEUTRAL = "#5A5A5A"
FAINT = "#8C8C8C"
INK = "#1A1A1A"
NODE = "#F0E9D8"
# Heads tell the sign where colors cannot: an arrow, and a bar.
_HEADS = {"inhibits": "|-|,widthA=0,widthB=0.5"}
_ARROW = "-|>"
_FALSE_LINE, _MISSED_LINE = (0, (3.2, 1.6)), (0, (1, 1.8))
_CROWDED = 20  # edges above which each names one lag only
_UNCHANGED = ("same", "untested")


@dataclass(frozen=True)
class DrawnEdge:
    """One arrow: the nodes it joins, its line width in points, color, line, the text on it, and its head."""

    ends: tuple[Any, Any]
    width: float
    color: str
    line: Any
    label: str
    head: str = _ARROW


def drawn_edges(graph: EventGraph, truth: EventGraph | None, *, widest: float = 4.0) -> list[DrawnEdge]:
    """Style the edges of a graph, weakest first, and before them the edges of ``truth`` that it lacks."""
    largest = max((_strength(edge) for edge in graph.edges), default=0.0)
    found = [_drawn(graph, edge, truth, widest, largest) for edge in graph.strongest(len(graph)).edges]
    found.sort(key=lambda edge: edge.width)
    return [*_missed(graph, truth), *found]


def legend_lines(graph: EventGraph, truth: EventGraph | None) -> list[FancyArrowPatch | Line2D]:
    """Say what colors, heads, widths and lines mean, as far as the graph uses them."""
    present = {edge.get("direction") for edge in graph.edges}
    arrows: list[FancyArrowPatch | Line2D] = [
        FancyArrowPatch((0, 0), (1, 0), arrowstyle=_HEADS.get(name, _ARROW), color=color, linewidth=2.0, label=name)
        for name, color in COLORS.items()
        if name in present
    ]
    entries: list[tuple[str, str, float, Any]] = []
    changes = {edge.get("change") for edge in graph.edges}
    if "gone" in changes:
        entries.append(("gone", NEUTRAL, 1.6, _MISSED_LINE))
    if changes.intersection(_UNCHANGED):
        entries.append(("as before", FAINT, 1.0, "-"))
    if any(isinstance(edge.get("lag_seconds_quantiles"), dict) for edge in graph.edges) and not changes - {None}:
        entries.append(("on it: median delay", NEUTRAL, 1.0, "-"))
    largest = max((_strength(edge) for edge in graph.edges), default=0.0)
    if largest > 0:
        strength = graph.metadata.get("strength")
        shown = f"cmi {largest:.2g} nats" if strength is None else f"{largest:.2g} {strength}"
        entries.append((f"widest: {shown}", NEUTRAL, 4.0, "-"))
    if truth is not None:
        entries.append(("in the truth", NEUTRAL, 1.6, "-"))
        entries.append(("not in the truth", NEUTRAL, 1.6, _FALSE_LINE))
        entries.append(("missed", FAINT, 1.2, _MISSED_LINE))
    return arrows + [Line2D([], [], color=c, linewidth=w, linestyle=line, label=text) for text, c, w, line in entries]


def legend_arrow(orig_handle: FancyArrowPatch, width: float, height: float, fontsize: float, **_: Any) -> Any:
    """The arrow of a legend entry, as ``HandlerPatch`` of Matplotlib asks for it."""
    ends = (0.0, height / 2), (width, height / 2)
    return FancyArrowPatch(*ends, arrowstyle=orig_handle.get_arrowstyle(), mutation_scale=fontsize)


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
    return float(abs(edge.get("cmi") or 0.0))


def _drawn(
    graph: EventGraph, edge: Mapping[str, Any], truth: EventGraph | None, widest: float, largest: float
) -> DrawnEdge:
    width = 0.7 + (widest - 0.7) * _strength(edge) / largest if largest else 1.4
    is_true = truth is None or _identity(edge, graph, truth) in _identities(truth, graph)
    sign, change = edge.get("direction", ""), edge.get("change")
    line = _MISSED_LINE if change == "gone" else "-" if is_true else _FALSE_LINE
    label = visible(_lag_text(edge, crowded=len(graph) > _CROWDED)) if change is None else change
    head = _HEADS.get(sign, _ARROW)
    if change in _UNCHANGED:
        return DrawnEdge(graph.ends(edge), 1.0, FAINT, line, "", head)
    return DrawnEdge(graph.ends(edge), width, COLORS.get(sign, NEUTRAL), line, label, head)


def _missed(graph: EventGraph, truth: EventGraph | None) -> list[DrawnEdge]:
    if truth is None or (truth.level == "instance") != (graph.level == "instance"):
        return []
    found, nodes = _identities(graph, truth), set(graph.nodes)
    ends = [truth.ends(edge) for edge in truth.edges]
    return [DrawnEdge(pair, 1.2, FAINT, _MISSED_LINE, "") for pair in ends if pair not in found and set(pair) <= nodes]


def _identities(graph: EventGraph, other: EventGraph) -> set[Hashable]:
    return {_identity(edge, graph, other) for edge in graph.edges}


def _identity(edge: Mapping[str, Any], graph: EventGraph, other: EventGraph) -> tuple[Any, Any]:
    """Name an edge by its positions when both graphs have them, and by its event types otherwise."""
    if graph.level == other.level == "instance":
        return edge["cause_position"], edge["effect_position"]
    return edge["cause"], edge["effect"]


def _lag_text(edge: Mapping[str, Any], *, crowded: bool) -> str:
    """The median delay of an edge, or else its lags; only the first, the most frequent, where many edges cross."""
    if isinstance(delays := edge.get("lag_seconds_quantiles"), dict) and isinstance(delays.get("0.5"), int | float):
        return _delay(delays["0.5"])
    if isinstance(lags := edge.get("lags"), list) and lags:
        return str(lags[0]) if crowded else ", ".join(map(str, lags[:3])) + ("…" if len(lags) > 3 else "")
    return "" if edge.get("lag") is None else str(edge["lag"])


def _delay(seconds: float) -> str:
    """A time in few letters.

    Example:
        >>> _delay(150.0), _delay(7.0)
        ('2.5 min', '7 s')
    """
    amount, unit = duration(seconds).split()
    return f"{amount} {_UNITS.get(unit, unit)}"


_UNITS = {"seconds": "s", "second": "s", "minutes": "min", "hours": "h", "days": "d", "years": "y"}
_FEW = 25  # event types; of more those without an arrow are left out
_LARGE = 60  # event types; a picture of more draws only those with an arrow
_SURE = 30  # names at the ends of the widest arrows that are written however crowded it is
_MARGIN, _TITLE = 0.75, 0.3
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
            return cls(14.0, 10.0, 6.0, 9.0, 26)
        return cls(17.0, 12.0, 3.5, 8.0, 20)


def drawn_nodes(graph: EventGraph, edges: Sequence[DrawnEdge]) -> tuple[str, ...]:
    """Return the types to draw: all of a small graph, those with an arrow of another one."""
    joined = _joined(edges)
    return graph.events if len(graph.events) <= _FEW else tuple(e for e in graph.events if e in joined)


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
    inner = place_nodes(network, scale.width - 2 * _MARGIN - 0.5, scale.height - 2 * _MARGIN - _TITLE - foot)
    places = {node: (x + _MARGIN + 0.25, y + _MARGIN + foot) for node, (x, y) in inner.items()}
    large = len(nodes) > _LARGE
    lags = LabelPlacer(list(places.values()), (scale.width, scale.height), font=scale.font - 2, gap=0.0)
    for order, edge in enumerate(edges):
        _draw_arrow(axes, edge, places, network, scale, 2 + order / len(edges), None if large else lags)
    _add_dots(axes, list(places.values()), area=(2 * scale.radius) ** 2, line=1.0)
    _draw_names(axes, places, edges, network, scale)


def _draw_arrow(
    axes: Any, edge: DrawnEdge, places: Mapping[str, Place], network: Any, scale: Scale, order: float,
    lags: LabelPlacer | None,
) -> None:  # fmt: skip
    curve = _path(edge, places, network, scale)
    shrink = 0.0 if edge.ends[0] == edge.ends[1] else scale.radius + 1.5
    head, alpha = 6 + scale.radius * 0.5, 0.85 if lags is not None else 0.6
    _add_arrow(axes, edge, curve, head=head, shrink=shrink, alpha=alpha, order=order)
    if lags is not None and edge.label:
        # Away from the ends, where heads and names are.
        along = _curve(*curve)[9:21]
        best = lags.along([along[at] for at in (6, 3, 9, 0, 11)], edge.label)
        _add_lags(axes, edge, best, scale.font - 2)


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
    ends = dict.fromkeys(chain.from_iterable(edge.ends for edge in reversed(edges)))  # of the widest arrows first
    named = sorted(places, key=lambda node: -network.degree(node))[: max(_LARGE - _SURE, 0)]
    shown = list(dict.fromkeys([*list(ends)[:_SURE], *named])) if large else list(places)
    obstacles = [point for edge in edges for point in _curve(*_path(edge, places, network, scale))]
    # A name over a dot hides more than a name over a line.
    obstacles += [place for place in places.values() for _ in range(4)]
    placer = LabelPlacer(obstacles, (scale.width, scale.height), font=scale.font, gap=(scale.radius + 2.5) / 72)
    names = {places[node]: shortened(node, scale.label) for node in shown}
    sure = dict(list(names.items())[: _SURE if large else len(names)])
    rest = {place: name for place, name in names.items() if place not in sure}
    for label in [*placer.place(sure), *placer.place(rest, drop_crowded=True)]:
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
        start, end, arrowstyle=edge.head, connectionstyle=f"arc3,rad={bend}", mutation_scale=head + 2 * edge.width,
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
