"""Parts of a report that show one or more measurements: headline figures, latency, environment."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from cput.measure.result import Measurement
from cput.report import energy, words
from cput.report.ecdf import Curve, latency_figure
from cput.report.markup import join
from cput.report.page import columns
from cput.report.table import Column, facts, table, text
from cput.units import UNKNOWN

_MOST_VALUE = 400


def latency(named: Sequence[tuple[str, Measurement]]) -> Markup:
    """Return the table of percentiles and one picture for each metric that calls carry."""
    classes = ("one",) if len(named) == 1 else ("two", "one")
    figures = [
        latency_figure(
            metric,
            [Curve.of(m, metric, name, class_) for (name, m), class_ in zip(named, classes, strict=True)],
            words.finite(named[-1][1].slo.get(f"{metric.name}_s")),
        )
        for metric in words.METRICS
        if metric.name != "itl"  # its gaps are within calls: rows carry no figure of it
    ]
    return join([latency_table(named), columns(*figures)])


def latency_table(named: Sequence[tuple[str, Measurement]]) -> Markup:
    """Return the percentiles of every metric, a row for each metric and measurement."""
    several = len(named) > 1
    heads = (
        text("latency"),
        *((text("of"),) if several else ()),
        Column("p50"),
        Column("p95"),
        Column("p99"),
        Column("mean"),
        Column("SLO"),
    )
    rows = [
        (
            f"{metric.label}, {metric.unit}",
            *((name,) if several else ()),
            *(words.latency(value, metric) for value in words.median_first(getattr(m, metric.name))),
            slo(m, metric),
        )
        for metric in words.METRICS
        for name, m in named
    ]
    return table(heads, rows, class_="latency")


def slo(measurement: Measurement, metric: words.Metric) -> str:
    """Print a metric's limit in the metric's unit; "none" where the workload states none."""
    limit = measurement.slo.get(f"{metric.name}_s")
    return "none" if limit is None else words.latency(limit, metric)


def summary(measurement: Measurement) -> list[tuple[str, str]]:
    """Return what was run and what it cost, as names and values with units; the order is the reader's."""
    m = measurement
    return [
        ("engine", m.engine),
        ("load", m.load),
        ("calls", f"{words.count(m.calls)}; {words.count(m.failed)} failed; {words.count(m.attempts)} attempts"),
        ("window", f"{words.quantity(m.duration_s, 's')}, of which busy {words.percent(m.busy_share)}"),
        ("tokens", f"{words.count(m.input_tokens)} input, {words.count(m.output_tokens)} output"),
        ("speed", words.quantity(m.tokens_per_s, "tokens/s")),
        ("goodput", goodput(m)),
        ("useful rate", f"{words.rate(m.useful_rate)}; {words.floor_words(m.floor, m.useful_rate)}"),
        ("coverage", f"{words.percent(m.coverage)} of calls have a verdict"),
        ("rate", rate(m)),
        ("cost", words.amount(m.cost_usd, "USD")),
        ("CPUT", words.cput(m.cput, m.cput_unit)),
        ("per useful answer", per_answer(m)),
        *energy.lines(m.energy),
    ]


def goodput(measurement: Measurement) -> str:
    """Print goodput; a workload without an SLO has none."""
    if not measurement.slo:
        return "no SLO stated"
    speed = words.quantity(measurement.goodput_calls_per_s, "calls/s")
    return f"{words.percent(measurement.goodput_share)} of calls within the SLO, {speed}"


def rate(measurement: Measurement) -> str:
    """Print the device's price with its source, or why it is unknown."""
    price = words.finite(measurement.rate_usd_per_h)
    return f"{UNKNOWN if price is None else f'${price:,.6g} / h'} ({measurement.rate_source})"


def per_answer(measurement: Measurement) -> str:
    """Print the cost of one useful answer with its interval."""
    unit = measurement.cput_unit
    figures = words.cost_interval(measurement.cost_per_useful_answer, unit)
    return f"{figures}{'' if unit == 'USD' else ' device-s'}"


def environment(values: Mapping[str, Any]) -> Markup:
    """Return hardware, versions, seed: nested names are joined with a dot."""
    return facts((name, words.clip(value, _MOST_VALUE)) for name, value in flat(values))


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested mappings as dotted names with printed values."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{prefix}{name}.")
        else:
            items = value if isinstance(value, list | tuple) else [value]
            found.append((f"{prefix}{name}", ", ".join(UNKNOWN if item is None else str(item) for item in items)))
    return found
