"""The frame that every drawn picture shares: axes, grid, labels, a caption in words.

Pictures are SVG in a ``<figure>``; they are drawn for a phone (360 units wide) and grow to their column. Colours are
the style sheet's variables, so that light and dark are one file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cput.report.axis import Scale, tick_words
from cput.report.markup import decimals, tag

LEFT, RIGHT, TOP, BOTTOM = 40.0, 12.0, 24.0, 36.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The plotting area and its two scales."""

    x: Scale
    """Left to right."""
    y: Scale
    """Bottom to top."""
    width: float
    """Of the whole picture, in units of about one CSS pixel."""
    height: float
    """Of the whole picture."""

    def draw(self, x_title: str, y_title: str, y_ticks: Sequence[tuple[float, str]], *marks: Markup | None) -> Markup:
        """Return the SVG: grid and axes with their titles (units included), then ``marks`` in order."""
        return tag(
            "svg",
            *self._vertical(x_title),
            *self._horizontal(y_title, y_ticks),
            *marks,
            viewBox=f"0 0 {decimals(self.width)} {decimals(self.height)}",
            role="img",
            aria_label=f"{y_title} against {x_title}; the figures stand in the table",
        )

    def _vertical(self, title: str) -> list[Markup]:
        ticks = self.x.ticks(max(2, int((self.x.end - self.x.start) / 52)))
        base = self.y.start
        lines = [segment((self.x.at(tick), base), (self.x.at(tick), base + 4), "axis") for tick in ticks]
        words = [
            label(self.x.at(tick), base + 15, text, "tick", "middle")
            for tick, text in zip(ticks, tick_words(ticks), strict=True)
        ]
        middle = (self.x.start + self.x.end) / 2
        return [*lines, *words, label(middle, base + 30, title, "title", "middle")]

    def _horizontal(self, title: str, ticks: Sequence[tuple[float, str]]) -> list[Markup]:
        left, right = self.x.start, self.x.end
        grid = [segment((left, self.y.at(tick)), (right, self.y.at(tick)), "grid") for tick, _ in ticks]
        words = [label(left - 5, self.y.at(tick) + 4, text, "tick", "end") for tick, text in ticks]
        base = segment((left, self.y.start), (right, self.y.start), "axis")
        return [*grid, base, *words, label(2, 11, title, "title")]


def frame(x: tuple[float, float], width: float, height: float) -> tuple[float, float, float, float]:
    """Return the coordinates left, right, bottom, top of the plotting area; ``x`` adds to the left and right margin."""
    return LEFT + x[0], width - RIGHT - x[1], height - BOTTOM, TOP


def segment(start: tuple[float, float], end: tuple[float, float], class_: str) -> Markup:
    """Return a straight line."""
    return tag("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def label(x: float, y: float, text: str, class_: str = "tick", anchor: str = "start") -> Markup:
    """Return a text with its base line at (x, y)."""
    return tag("text", text, x=x, y=y, class_=class_, text_anchor=anchor)


def path(points: Sequence[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    """Return a polyline, or an area where ``closed``."""
    drawn = "M" + "L".join(f"{decimals(x)} {decimals(y)}" for x, y in points) + ("Z" if closed else "")
    return tag("path", d=drawn, class_=class_)


def figure(title: str, *content: Markup, caption: str | Markup, class_: str | None = None) -> Markup:
    """Return a titled figure; the caption says in words what the picture shows."""
    return tag("figure", tag("h3", title), *content, tag("figcaption", caption), class_=class_)


def swatch(class_: str, words: str) -> Markup:
    """Return a legend entry: a stroke as it is drawn, and its name."""
    stroke = tag("svg", segment((0, 5), (22, 5), class_), viewBox="0 0 22 10", class_="swatch", aria_hidden="true")
    return tag("span", stroke, f" {words}", class_="key")
