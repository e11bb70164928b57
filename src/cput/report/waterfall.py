"""The waterfall: what a million tokens cost, all of them, then only those within the SLO, then only the useful ones."""

from collections.abc import Sequence

from markupsafe import Markup

from cput.measure.result import Level, Measurement
from cput.report import words
from cput.report.markup import Child, join, tag
from cput.report.strip import bar_strip
from cput.report.table import Column, row, text
from cput.units import UNKNOWN

_MOST_WHISKER = 1.6  # an interval reaching further than this many times the longest bar ends in an arrow


def reach(measurements: Sequence[Measurement]) -> float:
    """Return the cost at which the bars of all ``measurements`` end, so that they share one scale."""
    costs = [words.finite(words.level_cost(level, m.cput_unit)) or 0.0 for m in measurements for level in m.waterfall]
    highest = max(costs, default=0.0)
    bounds = [bound for m in measurements if (bound := words.finite(words.per_million(m.cput).high)) is not None]
    return max([highest, *(min(bound, _MOST_WHISKER * highest) for bound in bounds)])


def waterfall(measurement: Measurement, high: float) -> Markup:
    """Draw one measurement's levels as a table whose every second row is a bar that ends at ``high``."""
    unit = measurement.cput_unit
    columns = (
        text("level"),
        Column("calls"),
        Column("output tokens"),
        Column(words.per_million_unit(unit)),
        Column("× generated"),
    )
    body: list[Markup] = []
    for step, level in enumerate(measurement.waterfall):
        body.append(row(_cells(level, measurement.waterfall[0], unit)))
        whisker = words.per_million(measurement.cput) if _is_cput(level, measurement) else None
        strip = bar_strip(words.level_cost(level, unit), high, f"step{min(step, 3)}", whisker)
        if strip is not None:
            body.append(tag("tr", tag("td", strip, colspan=len(columns)), class_="bar"))
    heads = (tag("th", column.label, scope="col") for column in columns)
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", join(body)), class_="waterfall n2 n3 n4 n5")
    return tag("div", whole, class_="scroll")


def _cells(level: Level, first: Level, unit: str) -> tuple[Child, ...]:
    cost, base = (words.finite(words.level_cost(one, unit)) for one in (level, first))
    none_left = "unbounded" if level.output_tokens == 0 and base else UNKNOWN
    factor = words.quantity(cost / base) if cost is not None and base else none_left
    return (
        level.label,
        words.count(level.calls),
        words.count(level.output_tokens),
        words.level_words(level, unit),
        factor,
    )


def _is_cput(level: Level, measurement: Measurement) -> bool:
    """Tell whether this level's cost is the CPUT itself, whose interval may then stand on its bar."""
    value, cost = words.per_million(measurement.cput).value, words.level_cost(level, measurement.cput_unit)
    return level.label == "useful" and value is not None and cost is not None and abs(cost - value) <= 0.01 * abs(value)


def caption(measurement: Measurement) -> str:
    """Say what the bars are and how uncertain the last one is."""
    usd = measurement.cput_unit == "USD"
    cost = "All money of the window" if usd else "No rate is known, so the cost is all reserved device seconds"
    return (
        f"{cost}, idle time and failed calls included, per million of the tokens that are left at each level. "
        f"CPUT, 95 % interval: {words.cput(measurement.cput, measurement.cput_unit)}."
    )
