"""A picture that fits in a table cell: a bar, or a value with its interval, on a scale that the column shares.

It is drawn 100 units wide and stretched to its cell; strokes keep their width.
"""

from collections.abc import Sequence

from markupsafe import Markup

from cput.ledger.interval import Interval
from cput.report.axis import Scale
from cput.report.chart import path, segment
from cput.report.markup import tag
from cput.report.words import finite

_HEIGHT = 12.0


def interval_strip(value: Interval, high: float, floor: float | None = None) -> Markup | None:
    """Draw an interval as a band and its value as a stroke on 0..``high``, with the floor; None where unknown."""
    middle = finite(value.value)
    if middle is None:
        return None
    scale = Scale(0.0, high, 0.5, 99.5)
    parts = [segment((scale.at(0), _HEIGHT / 2), (scale.at(high), _HEIGHT / 2), "grid")]
    if value.low is not None and value.high is not None:
        left, right = scale.at(value.low), scale.at(value.high)
        parts.append(tag("rect", x=left, y=2, width=max(right - left, 0.3), height=_HEIGHT - 4, class_="band one"))
    if floor is not None:
        parts.append(_upright(scale.at(floor), "limit"))
    return _strip([*parts, _upright(scale.at(middle), "curve one")])


def bar_strip(value: float | None, high: float, class_: str, whisker: Interval | None = None) -> Markup | None:
    """Draw a bar from 0 to ``value``, with its interval as a whisker; an arrow where that goes beyond ``high``."""
    length = finite(value)
    if length is None or high <= 0:
        return None
    scale = Scale(0.0, high, 0.0, 99.0)
    parts = [tag("rect", x=0, y=1, width=scale.at(length), height=_HEIGHT - 2, class_=f"bar {class_}")]
    if whisker is not None and whisker.low is not None and whisker.high is not None:
        left, right, middle = scale.at(whisker.low), scale.at(whisker.high), _HEIGHT / 2
        parts.append(segment((left, middle), (right, middle), "whisker"))
        parts.append(segment((left, 3), (left, _HEIGHT - 3), "whisker"))
        if whisker.high > high:
            parts.append(path([(right - 1.5, 2), (right, middle), (right - 1.5, _HEIGHT - 2)], "whisker"))
        else:
            parts.append(segment((right, 3), (right, _HEIGHT - 3), "whisker"))
    return _strip(parts)


def _upright(x: float, class_: str) -> Markup:
    return segment((x, 0), (x, _HEIGHT), class_)


def _strip(parts: Sequence[Markup]) -> Markup:
    box = f"0 0 100 {_HEIGHT:.0f}"
    return tag("svg", *parts, viewBox=box, class_="strip", preserveAspectRatio="none", aria_hidden="true")
