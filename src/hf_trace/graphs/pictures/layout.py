"""Where event types stand in a picture, in inches, and where their names fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

Place = tuple[float, float]
Box = tuple[float, float, float, float]  # left, low, right, high
# Kamada-Kawai compares all pairs of nodes: clear for small graphs, slow for large ones.
_SMALL = 400
_CROWDED = 60


@dataclass(frozen=True)
class Label:
    """A text centered on a place, in inches."""

    text: str
    x: float
    y: float


class LabelPlacer:
    """Puts names below, above, right or left of their dots, or at a corner: where they cover least.

    Args:
        obstacles: Points that names should not cover, in inches.
        size: Width and height of the picture in inches; names stay inside.
        font: Size of the text in points.
        gap: Inches from the centre of a dot to the edge of its name.
    """

    def __init__(self, obstacles: Sequence[Place], size: Place, *, font: float, gap: float) -> None:
        self._obstacles = np.array(obstacles, dtype=np.float64).reshape(-1, 2)
        self._size = size
        self._font = font
        self._gap = gap
        self._taken: list[Box] = []

    def place(self, names: Mapping[Place, str], *, drop_crowded: bool = False) -> list[Label]:
        """Place names in order; with ``drop_crowded``, leave out those that would cover another name."""
        found = (self._best(place, text, drop_crowded=drop_crowded) for place, text in names.items())
        return [label for label in found if label is not None]

    def along(self, places: Sequence[Place], text: str) -> Place:
        """The first of some places where a text, centered there, covers least; it is taken from then on."""
        width, height = self._extent(text)
        boxes = [self._box(x, y, width, height) for x, y in places]
        best = int(np.argmin([10 * self._overlaps(box) + self._covered(box) for box in boxes]))
        self._taken.append(boxes[best])
        return places[best]

    def _extent(self, text: str) -> Place:
        return 0.6 * self._font * len(text) / 72 + 0.04, 1.35 * self._font / 72

    def _best(self, place: Place, text: str, *, drop_crowded: bool) -> Label | None:
        width, height = self._extent(text)
        boxes = [self._box(x, y, width, height) for x, y in self._choices(place, width, height)]
        costs = [10 * self._overlaps(box) + self._covered(box) for box in boxes]
        box = boxes[int(np.argmin(costs))]
        if drop_crowded and self._overlaps(box):
            return None
        self._taken.append(box)
        return Label(text, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2)

    def _choices(self, place: Place, width: float, height: float) -> list[Place]:
        (x, y), up, side = place, self._gap + height / 2, self._gap + width / 2
        corners = [(x + shift, y + rise) for rise in (-up, up) for shift in (width / 2, -width / 2)]
        return [(x, y - up), (x, y + up), (x + side, y), (x - side, y), *corners]

    def _box(self, x: float, y: float, width: float, height: float) -> Box:
        x = float(np.clip(x, width / 2, max(self._size[0] - width / 2, width / 2)))
        y = float(np.clip(y, height / 2, max(self._size[1] - height / 2, height / 2)))
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    def _overlaps(self, box: Box) -> int:
        left, low, right, high = box
        return sum(left < r and l < right and low < h and b < high for l, b, r, h in self._taken)  # noqa: E741

    def _covered(self, box: Box) -> int:
        x, y = self._obstacles[:, 0], self._obstacles[:, 1]
        return int(((box[0] < x) & (x < box[2]) & (box[1] < y) & (y < box[3])).sum())


def place_nodes(network: Any, width: float, height: float) -> dict[str, Place]:
    """Spread the nodes of a directed graph over a rectangle; those without an edge stand in rows at its foot.

    Args:
        network: The nodes and edges to draw.
        width: Of the rectangle, in inches.
        height: Of the rectangle, in inches.

    Returns:
        Inches from the lower left corner, per node.

    Example:
        >>> places = place_nodes(nx.DiGraph([("a", "b")]), 4.0, 3.0)
        >>> sorted(places)
        ['a', 'b']
    """
    joined = [node for node in network if any(other != node for other in nx.all_neighbors(network, node))]
    alone = [node for node in network if node not in set(joined)]
    per_row = max(1, int(width / 1.3))
    rows = -(-len(alone) // per_row)
    foot = min(0.55 * rows, 0.4 * height) if joined else height
    places = _spread(network.subgraph(joined).to_undirected(), joined, width, height - foot)
    lifted = {node: (x, y + foot) for node, (x, y) in places.items()}
    return lifted | _in_rows(alone, per_row, width, foot)


def _spread(network: Any, order: Sequence[str], width: float, height: float) -> dict[str, Place]:
    if not order:
        return {}
    # Subgraphs iterate in the order of a set; places must not depend on it.
    ordered: nx.Graph[Any] = nx.Graph()
    ordered.add_nodes_from(order)
    ordered.add_edges_from(sorted(network.edges, key=lambda ends: sorted(map(order.index, ends))))
    found = _by_distance(ordered) if len(order) <= _SMALL else _by_springs(ordered)
    points = _turned_flat(np.array([found[node] for node in order]))
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high - low > 1e-9, high - low, 1.0)
    scaled = (points - low) / span
    if len(order) > _CROWDED:
        scaled = _loosened(scaled)
    scaled = scaled * (width, height)
    scaled[:, high - low <= 1e-9] = (np.array([width, height]) / 2)[high - low <= 1e-9]
    return {node: (float(x), float(y)) for node, (x, y) in zip(order, scaled, strict=True)}


def _by_distance(network: Any) -> Mapping[str, Any]:
    distances = {node: dict(found) for node, found in nx.all_pairs_shortest_path_length(network)}
    longest = max(max(found.values()) for found in distances.values())
    # Parts that no path joins stand apart, but not so far that they squeeze each part.
    apart = {
        node: {other: found.get(other, 0.6 * longest + 1) for other in network} for node, found in distances.items()
    }
    return dict(nx.kamada_kawai_layout(network, dist=apart))


def _by_springs(network: Any) -> Mapping[str, Any]:
    spacing = 3.0 / np.sqrt(len(network))
    return dict(nx.spring_layout(network, k=spacing, seed=0, iterations=200, weight=None))


def _turned_flat(points: Any) -> Any:
    """Turn the longest axis of a cloud of points sideways, since pictures are wider than high."""
    centered = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    axes = axes if axes.shape == (2, 2) else np.eye(2)
    # The sign of a singular vector is arbitrary; fix it so that every machine draws the same picture.
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    return centered @ (axes * signs[:, None]).T


def _loosened(points: Any) -> Any:
    """Move points towards even spacing along both axes: room in a crowded middle, less at the rim."""
    ranks = points.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") / (len(points) - 1)
    return 0.4 * points + 0.6 * ranks


def _in_rows(nodes: Sequence[str], per_row: int, width: float, height: float) -> dict[str, Place]:
    rows = -(-len(nodes) // per_row)
    columns = min(per_row, len(nodes))
    return {
        node: (width * (i % per_row + 0.5) / columns, height * (rows - i // per_row - 0.75) / rows)
        for i, node in enumerate(nodes)
    }
