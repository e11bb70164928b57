"""The card of a question about cost: the whole, then each group's usefulness, money and work; and the same as CSV."""

import csv
import io
from collections.abc import Callable, Sequence

from rich.console import RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from cput.ledger.query import Costs, Group
from cput.ledger.query.reserved import left_over
from cput.report import words
from cput.report.card import bounded, figures, notes, pairs
from cput.report.markup import clean
from cput.units import UNKNOWN, from_nano_usd, number, percent, usd

MOST_GROUPS = 40
_MOST_KEY = 40
_BASES = {
    "reservation": "reservation: idle time of reserved devices is shared out to the calls, by device seconds",
    "usage": "usage: what the attempts used; idle time of reserved devices is shown and not charged",
}
Columns = Sequence[tuple[str, Callable[[Group], str]]]

_USEFULNESS: Columns = (
    ("calls", lambda group: words.count(group.calls)),
    ("judged, %", lambda group: words.share(group.coverage)),
    ("useful, %", lambda group: words.share(group.useful_rate.value)),
    ("$ / M useful tokens [95 %]", lambda group: words.cost_interval(words.per_million(group.cput), "USD")),
)
_MONEY: Columns = (
    ("incremental", lambda group: _usd(group.sums.incremental_nano_usd)),
    ("avoided", lambda group: _usd(group.sums.avoided_nano_usd)),
    ("idle", lambda group: _usd(group.sums.idle_nano_usd)),
    ("unpriced calls", lambda group: words.count(group.unpriced)),
    ("per useful answer", lambda group: words.cost_point(group.cost_per_useful_answer, "USD")),
)
_WORK: Columns = (
    ("attempts", lambda group: words.count(group.sums.attempts)),
    ("input tokens", lambda group: words.count(group.sums.input_tokens)),
    ("output tokens", lambda group: words.count(group.sums.output_tokens)),
    ("useful tokens", lambda group: words.count(group.sums.useful_tokens)),
)


def cost_card(costs: Costs) -> RenderableType:
    """Return the card, at most 80 columns wide."""
    shown = dearest(costs.groups)
    parts: list[RenderableType] = []
    if costs.question.keys and costs.groups:
        name = ", ".join(costs.question.keys)
        for columns in (_USEFULNESS, _MONEY, _WORK):
            parts += [Text(), _grid(name, columns, shown, costs.total)]
    return bounded(
        Rule(Text("cput · cost", style="bold"), align="left", characters="─"),
        pairs(_whole(costs), strong={"CPUT"}),
        *parts,
        *notes(_sentences(costs, len(costs.groups) - len(shown))),
    )


def cost_csv(costs: Costs) -> str:
    """Return one line per group and a last one for the total; money in exact dollars, unknown is empty."""
    keys = costs.question.keys
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["row", *keys, *_FIELDS])
    for row, group in (*(("group", group) for group in costs.groups), ("total", costs.total)):
        writer.writerow([row, *(group.key.get(key) for key in keys), *(field(group) for field in _FIELDS.values())])
    return file.getvalue()


def dearest(groups: Sequence[Group]) -> list[Group]:
    """Return as many groups as a card has room for, those that cost most, in their order."""
    if len(groups) <= MOST_GROUPS:
        return list(groups)
    by_cost = sorted(range(len(groups)), key=lambda at: -groups[at].sums.cost_nano_usd)
    return [groups[at] for at in sorted(by_cost[:MOST_GROUPS])]


