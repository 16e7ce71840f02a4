"""One sequence from left to right, its edges as arcs above it."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from matplotlib.patches import FancyArrowPatch

from hf_trace.report.edge_style import FAINT, INK, NODE, DrawnEdge, shortened

_STEP = 0.29
_NAMES = 1.75
_MANY = 120


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
        _draw_arc(
            axes, edge, (places[edge.ends[0]], places[edge.ends[1]]), ground, rise, 2 + order / len(edges)
        )
    axes.scatter(places, [ground] * len(places), s=42, color=NODE, edgecolors=INK, linewidths=0.9, zorder=3.5)
    joined = set(chain.from_iterable(edge.ends for edge in edges))
    for position, event in enumerate(events):
        if position in joined or len(events) <= _MANY:
            _draw_name(axes, places[position], ground, event, is_joined=position in joined)


def _draw_arc(
    axes: Any, edge: DrawnEdge, ends: tuple[float, float], ground: float, rise: float, order: float
) -> None:
    # The curve of matplotlib's arc3 rises to half of `rad` times its length.
    bend = 2 * rise / max(ends[1] - ends[0], 1e-6)
    arrow = FancyArrowPatch(
        (ends[0], ground),
        (ends[1], ground),
        arrowstyle="-|>",
        connectionstyle=f"arc3,rad={-bend}",
        mutation_scale=6 + 2 * edge.width,
        shrinkA=4.5,
        shrinkB=4.5,
        linewidth=edge.width,
        linestyle=edge.line,
        color=edge.colour,
        alpha=0.85,
        zorder=order,
    )
    axes.add_patch(arrow)
    if edge.label:
        axes.text(
            sum(ends) / 2, ground + rise, edge.label, color=edge.colour, fontsize=8, ha="center", va="center",
            parse_math=False, bbox={"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none"},
            zorder=4,
        )  # fmt: skip


def _draw_name(axes: Any, x: float, ground: float, event: str, *, is_joined: bool) -> None:
    axes.text(
        x, ground - 0.12, shortened(event, 22), color=INK if is_joined else FAINT, fontsize=8.5, rotation=90,
        ha="center", va="top", parse_math=False,
    )  # fmt: skip
