"""Latency as a distribution: the share of calls that took at most so long, one curve per measurement.

The band is the Dvoretzky-Kiefer-Wolfowitz 95 % band with Massart's constant (Ann. Probab. 18, 1990): the true curve
lies in it everywhere at once, whatever its shape.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cput.measure.result import Measurement, Percentiles
from cput.report import axis, words
from cput.report.chart import Frame, figure, frame, label, path, segment, swatch
from cput.report.markup import join, tag
from cput.report.words import Metric

_WIDTH, _HEIGHT = 360.0, 230.0
_MOST_STEPS = 300
_FAR = 4.0  # an SLO further right than this many times the slowest call is told, not drawn
_Y_TICKS = ((0.0, "0"), (0.25, "25"), (0.5, "50"), (0.75, "75"), (0.95, "95"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One measurement's latencies of one metric, in the metric's printed unit."""

    name: str
    """What the legend calls it; empty where it is alone."""
    class_: str
    """``one`` or ``two``: colour and dash."""
    values: tuple[float, ...]
    """One per call that gave a figure, in ascending order."""
    marks: tuple[tuple[str, float], ...]
    """The percentiles to mark, by name."""

    @classmethod
    def of(cls, measurement: Measurement, metric: Metric, name: str = "", class_: str = "one") -> "Curve":
        """Read a metric's values off the calls and its percentiles off the measurement."""
        seconds = (words.finite(getattr(row, f"{metric.name}_s")) for row in measurement.rows)
        found: Percentiles = getattr(measurement, metric.name)
        marks = (("p50", found.p50), ("p95", found.p95), ("p99", found.p99))
        return cls(
            name=name,
            class_=class_,
            values=tuple(sorted(value * metric.scale for value in seconds if value is not None)),
            marks=tuple((key, value * metric.scale) for key, value in marks if words.finite(value) and value),
        )


def latency_figure(metric: Metric, curves: Sequence[Curve], slo_s: float | None) -> Markup:
    """Draw one metric's curves with their percentiles and the SLO line; words where no call gave a figure."""
    title = f"{metric.label}: {metric.title}"
    drawn = [curve for curve in curves if curve.values]
    if not drawn:
        return figure(title, caption="No call gave a figure, so there is nothing to draw.", class_="empty")
    limit = None if slo_s is None else slo_s * metric.scale
    left, right, base, top = frame((0, 6), _WIDTH, _HEIGHT)
    slowest = max(curve.values[-1] for curve in drawn)
    visible = [limit] if limit is not None and limit <= _FAR * slowest else []
    reach = [value for curve in drawn for value in (*curve.values, *(mark for _, mark in curve.marks))]
    plot = Frame(
        x=axis.spread([*reach, *visible], left, right),
        y=axis.Scale(0.0, 1.0, base, top),
        width=_WIDTH,
        height=_HEIGHT,
    )
    marks = [_band(plot, curve) for curve in drawn] + [_line(plot, curve) for curve in drawn]
    marks += [_limit_line(plot, value, metric) for value in visible]
    marks += [_percentiles(plot, curve, named=len(drawn) == 1) for curve in drawn]
    svg = plot.draw(
        f"{metric.label}, {metric.unit}{' (log)' if plot.x.log else ''}", "share of calls, %", _Y_TICKS, *marks
    )
    return figure(title, svg, caption=_caption(drawn, limit, metric, visible))


def _steps(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return (value, share at or below it) at up to 300 evenly ranked values, the largest included."""
    n = len(values)
    ranks = range(1, n + 1) if n <= _MOST_STEPS else [math.ceil(n * (i + 1) / _MOST_STEPS) for i in range(_MOST_STEPS)]
    return [(values[rank - 1], rank / n) for rank in ranks]


def _stairs(plot: Frame, values: Sequence[float], shift: float = 0.0) -> list[tuple[float, float]]:
    points = [(plot.x.start, plot.y.at(shift))]
    for value, share in _steps(values):
        points += [(plot.x.at(value), points[-1][1]), (plot.x.at(value), plot.y.at(share + shift))]
    return [*points, (plot.x.end, points[-1][1])]


def _band(plot: Frame, curve: Curve) -> Markup:
    reach = math.sqrt(math.log(2 / 0.05) / (2 * len(curve.values)))
    upper, lower = (_stairs(plot, curve.values, shift) for shift in (reach, -reach))
    return path([*upper, *reversed(lower)], f"band {curve.class_}", closed=True)


def _line(plot: Frame, curve: Curve) -> Markup:
    return path(_stairs(plot, curve.values), f"curve {curve.class_}")


def _percentiles(plot: Frame, curve: Curve, *, named: bool) -> Markup:
    """Mark the percentiles on the curve; alone, each drops a line to the axis and has its name beside it."""
    parts = []
    for step, (name, value) in enumerate(curve.marks):
        x, y, foot = plot.x.at(value), plot.y.at(int(name[1:]) / 100), plot.y.start
        if named:
            late = x > plot.x.end - 30
            parts.append(segment((x, y), (x, foot), "drop"))
            parts.append(label(x + (-3 if late else 3), foot - 8 - 13 * step, name, "mark", "end" if late else "start"))
        parts.append(tag("circle", tag("title", f"{curve.name} {name}".strip()), cx=x, cy=y, r=3, class_=curve.class_))
    return join(parts)


def _limit_line(plot: Frame, limit: float, metric: Metric) -> Markup:
    x = plot.x.at(limit)
    late = x > (plot.x.start + plot.x.end) / 2
    text = f"SLO {words.quantity(limit, metric.unit)}"
    return join(
        [
            segment((x, plot.y.start), (x, plot.y.end), "limit"),
            label(x + (-4 if late else 4), (plot.y.start + plot.y.end) / 2, text, "limit", "end" if late else "start"),
        ]
    )


def _caption(curves: Sequence[Curve], limit: float | None, metric: Metric, visible: Sequence[float]) -> Markup:
    parts: list[str | Markup] = []
    for curve in curves:
        if curve.name:
            parts.append(swatch(f"curve {curve.class_}", curve.name))
        figures = ", ".join(f"{name} {words.quantity(value, metric.unit)}" for name, value in curve.marks)
        parts.append(f" {figures or 'percentiles unknown'}; {words.count(len(curve.values))} calls. ")
    if limit is None:
        parts.append("No SLO is stated for it. ")
    elif not visible:
        parts.append(f"The SLO, {words.quantity(limit, metric.unit)}, lies right of the picture. ")
    parts.append("Band: 95 % (DKW).")
    return join(parts)
