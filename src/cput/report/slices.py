"""Usefulness by slice: which kinds of calls the answers fail on, with how many calls say so."""

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from cput.measure.result import Measurement, SliceRow
from cput.report import words
from cput.report.markup import Child, join, tag
from cput.report.strip import interval_strip
from cput.report.table import Column, table, text

_MOST_NAME = 80


def slices(measurement: Measurement) -> Markup:
    """Return one table per tag, each sorted from the most to the least useful slice; words where there is no tag."""
    if not measurement.slices:
        return tag("p", "The workload's items carry no tags, so there are no slices.", class_="muted")
    by_tag = groupby(sorted(measurement.slices, key=lambda row: row.tag), key=lambda row: row.tag)
    return join(_tag_table(name, sorted(rows, key=_from_the_top), measurement) for name, rows in by_tag)


def _from_the_top(row: SliceRow) -> tuple[float, int, str]:
    value = words.finite(row.useful_rate.value)
    return (1.0 if value is None else -value, -row.calls, row.value)


def _tag_table(name: str, rows: Sequence[SliceRow], measurement: Measurement) -> Markup:
    unit = measurement.cput_unit
    columns = (
        text(words.clip(name, _MOST_NAME)),
        Column("judged calls"),
        Column("useful, % [95 % interval]"),
        text("0 to 100 %"),
        Column(f"{words.per_million_unit(unit)} [95 %]"),
    )
    cells = [_cells(row, unit, measurement.floor) for row in rows]
    return table(columns, cells, sortable=True, class_="slices")


def _cells(row: SliceRow, unit: str, floor: float | None) -> tuple[Child, ...]:
    return (
        words.clip(row.value, _MOST_NAME),
        words.count(row.calls),
        words.bare_rate(row.useful_rate),
        interval_strip(row.useful_rate, 1.0, floor),
        words.cost_interval(words.per_million(row.cput), unit),
    )
