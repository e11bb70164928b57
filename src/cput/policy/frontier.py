"""Cost against quality: curve, hull, AIQ, and how many strong calls a share of the quality takes.

A curve is points (cost_usd, quality), one for each setting of a router's dial. Two points can always be mixed by a
coin, so that what counts is the non-decreasing convex hull (RouterBench, arXiv 2403.12031, section 3):

    hull_of([(0.1, 0.60), (0.5, 0.62), (1.0, 0.80)])     # the middle one lies below the mix of the others: dropped
    aiq(points, least_usd=0.1, most_usd=1.0)             # average quality over the range of costs

Costs are US dollars per prompt, qualities shares of 1.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cput.errors import InputError
from cput.policy.recorded import Floats


class Point(NamedTuple):
    """What one setting costs and gives."""

    cost_usd: float
    """Mean cost of a prompt."""
    quality: float
    """Mean quality of its answers."""


def point_of(quality: Floats, cost_usd: Floats, chosen: npt.NDArray[np.intp]) -> Point:
    """Return what ``chosen`` (n,), a column for each prompt of the (n, m) record, costs and gives."""
    rows = np.arange(len(chosen))
    return Point(float(np.mean(cost_usd[rows, chosen])), float(np.mean(quality[rows, chosen])))


def hull_of(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the non-decreasing convex hull, from the cheapest point to the best; empty of no points."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (each.cost_usd, -each.quality)):
        if best and point.quality <= best[-1].quality:
            continue
        while len(best) > 1 and _slope(best[-2], point) >= _slope(best[-2], best[-1]):
            best.pop()
        if best and point.cost_usd == best[-1].cost_usd:
            best.pop()
        best.append(Point(*point))
    return tuple(best)


def quality_at(hull: Sequence[Point], cost_usd: float) -> float:
    """Return the quality that a budget buys: 0 below the cheapest point, the best one's above it."""
    if not hull or cost_usd < hull[0].cost_usd:
        return 0.0
    return float(np.interp(cost_usd, [point.cost_usd for point in hull], [point.quality for point in hull]))


def cost_at(hull: Sequence[Point], quality: float) -> float | None:
    """Return the least cost at which a mix on the hull has ``quality``; None where none has."""
    if not hull or quality > hull[-1].quality + 1e-12:
        return None
    return float(np.interp(quality, [point.quality for point in hull], [point.cost_usd for point in hull]))


def aiq(points: Sequence[Point], *, least_usd: float, most_usd: float) -> float:
    """Return RouterBench's average improvement in quality: the mean of the hull over a range of costs.

    Below the cheapest point the hull is taken as flat at that point's quality only where the range begins there;
    otherwise nothing is bought, and the quality is 0.

    Raises:
        InputError: the range is empty.
    """
    if not least_usd < most_usd:
        raise InputError(f"costs from {least_usd} to {most_usd} are no range; allowed: the first below the second")
    hull = hull_of(points)
    inside = [point.cost_usd for point in hull if least_usd < point.cost_usd < most_usd]
    marks = np.array([least_usd, *inside, most_usd])
    area = 0.0
    for low, high in pairwise(marks):
        middle = quality_at(hull, (low + high) / 2)  # the hull is straight between marks
        area += float(high - low) * middle
    return area / (most_usd - least_usd)


def strong_share(gain: Floats, weak: Floats, strong: Floats, *, share: float, within: bool = False) -> float | None:
    """Return the share of prompts the strong engine must answer, asked in the order of ``gain``.

    ``share`` is of the strong engine's mean quality, or with ``within`` of the gap between the two (RouteLLM's CPT).
    ``gain``, ``weak`` and ``strong`` are (n,): the predicted gain, and each engine's quality. None where no share of
    strong calls is enough. Equal gains keep the record's order.
    """
    order = np.argsort(-gain, kind="stable")
    total = np.concatenate([[0.0], np.cumsum((strong - weak)[order])]) + float(np.sum(weak))
    floor = float(np.sum(weak)) if within else 0.0
    needed = floor + share * (float(np.sum(strong)) - floor)
    enough = total >= needed - 1e-9
    return float(np.argmax(enough)) / len(gain) if enough.any() else None


def random_share(weak: Floats, strong: Floats, *, share: float) -> float:
    """Return the share of strong calls that a coin needs for ``share`` of the strong engine's mean quality."""
    low, high = float(np.mean(weak)), float(np.mean(strong))
    return 0.0 if low >= share * high else (share * high - low) / (high - low)


def _slope(first: Point, second: Point) -> float:
    rise, run = second.quality - first.quality, second.cost_usd - first.cost_usd
    return float("inf") if run == 0 else rise / run
