"""The search's picture: cost per useful token against useful rate, every candidate with both intervals.

Candidates are numbered as in their table. Baseline and winner are drawn from their whole measurements. The stepped line
is the front: no drawn point is both cheaper and more often useful than one on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cput.ledger.interval import Interval
from cput.measure.optimization import Optimization
from cput.report import axis, words
from cput.report.chart import BOTTOM, LEFT, RIGHT, TOP, Frame, figure, label, path, segment
from cput.report.labels import Box, place
from cput.report.markup import join, tag

_SIZES = ((360.0, 300.0, "narrow"), (820.0, 380.0, "wide"))
_FAR = 3.0  # an interval beyond this many times the dearest point ends in an arrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate, ready to be drawn."""

    name: str
    """Its number, or ``baseline`` and ``winner``."""
    title: str
    """Its settings and status in words."""
    class_: str
    """baseline, winner, kept or dropped."""
    x: Interval
    """Cost per million useful tokens; its value is a positive number."""
    y: Interval
    """Useful rate; its value is a number."""


def pareto_figure(result: Optimization) -> Markup:
    """Draw the search twice, for wide and for narrow pages; the page shows the one that fits."""
    points, undrawn = _points(result)
    unit = words.per_million_unit(result.baseline.cput_unit)
    title = "The search: cost against usefulness"
    told = f" Not drawn, as cost or useful rate is unknown or unbounded: {words.listing(undrawn)}." if undrawn else ""
    if not points:
        return figure(title, caption=f"Nothing to draw.{told}", class_="empty")
    pictures = [_picture(points, result.floor, unit, size) for size in _SIZES]
    caption = (
        "Bars: 95 % intervals; an arrow goes on beyond the picture. Numbers: rows of the table below. Filled: kept; "
        "hollow: dropped. Stepped line: nothing drawn is both cheaper and more often useful. Baseline and winner stand "
        f"as measured on the whole workload, candidates as far as they were tried.{told}"
    )
    return figure(title, *pictures, caption=caption, class_="pareto")


def _points(result: Optimization) -> tuple[list[Point], list[str]]:
    named = [("baseline", result.baseline, result.baseline.engine), ("winner", result.winner, result.winner_name)]
    found = [
        Point(name=name, title=title, class_=name, x=words.per_million(m.cput), y=m.useful_rate)
        for name, m, title in named
    ]
    for index, candidate in enumerate(result.candidates, 1):
        if candidate.status != "winner":
            title = f"{candidate.name}: {candidate.status}, {candidate.reason}"
            cost = words.per_million(candidate.cput)
            found.append(Point(name=str(index), title=title, class_=candidate.status, x=cost, y=candidate.useful_rate))
    drawn = [
        point for point in found if (words.finite(point.x.value) or 0) > 0 and words.finite(point.y.value) is not None
    ]
    return drawn, [point.name for point in found if point not in drawn]


def _picture(points: Sequence[Point], floor: float | None, unit: str, size: tuple[float, float, str]) -> Markup:
    width, height, class_ = size
    area = Box(LEFT + 6, TOP, width - RIGHT - 6, height - BOTTOM)
    dearest = max(point.x.value or 0.0 for point in points)
    cheapest = min(point.x.value or dearest for point in points)
    costs = [value for point in points for value in point.x if value and cheapest / _FAR <= value <= dearest * _FAR]
    rates = [value for point in points for value in (*point.y, floor) if value is not None]
    low, high = max(0.0, min(rates) - 0.03), min(1.0, max(rates) + 0.03)
    x = axis.around(costs, area.left, area.right)
    y = axis.Scale(low, max(high, low + 0.05), area.bottom, area.top)
    frame = Frame(x=x, y=y, width=width, height=height)
    marks: list[Markup | None] = [_floor(frame, floor), _front(frame, points)]
    marks += [_whiskers(frame, point) for point in points] + [_mark(frame, point) for point in points]
    marks.append(_names(frame, points, area))
    ticks = [(tick, f"{tick * 100:g}") for tick in y.ticks(5)]
    return tag(
        "div", frame.draw(f"cost per useful token, {unit} (log)", "useful rate, %", ticks, *marks), class_=class_
    )


def _floor(frame: Frame, floor: float | None) -> Markup | None:
    if floor is None:
        return None
    y = frame.y.at(floor)
    line = segment((frame.x.start, y), (frame.x.end, y), "limit")
    return join([line, label(frame.x.end, y - 4, f"floor {words.share(floor)} %", "limit", "end")])


def _front(frame: Frame, points: Sequence[Point]) -> Markup | None:
    """Return the steps through the points that no other beats on both, from the cheapest up."""
    best: list[tuple[float, float]] = []
    for cost, rate in sorted(
        ((p.x.value or 0.0, p.y.value or 0.0) for p in points), key=lambda pair: (pair[0], -pair[1])
    ):
        if not best or rate > best[-1][1]:
            best.append((cost, rate))
    steps = [(frame.x.at(best[0][0]), frame.y.start)]
    for cost, rate in best:
        steps += [(frame.x.at(cost), steps[-1][1]), (frame.x.at(cost), frame.y.at(rate))]
    return path([*steps, (frame.x.end, steps[-1][1])], "front")


def _whiskers(frame: Frame, point: Point) -> Markup:
    x, y = frame.x.at(point.x.value or 0.0), frame.y.at(point.y.value or 0.0)
    parts = []
    if point.x.low is not None and point.x.high is not None:
        left, right = frame.x.at(point.x.low), frame.x.at(point.x.high)
        parts.append(segment((left, y), (right, y), f"whisker {point.class_}"))
        if point.x.high > frame.x.high:
            parts.append(path([(right - 5, y - 4), (right, y), (right - 5, y + 4)], f"whisker {point.class_}"))
        if point.x.low < frame.x.low:
            parts.append(path([(left + 5, y - 4), (left, y), (left + 5, y + 4)], f"whisker {point.class_}"))
    if point.y.low is not None and point.y.high is not None:
        ends = (x, frame.y.at(point.y.low)), (x, frame.y.at(point.y.high))
        parts.append(segment(*ends, f"whisker {point.class_}"))
    return join(parts)


def _mark(frame: Frame, point: Point) -> Markup:
    x, y = frame.x.at(point.x.value or 0.0), frame.y.at(point.y.value or 0.0)
    title = tag("title", point.title)
    if point.class_ == "baseline":
        return tag("rect", title, x=x - 5, y=y - 5, width=10, height=10, class_="point baseline")
    if point.class_ == "winner":
        corners = f"{x:.1f},{y - 7:.1f} {x + 7:.1f},{y:.1f} {x:.1f},{y + 7:.1f} {x - 7:.1f},{y:.1f}"
        return tag("polygon", title, points=corners, class_="point winner")
    return tag("circle", title, cx=x, cy=y, r=4, class_=f"point {point.class_}")


def _names(frame: Frame, points: Sequence[Point], area: Box) -> Markup:
    spots = [(frame.x.at(p.x.value or 0.0), frame.y.at(p.y.value or 0.0), p.name) for p in points]
    places = place(spots, area)
    return join(
        label(spot.x, spot.y, point.name, f"name {point.class_}") for spot, point in zip(places, points, strict=True)
    )
