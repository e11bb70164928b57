"""Places short labels beside points so that they cover neither one another nor the points (greedy, in order)."""

from collections.abc import Sequence
from typing import NamedTuple

_CHARACTER, _LINE = 6.2, 12.0  # size of the pictures' 11-unit type


class Box(NamedTuple):
    """A rectangle."""

    left: float
    """Smallest x."""
    top: float
    """Smallest y."""
    right: float
    """Largest x."""
    bottom: float
    """Largest y."""

    def overlap(self, other: "Box") -> float:
        """Return the area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)


class Place(NamedTuple):
    """Where a label's text begins (left end of its base line)."""

    x: float
    """Left end."""
    y: float
    """Base line."""


def place(points: Sequence[tuple[float, float, str]], area: Box, taken: Sequence[Box] = ()) -> list[Place]:
    """Return a place for each (x, y, text), chosen among eight beside the point for the least overlap.

    What reaches out of ``area`` counts as overlap; ``taken`` is covered already.
    """
    covered = [*taken, *(Box(x - 5, y - 5, x + 5, y + 5) for x, y, _ in points)]
    places = []
    for x, y, text in points:
        width = len(text) * _CHARACTER
        boxes = [
            _box(x, y, width, side, level) for level in (0, -1, 1) for side in (1, -1, 0) if (side, level) != (0, 0)
        ]
        best = min(boxes, key=lambda box: _cost(box, area, covered))
        covered.append(best)
        places.append(Place(best.left, best.bottom - 3))
    return places


def _box(x: float, y: float, width: float, side: int, level: int) -> Box:
    left = {1: x + 7, -1: x - 7 - width, 0: x - width / 2}[side]
    middle = y + level * 12
    return Box(left, middle - _LINE / 2, left + width, middle + _LINE / 2)


def _cost(box: Box, area: Box, covered: Sequence[Box]) -> float:
    whole = (box.right - box.left) * (box.bottom - box.top)
    outside = whole - box.overlap(area)
    return 3 * outside + sum(box.overlap(other) for other in covered)
