"""The HTML report of a search: baseline beside winner, and everything that was tried between them."""

from markupsafe import Markup

from cput.ledger.interval import Interval
from cput.measure.optimization import Candidate, Optimization
from cput.measure.result import Measurement
from cput.report import page, sections, words
from cput.report.calls import changed
from cput.report.certificate import certificate_facts
from cput.report.html import cput_tile, rate_tile
from cput.report.markup import Child, join, tag
from cput.report.pareto import pareto_figure
from cput.report.slices import slices
from cput.report.table import Column, badge, facts, table, text
from cput.report.waterfall import caption, reach, waterfall
from cput.units import UNKNOWN

_MOST_NAME, _MOST_REASON = 160, 400
_SAME_TOKENS = (
    "The ratio charges both against the same useful tokens (each item's reference length), so it need not equal "
    "the quotient of the two CPUTs, which count each one's own tokens."
)


def comparison_html(result: Optimization) -> str:
    """Return one self-contained HTML file (dark and light, no network) that shows the whole search."""
    r = result
    both = (("baseline", r.baseline), ("winner", r.winner))
    return page.document(
        f"cput: {r.workload}, optimized",
        tag("div", "cput optimize", class_="over"),
        tag("h1", headline(r)),
        tag("p", f"Winner: {r.winner_name}. Baseline: {r.baseline.engine}, {r.baseline.load}."),
        _tiles(r),
        page.notes(*sentences(r)),
        page.section("Baseline and winner", _side_by_side(r)),
        page.section("All candidates", pareto_figure(r), _candidates(r)),
        page.section("Beside it", _beside(r)) if r.beside else None,
        page.section("Certificate", certificate_facts(r.certificate, r.confidence_note, r.threshold_note)),
        page.section("What a million tokens cost", _waterfalls(both)),
        page.section("Latency", sections.latency(both)),
        page.section("Useful by slice", page.columns(*(_part(name, slices(m)) for name, m in both), class_="grid two")),
        page.section("Verdicts that changed", changed(r.baseline, r.winner)),
        page.section("Environment", sections.environment(r.environment) if r.environment else tag("p", UNKNOWN)),
        page.footer("Intervals are 95 %.", "Unknown is never 0."),
    )


def headline(result: Optimization) -> str:
    """Say in one sentence what the search found."""
    ratio = words.finite(result.ratio.value)
    if ratio is None or ratio <= 0:
        return f"{result.workload}: the ratio of costs is {'unknown' if ratio is None else '0'}"
    if ratio >= 1:
        return f"A useful token of {result.workload} became no cheaper: {words.quantity(ratio)} times the baseline"
    return f"A useful token of {result.workload} costs 1/{words.quantity(1 / ratio)} of the baseline"


def quality(result: Optimization) -> str:
    """Say whether quality was kept, in the words of the test."""
    return "proven not lower" if result.not_lower else "not proven: it may be lower"


def sentences(result: Optimization) -> tuple[str, ...]:
    """Return what a reader must know, each once: the notes of the search, then those of both measurements."""
    found = [_SAME_TOKENS]
    if any(candidate.replayed for candidate in result.candidates):
        found.append("What asks several engines in turn was put together from their answers on record, then confirmed.")
    if not result.not_lower:
        found.append("That the winner is not less useful is not proven: more calls, or a margin, would decide it.")
    if result.baseline.cput_unit != result.winner.cput_unit:
        found.append("Baseline and winner are in different units; their costs must not be compared.")
    before, after = result.baseline.notes, result.winner.notes
    found += [note for note in before if note in after]
    found += [f"Baseline: {note}" for note in before if note not in after]
    found += [f"Winner: {note}" for note in after if note not in before]
    return tuple(found)


def candidate_status(candidate: Candidate) -> Markup:
    """Return a status as its word in its colour."""
    return badge(candidate.status, candidate.status)