def _whole(costs: Costs) -> list[tuple[str, str]]:
    question, total, sums = costs.question, costs.total, costs.total.sums
    return [
        ("basis", _BASES[question.basis]),
        ("useful from", f"{number(question.threshold)} up"),
        ("calls", f"{words.count(total.calls)} in {words.count(sums.attempts)} attempts"),
        ("coverage", f"{percent(total.coverage)} of calls are judged"),
        ("useful rate", f"{words.rate(total.useful_rate)} of judged calls"),
        ("CPUT", words.cput(total.cput, "USD")),
        ("per useful answer", words.cost_interval(total.cost_per_useful_answer, "USD")),
        ("incremental", f"{_usd(sums.incremental_nano_usd)}; unpriced calls: {words.count(total.unpriced)}"),
        ("idle", _usd(sums.idle_nano_usd)),
        ("avoided", f"{_usd(sums.avoided_nano_usd)} by caches and students"),
        ("input tokens", _tokens(sums.input_tokens, sums.input_uncounted)),
        ("output tokens", _tokens(sums.output_tokens, sums.output_uncounted)),
        ("useful tokens", words.count(sums.useful_tokens)),
    ]


def _grid(name: str, columns: Columns, groups: Sequence[Group], total: Group) -> Table:
    grid = figures(name, *(head for head, _ in columns))
    for group in groups:
        label = " · ".join(value if value is not None else UNKNOWN for value in group.key.values())
        grid.add_row(Text(clean(words.clip(label, _MOST_KEY))), *(show(group) for _, show in columns))
    grid.add_row(Text("all", style="bold"), *(show(total) for _, show in columns))
    return grid


def _sentences(costs: Costs, hidden: int) -> tuple[str, ...]:
    left, said = left_over(costs.left), []
    if hidden:
        said.append(f"The {MOST_GROUPS} dearest groups are shown; {hidden:,} more are in --json and --csv.")
    if costs.total.unpriced:
        said.append("A call is unpriced whose charge is missing or unknown; with one, a cost per token is unknown.")
    if costs.left:
        amount = UNKNOWN if left is None else _usd(left)
        said.append(f"Windows in which no call began cost {amount} more; no group has a part of it.")
    if costs.uncharged_windows:
        said.append(
            f"{costs.uncharged_windows:,} reserved windows are not charged: still open, cut off, or without a rate."
        )
    return tuple(said)


def _tokens(counted: int, uncounted: int) -> str:
    return words.count(counted) + (
        f" and those of {words.count(uncounted)} attempts that nobody counted" if uncounted else ""
    )


def _usd(nano_usd: int) -> str:
    return usd(from_nano_usd(nano_usd))


def _exact(nano_usd: int) -> str:
    return format(from_nano_usd(nano_usd), "f")


_FIELDS: dict[str, Callable[[Group], object]] = {
    "calls": lambda group: group.calls,
    "attempts": lambda group: group.sums.attempts,
    "input_tokens": lambda group: group.sums.input_tokens,
    "attempts_without_input_count": lambda group: group.sums.input_uncounted,
    "output_tokens": lambda group: group.sums.output_tokens,
    "attempts_without_output_count": lambda group: group.sums.output_uncounted,
    "useful_tokens": lambda group: group.sums.useful_tokens,
    "incremental_usd": lambda group: _exact(group.sums.incremental_nano_usd),
    "avoided_usd": lambda group: _exact(group.sums.avoided_nano_usd),
    "idle_usd": lambda group: _exact(group.sums.idle_nano_usd),
    "cost_usd": lambda group: None if group.unpriced else _exact(group.sums.cost_nano_usd),
    "unpriced_calls": lambda group: group.unpriced,
    "judged_calls": lambda group: group.sums.moments.judged,
    "useful_calls": lambda group: group.sums.moments.useful,
    "coverage": lambda group: group.coverage,
    "useful_rate": lambda group: group.useful_rate.value,
    "useful_rate_low": lambda group: group.useful_rate.low,
    "useful_rate_high": lambda group: group.useful_rate.high,
    "cput_usd": lambda group: group.cput.value,
    "cput_usd_low": lambda group: group.cput.low,
    "cput_usd_high": lambda group: group.cput.high,
    "cost_per_useful_answer_usd": lambda group: group.cost_per_useful_answer.value,
    "cost_per_useful_answer_usd_low": lambda group: group.cost_per_useful_answer.low,
    "cost_per_useful_answer_usd_high": lambda group: group.cost_per_useful_answer.high,
}
