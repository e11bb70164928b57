"""The card of one measurement: about 30 lines for a terminal, at most 80 columns, the same figures as the JSON."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from cput.measure.result import Measurement
from cput.report import sections, words
from cput.report.markup import clean

WIDTH = 80


def card(measurement: Measurement) -> RenderableType:
    """Return the card: what ran, latency, usefulness and cost, the waterfall, the notes."""
    m = measurement
    return bounded(
        Rule(Text(clean(f"cput · {words.clip(m.workload, 60)}"), style="bold"), align="left", characters="─"),
        pairs(sections.summary(m), strong={"CPUT"}),
        Text(),
        latency_grid(m),
        Text(),
        waterfall_grid([("", m)]),
        *notes(m.notes),
    )


def bounded(*parts: RenderableType) -> RenderableType:
    """Hold parts to 80 columns, however wide the terminal is."""
    frame = Table.grid(expand=False)
    frame.add_column(width=WIDTH)
    frame.add_row(Group(*parts))
    return frame


def pairs(rows: list[tuple[str, str]], strong: set[str] = frozenset()) -> Table:  # type: ignore[assignment]
    """Return names and values, long values folded under themselves."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name, style="dim"), Text(clean(value), style="bold" if name in strong else ""))
    return grid


def latency_grid(m: Measurement) -> Table:
    """Return p50, p95, p99, mean and the SLO of each metric, its unit in its name."""
    grid = figures("latency", "p50", "p95", "p99", "mean", "SLO")
    for metric in words.METRICS:
        values = (words.latency(value, metric) for value in words.median_first(getattr(m, metric.name)))
        grid.add_row(f"{metric.label}, {metric.unit}", *values, sections.slo(m, metric))
    return grid


def waterfall_grid(named: list[tuple[str, Measurement]]) -> Table:
    """Return the levels of each measurement with what a million of their tokens cost."""
    unit = named[0][1].cput_unit
    grid = figures("waterfall", "calls", "output tokens", words.per_million_unit(unit))
    for name, m in named:
        for level in m.waterfall:
            cost = words.level_words(level, m.cput_unit)
            shown = cost if m.cput_unit == unit else f"{cost} {words.per_million_unit(m.cput_unit)}"
            title = f"{name}: {level.label}" if name else level.label
            grid.add_row(Text(clean(title)), words.count(level.calls), words.count(level.output_tokens), shown)
    return grid


def figures(*heads: str) -> Table:
    """Return an empty table: a column of words, then columns of figures set to the right."""
    grid = Table.grid(padding=(0, 2))
    for index, _ in enumerate(heads):
        grid.add_column(justify="left" if index == 0 else "right", overflow="fold")
    grid.add_row(*(Text(head, style="dim") for head in heads))
    return grid


def notes(sentences: tuple[str, ...]) -> list[RenderableType]:
    """Return the notes as a list under an empty line."""
    if not sentences:
        return []
    return [Text(), *(Padding(Text(clean(f"• {sentence}"), overflow="fold"), (0, 0)) for sentence in sentences)]
