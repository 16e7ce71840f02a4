"""A causal graph as a picture file."""

import io
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerPatch
from matplotlib.patches import FancyArrowPatch

from hf_trace.checks import whole
from hf_trace.errors import OutputError, visible
from hf_trace.graphs.event_graph import EventGraph
from hf_trace.graphs.graph_changes import CHANGES
from hf_trace.graphs.pictures.drawing import (
    INK,
    Scale,
    draw_timeline,
    draw_types,
    drawn_edges,
    drawn_nodes,
    legend_arrow,
    legend_lines,
    timeline_size,
)
from hf_trace.logs.log import EventLog
from hf_trace.logs.log_facts import has_dates, log_facts
from hf_trace.logs.writing import atomic_path

_FOOT = 0.5
# More arrows hide one another; beside a truth each of them is judged.
_READABLE, _MOST_EDGES = 30, 300
# Without dates and random ids, equal graphs give equal files.
_PLAIN = {"svg.hashsalt": "hf_trace", "text.usetex": False, "font.family": ["sans-serif"]}
_STATIC = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def draw_graph(
    graph: EventGraph,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    max_edges: int | None = None,
    truth: EventGraph | None = None,
) -> None:
    """Draw a graph to a .png, .svg or .pdf file.

    Arrows are as wide as their ``cmi``, blue when the cause excites, orange and ending in a bar when it inhibits, and
    carry their median delay, or else their lags in events. Summary and population graphs show event types as dots; an
    instance graph is a timeline with arcs. Above 25 types only types with an arrow are drawn. Above 60 of these the
    ends of the widest arrows are named, and the best connected types where the name fits. Of a graph of what changed
    (``GraphChanges.graph``) the edges that changed are drawn first, with the word for it.

    Args:
        graph: What to draw.
        path: Where to write, in the format that the suffix names.
        title: Text above the picture, the first line of it large; by default the question of the graph. See
            ``figure_title``.
        max_edges: Draw at most this many edges, the strongest; by default 30, and 300 beside a truth. A note tells how
            many there are.
        truth: A known graph: edges it lacks are dashed, edges that ``graph`` lacks are dotted.

    Raises:
        OutputError: If the suffix is unknown or the place cannot be written.
        SettingsError: If ``max_edges`` is no whole number of at least 0.

    Example:
        >>> import tempfile
        >>> from hf_trace import CausalGraph
        >>> path = Path(tempfile.mkdtemp()) / "graph.svg"
        >>> draw_graph(CausalGraph.from_edges([("disk full", "reboot")]), path)
        >>> path.read_text()[:5]
        '<?xml'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _STATIC:
        raise OutputError(f"Cannot draw to '{path}'. Expected a name that ends in {', '.join(_STATIC)}.")
    figure = graph_figure(graph, title=title, max_edges=max_edges, truth=truth)
    with atomic_path(path) as unfinished:
        figure.write(unfinished, suffix[1:])


def graph_figure(
    graph: EventGraph, *, title: str | None = None, max_edges: int | None = None, truth: EventGraph | None = None
) -> "GraphFigure":
    """The picture that ``draw_graph`` writes, with the same arguments, for notebooks and other figures.

    Raises:
        SettingsError: If ``max_edges`` is no whole number of at least 0.
    """
    default = _READABLE if truth is None and graph.level != "instance" else _MOST_EDGES
    most = default if max_edges is None else whole("max_edges", max_edges, least=0)
    with mpl.rc_context(_PLAIN):
        return _figure(graph, _foremost(graph, most), figure_title(graph) if title is None else title, truth)


class GraphFigure(Figure):
    """A figure of Matplotlib that notebooks show, apart from any global backend."""

    def _repr_png_(self) -> bytes:
        return self.png()

    def png(self) -> bytes:
        """The picture as the bytes of a PNG file."""
        buffer = io.BytesIO()
        self.write(buffer, "png")
        return buffer.getvalue()

    def write(self, target: Path | io.BytesIO, form: str) -> None:
        """Write the picture; equal graphs give equal bytes.

        Args:
            target: A path, or what holds the bytes.
            form: ``"png"``, ``"svg"`` or ``"pdf"``.
        """
        log = logging.getLogger("matplotlib.font_manager")
        before = log.level
        log.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings(), mpl.rc_context(_PLAIN):
                # A character that the font lacks is drawn as a box; the event names are in the files.
                warnings.filterwarnings("ignore", message=".*[Gg]lyph.*missing.*")
                self.savefig(target, format=form, dpi=110, metadata=_STATIC[f".{form}"])
        finally:
            log.setLevel(before)


def figure_title(graph: EventGraph, source: str = "", log: EventLog | None = None) -> str:
    r"""What a picture is of, in one or two lines: the log, the question, the days of the data.

    Args:
        graph: With the question in its metadata, where it answers one.
        source: Name of the log.
        log: The log, for its size and days.

    Example:
        >>> graph = EventGraph.from_edges([("a", "b")]).with_metadata(question="drives: what explains the effect")
        >>> figure_title(graph, "alarms.csv")
        'alarms.csv: what drives what\nwhat explains the effect'
    """
    asked, _, meaning = str(graph.metadata.get("question") or "").partition(": ")
    first = [source, f"what {asked} what" if asked and source else f"What {asked} what" if asked else ""]
    second = [meaning]
    if log is not None:
        facts = {fact["label"]: fact for fact in log_facts(log)}
        span = facts["Time span"]
        second += [f"{facts['Sequences']['value']} sequences", span["note"] if has_dates(log) else ""]
    lines = ": ".join(filter(None, first)), "; ".join(filter(None, second))
    return "\n".join(filter(None, lines))


def _foremost(graph: EventGraph, most: int) -> EventGraph:
    """The graph with its strongest edges alone; those that changed come before those that did not."""
    changed = [edge for edge in graph.edges if edge.get("change") in CHANGES]
    if not changed:
        return graph.strongest(most)
    rest = graph.with_edges(edge for edge in graph.edges if edge.get("change") not in CHANGES)
    chosen = graph.with_edges(changed).strongest(most)
    return graph.with_edges([*chosen.edges, *rest.strongest(most - len(chosen)).edges])


def _figure(every: EventGraph, graph: EventGraph, title: str | None, truth: EventGraph | None) -> GraphFigure:
    edges = drawn_edges(graph, truth)
    nodes = graph.events if graph.level == "instance" else drawn_nodes(graph, edges)
    scale = Scale.of(len(nodes))
    size = timeline_size(len(nodes)) if graph.level == "instance" else (scale.width, scale.height)
    figure, axes = _canvas(size)
    if not edges:
        center = {"ha": "center", "va": "center"}
        axes.text(size[0] / 2, size[1] / 2, _emptiness(every), fontsize=13, color=INK, **center)
    elif graph.level == "instance":
        draw_timeline(axes, nodes, edges, size, _FOOT)
    else:
        draw_types(axes, nodes, edges, scale, _FOOT)
    _draw_margins(axes, size, title, _note(every, graph, len(nodes)), legend_lines(graph, truth) if edges else [])
    return figure


def _canvas(size: tuple[float, float]) -> tuple[GraphFigure, Any]:
    """Make a figure whose axes fill it, with one unit per inch, apart from any global backend."""
    figure = GraphFigure(figsize=size)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(0, size[1]))
    axes.set_axis_off()
    return figure, axes


def _emptiness(graph: EventGraph) -> str:
    if len(graph):
        return f"None of the {len(graph):,} edges is drawn."
    kind = "events" if graph.level == "instance" else "event types"
    return f"No causal edge among {len(graph.events):,} {kind}."


def _note(every: EventGraph, graph: EventGraph, nodes: int) -> str:
    parts = []
    if 0 < len(graph) < len(every):
        parts.append(f"strongest {len(graph):,} of {len(every):,} edges drawn")
    if nodes < len(every.events) and len(graph):
        parts.append(f"{nodes:,} of {len(every.events):,} event types drawn")
    return "; ".join(parts)


def _draw_margins(axes: Any, size: tuple[float, float], title: str | None, note: str, legend: list[Any]) -> None:
    first, _, second = title.partition("\n") if title else ("", "", "")
    plain = {"color": INK, "va": "top", "parse_math": False}
    if first:
        axes.text(0.25, size[1] - 0.15, visible(first), fontsize=14, weight="bold", **plain)
    for line, text in enumerate(filter(None, (visible(second, keep="\n"), note))):
        axes.text(0.25, size[1] - 0.42 - 0.19 * line, text, fontsize=9.5, **plain)
    if legend:
        columns = min(len(legend), max(3, int(size[0] / 1.8)))
        axes.legend(
            handles=legend, loc="lower left", bbox_to_anchor=(0.005, 0.005), ncols=columns, frameon=False,
            fontsize=9.5, handlelength=2.6, handler_map={FancyArrowPatch: HandlerPatch(patch_func=legend_arrow)},
        )  # fmt: skip
