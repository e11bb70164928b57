"""The card of a search: baseline beside winner, the ratio with its interval, the candidates."""

from rich.console import RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from cput.measure.optimization import Optimization
from cput.measure.result import Measurement
from cput.report import words
from cput.report.card import bounded, figures, notes, pairs, waterfall_grid
from cput.report.comparison import headline, inverse, quality, sentences
from cput.report.markup import clean

_MOST_CANDIDATES = 12  # the rest stand in the HTML and the JSON
_STYLES = {"winner": "green", "kept": "", "dropped": "dim"}


def comparison_card(result: Optimization) -> RenderableType:
    """Return the card, at most 80 columns wide."""
    r = result
    verdict = [
        ("ratio", f"{words.interval(r.ratio)} winner / baseline CPUT, same useful tokens"),
        ("cheaper", f"{words.interval(inverse(r.ratio))} times"),
        ("useful rate", f"{words.points(r.useful_rate_difference)} percentage points; {quality(r)}"),
        ("", r.confidence_note),
        ("winner", r.winner_name),
        ("baseline", f"{r.baseline.engine}, {r.baseline.load}"),
        *([("sure answers", r.threshold_note)] if r.threshold_note else []),
        ("policy", r.policy_path or "none written"),
        ("search", f"{words.quantity(r.search_s, 's')}, {len(r.candidates)} candidates"),
    ]
    return bounded(
        Rule(Text(clean(f"cput · {words.clip(r.workload, 60)}"), style="bold"), align="left", characters="─"),
        Text(clean(headline(r)), style="bold"),
        pairs(verdict, strong={"ratio"}),
        Text(),
        _beside(r.baseline, r.winner),
        Text(),
        waterfall_grid([("baseline", r.baseline), ("winner", r.winner)]),
        Text(),
        *_candidates(r),
        *_besides(r),
        *notes(sentences(r)),
    )


def _beside(before: Measurement, after: Measurement) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", ratio=1)
    grid.add_column(overflow="fold", ratio=1)
    grid.add_row(*(Text(head, style="dim") for head in ("", "baseline", "winner")))
    for (name, one), (_, two) in zip(_figures(before), _figures(after), strict=True):
        grid.add_row(Text(name, style="dim"), Text(clean(one)), Text(clean(two)))
    return grid


def _figures(m: Measurement) -> list[tuple[str, str]]:
    unit = m.cput_unit
    return [
        (f"CPUT, {words.per_million_unit(unit)}", words.cost_interval(words.per_million(m.cput), unit)),
        ("per useful answer", words.cost_interval(m.cost_per_useful_answer, unit)),
        ("useful rate", words.rate(m.useful_rate)),
        ("coverage", f"{words.percent(m.coverage)} of {words.count(m.calls)} calls"),
        ("goodput", words.percent(m.goodput_share) if m.slo else "no SLO stated"),
        ("speed", words.quantity(m.tokens_per_s, "tokens/s")),
        ("TTFT p50 / p95", _two(m, 0)),
        ("E2E p50 / p95", _two(m, 3)),
    ]


def _two(m: Measurement, index: int) -> str:
    metric = words.METRICS[index]
    found = getattr(m, metric.name)
    return f"{words.latency(found.p50, metric)} / {words.latency(found.p95, metric)} {metric.unit}"


def _besides(r: Optimization) -> list[RenderableType]:
    if not r.beside:
        return []
    grid = figures("without a policy", "useful, %", f"cost of a call, {r.baseline.cput_unit}")
    for each in r.beside:
        grid.add_row(
            Text(clean(words.clip(f"{each.name}: {each.words}", 160))),
            words.share(each.useful_rate),
            words.quantity(each.cost_per_call),
        )
    return [Text(), grid]


def _candidates(r: Optimization) -> list[RenderableType]:
    grid = figures("candidate", "calls", "useful, %", words.per_million_unit(r.baseline.cput_unit), "status")
    for candidate in r.candidates[:_MOST_CANDIDATES]:
        style = _STYLES[candidate.status]
        cost = words.cost_point(words.per_million(candidate.cput), candidate.cput_unit)
        grid.add_row(
            Text(clean(words.clip(candidate.name, 80)), style=style),
            words.count(candidate.calls),
            words.share(candidate.useful_rate.value),
            cost,
            Text(f"{candidate.status}, on the front" if candidate.front else candidate.status, style=style),
        )
    left = len(r.candidates) - _MOST_CANDIDATES
    return [grid, *([Text(f"and {left} more in the report", style="dim")] if left > 0 else [])]
