"""Every call as a table row, and the items whose verdict two measurements disagree on."""

from collections.abc import Iterable, Iterator

from markupsafe import Markup

from cput.measure.result import CallRow, Measurement
from cput.report import words
from cput.report.markup import Child, join, tag
from cput.report.table import Column, badge, row, table, text

_MOST_ITEM, _MOST_ERROR = 80, 200
_MOST_BYTES = 1_000_000  # of a table; the whole file stays below 1.5 MB however many calls there are

_COLUMNS = (
    text("item"),
    text("verdict"),
    text("SLO"),
    Column("TTFT, s"),
    Column("TPOT, ms"),
    Column("E2E, s"),
    Column("output tokens"),
    Column("attempts"),
    text("error"),
)


def calls(measurement: Measurement) -> Markup:
    """Return the table of all calls; where they are too many for one page, it says how many it leaves to the JSON."""
    shown = list(_fitting(_cells(call) for call in measurement.rows))
    left = len(measurement.rows) - len(shown)
    note = (
        f"The first {len(shown):,} of {len(measurement.rows):,} calls are shown; the JSON has all of them."
        if left
        else "Every call. A click on a header sorts by it."
    )
    return join([tag("p", note, class_="muted"), table(_COLUMNS, shown, sortable=True, class_="calls")])


def changed(baseline: Measurement, winner: Measurement) -> Markup:
    """Return the items that one of two measurements answered usefully and the other did not."""
    theirs = {call.item: call for call in winner.rows}
    pairs = [(call, theirs[call.item]) for call in baseline.rows if call.item in theirs]
    differing = [pair for pair in pairs if pair[0].verdict != pair[1].verdict]
    won = sum(after.verdict == "useful" for _, after in differing)
    lost = sum(before.verdict == "useful" for before, _ in differing)
    columns = (
        text("item"),
        text("baseline"),
        text("winner"),
        Column("baseline, output tokens"),
        Column("winner, output tokens"),
    )
    note = (
        f"Of {len(pairs):,} items that both answered, {won:,} are useful only with the winner and {lost:,} only with "
        "the baseline."
    )
    if not differing:
        return tag("p", note, class_="muted")
    rows = list(_fitting(_pair_cells(before, after) for before, after in differing))
    if len(rows) < len(differing):
        note += f" The first {len(rows):,} are shown; the JSON has all of them."
    return join([tag("p", note, class_="muted"), table(columns, rows, sortable=True, class_="calls")])


def _fitting(rows: Iterable[tuple[Child, ...]]) -> Iterator[tuple[Child, ...]]:
    """Yield rows as long as their markup, in bytes, fits the table's share of the page."""
    left = _MOST_BYTES
    for cells in rows:
        left -= len(row(cells).encode())
        if left < 0:
            return
        yield cells


def _cells(call: CallRow) -> tuple[Child, ...]:
    return (
        words.clip(call.item, _MOST_ITEM),
        verdict(call.verdict),
        {None: "", True: "met", False: badge("missed", "useless")}[call.slo_met],
        _seconds(call.ttft_s, 1),
        _seconds(call.tpot_s, 1000),
        _seconds(call.e2e_s, 1),
        words.count(call.output_tokens),
        words.count(call.attempts),
        words.clip(call.error, _MOST_ERROR) if call.error else "",
    )


def _pair_cells(before: CallRow, after: CallRow) -> tuple[Child, ...]:
    return (
        words.clip(before.item, _MOST_ITEM),
        verdict(before.verdict),
        verdict(after.verdict),
        words.count(before.output_tokens),
        words.count(after.output_tokens),
    )


def verdict(word: str) -> Markup:
    """Return a verdict as its word in its colour."""
    return badge(word, word if word in words.VERDICTS else "pending")


def _seconds(value: float | None, scale: float) -> str:
    return words.quantity(None if value is None else value * scale)