def _tiles(r: Optimization) -> Markup:
    ratio, _, bounds = words.interval(r.ratio).partition(" [")
    cheaper = words.interval(inverse(r.ratio))
    points, _, reach_points = words.points(r.useful_rate_difference).partition(" [")
    return page.tiles(
        page.tile(
            "winner / baseline, CPUT",
            ratio,
            f"[{bounds}" if bounds else None,
            f"{cheaper} times cheaper" if bounds else None,
            "against the same useful tokens",
            class_="main",
        ),
        page.tile(
            "useful rate, winner − baseline",
            f"{points} pp" if reach_points else points,
            f"[{reach_points} percentage points" if reach_points else None,
            badge(quality(r), "yes" if r.not_lower else "no"),
            r.confidence_note,
        ),
        cput_tile("baseline CPUT", r.baseline),
        cput_tile("winner CPUT", r.winner),
        rate_tile("baseline useful rate", r.baseline),
        rate_tile("winner useful rate", r.winner),
    )


def inverse(ratio: Interval) -> Interval:
    """Return 1 / ratio; a bound of 0 becomes infinite, and an infinite one 0."""
    return Interval(*(_one_over(bound) for bound in (ratio.value, ratio.high, ratio.low)))


def _one_over(value: float | None) -> float | None:
    return None if value is None else 1 / value if value else float("inf")


def _side_by_side(r: Optimization) -> Markup:
    rows: list[tuple[Child, ...]] = [
        (name, before, after)
        for (name, before), (_, after) in zip(sections.summary(r.baseline), sections.summary(r.winner), strict=True)
    ]
    heads = (text(""), text("baseline"), text("winner"))
    search = facts(
        [
            ("search", f"{words.quantity(r.search_s, 's')}, {len(r.candidates)} candidates"),
            ("policy file", r.policy_path or "none written"),
            ("runs", f"baseline {r.baseline.run}, winner {r.winner.run}"),
        ]
    )
    return join([table(heads, rows, class_="beside"), search])


def _candidates(r: Optimization) -> Markup:
    columns = (
        Column("#"),
        text("candidate"),
        text("status"),
        Column("round"),
        Column("calls"),
        Column("useful, % [95 %]"),
        Column(f"{words.per_million_unit(r.baseline.cput_unit)} [95 %]"),
        Column("tokens/s"),
        Column("TTFT p50, s"),
        text("front"),
        text("reason"),
    )
    rows = [_candidate_cells(index, candidate, r) for index, candidate in enumerate(r.candidates, 1)]
    return table(columns, rows, sortable=True, class_="candidates")


def _beside(r: Optimization) -> Markup:
    columns = (text("way"), text("who answers"), Column("useful, %"), Column(f"cost of a call, {r.baseline.cput_unit}"))
    rows = [
        (
            each.name,
            words.clip(each.words, _MOST_REASON),
            words.share(each.useful_rate),
            words.quantity(each.cost_per_call),
        )
        for each in r.beside
    ]
    told = tag(
        "p",
        "Without a policy, by the answers on record to the search's items: what is chosen is chosen on one half, and "
        "these figures are of the other. The oracle knows beforehand who will be right; nobody can be better.",
    )
    return join([told, table(columns, rows)])


def _candidate_cells(index: int, c: Candidate, r: Optimization) -> tuple[Child, ...]:
    cost = words.cost_interval(words.per_million(c.cput), c.cput_unit)
    other = "" if c.cput_unit == r.baseline.cput_unit else f" {words.per_million_unit(c.cput_unit)}"
    return (
        str(index),
        words.clip(c.name, _MOST_NAME),
        candidate_status(c),
        str(c.rung),
        words.count(c.calls),
        words.bare_rate(c.useful_rate),
        f"{cost}{other}",
        words.quantity(c.tokens_per_s),
        words.quantity(c.ttft_p50_s),
        "on it" if c.front else "",
        words.clip(c.reason, _MOST_REASON),
    )


def _waterfalls(both: tuple[tuple[str, Measurement], ...]) -> Markup:
    high = reach([measurement for _, measurement in both])
    parts = (_part(name, tag("figure", waterfall(m, high), tag("figcaption", caption(m)))) for name, m in both)
    return page.columns(*parts, class_="grid two")


def _part(name: str, content: Markup) -> Markup:
    return tag("div", tag("h3", name), content)
