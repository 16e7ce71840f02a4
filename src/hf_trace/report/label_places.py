"""Where the names of nodes fit: beside their dot, clear of arrows, of other dots and of other names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Place = tuple[float, float]


@dataclass(frozen=True)
class Label:
    """A text centred on a place, in inches."""

    text: str
    x: float
    y: float


class LabelPlacer:
    """Puts names below, above, right or left of their dots, the first place that covers least.

    Args:
        obstacles: Points that names should not cover, inches, ``[point, axis]``.
        size: Width and height of the picture in inches; names stay inside.
        font: Size of the text in points.
        gap: Inches from the centre of a dot to the edge of its name.
    """

    def __init__(self, obstacles: Sequence[Place], size: Place, *, font: float, gap: float) -> None:
        self._obstacles = np.array(obstacles, dtype=np.float64).reshape(-1, 2)
        self._size = size
        self._font = font
        self._gap = gap
        self._taken: list[tuple[float, float, float, float]] = []

    def place(self, names: Mapping[Place, str], *, drop_crowded: bool = False) -> list[Label]:
        """Place names in order; with ``drop_crowded``, leave out those that would cover another name."""
        found = (self._best(place, text, drop_crowded=drop_crowded) for place, text in names.items())
        return [label for label in found if label is not None]

    def _best(self, place: Place, text: str, *, drop_crowded: bool) -> Label | None:
        width, height = 0.6 * self._font * len(text) / 72 + 0.04, 1.35 * self._font / 72
        boxes = [self._box(x, y, width, height) for x, y in self._choices(place, width, height)]
        costs = [10 * self._overlaps(box) + self._covered(box) for box in boxes]
        box = boxes[int(np.argmin(costs))]
        if drop_crowded and self._overlaps(box):
            return None
        self._taken.append(box)
        return Label(text, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2)

    def _choices(self, place: Place, width: float, height: float) -> list[Place]:
        (x, y), up, side = place, self._gap + height / 2, self._gap + width / 2
        slant = width / 2
        corners = [(x + slant, y - up), (x - slant, y - up), (x + slant, y + up), (x - slant, y + up)]
        return [(x, y - up), (x, y + up), (x + side, y), (x - side, y), *corners]

    def _box(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        x = float(np.clip(x, width / 2, max(self._size[0] - width / 2, width / 2)))
        y = float(np.clip(y, height / 2, max(self._size[1] - height / 2, height / 2)))
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    def _overlaps(self, box: tuple[float, float, float, float]) -> int:
        left, low, right, high = box
        return sum(left < r and l < right and low < h and b < high for l, b, r, h in self._taken)  # noqa: E741

    def _covered(self, box: tuple[float, float, float, float]) -> int:
        x, y = self._obstacles[:, 0], self._obstacles[:, 1]
        return int(((box[0] < x) & (x < box[2]) & (box[1] < y) & (y < box[3])).sum())
