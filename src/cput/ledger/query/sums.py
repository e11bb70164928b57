"""Adds up the columns of the calls that were asked for."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cput.ledger.moments import NO_CALLS, Moments
from cput.ledger.query.answer import Costs, Group, Sums
from cput.ledger.query.choose import Grouping, chosen, grouped, key_of
from cput.ledger.query.columns import UNCOUNTED, Columns, Flags, Ints
from cput.ledger.query.question import FILTERS, Question
from cput.ledger.query.reserved import Idle, Left
from cput.units import NANO

_ROUNDING = 1e-9  # as in ``verdict``: a threshold is reached from below by rounding alone
_NONE = Sums(
    moments=NO_CALLS,
    attempts=0,
    input_tokens=0,
    input_uncounted=0,
    output_tokens=0,
    output_uncounted=0,
    useful_tokens=0,
    incremental_nano_usd=0,
    avoided_nano_usd=0,
    idle_nano_usd=0,
    cost_nano_usd=0,
)


def add_up(columns: Columns, idle: Idle, question: Question, *, uncharged: Sequence[str]) -> Costs:
    """Return the answer; ``uncharged`` names the run of each window without an idle charge.

    Raises:
        InputError: when the question names a workload, model, tag, ... that no call has.
    """
    rows = chosen(columns, question)
    keys = [key_of(columns, key, rows, question.zone) for key in question.keys]
    groups = grouped(keys, len(rows))
    sums = _sums(columns, idle, rows, _read(columns, idle, rows, question), groups)
    found = [
        Group(key={name: key.words[key.codes[first]] for name, key in zip(question.keys, keys, strict=True)}, sums=each)
        for first, each in zip(groups.firsts, sums, strict=True)
    ]
    runs = {columns.run.words[code] for code in np.unique(columns.run.codes[rows])}
    return Costs(
        question=question,
        groups=tuple(sorted(found, key=lambda group: [(value is None, value or "") for value in group.key.values()])),
        total=Group(key={}, sums=sum(sums, _NONE)),
        left=[left for left in idle.left if _asked_for(left, question)],
        uncharged_windows=sum(run in runs for run in uncharged),
    )


class _Read(NamedTuple):
    """What the question reads of each chosen call."""

    priced: Flags
    """Whether its cost is known on the question's basis."""
    nano_usd: Ints
    """That cost, 0 where it is unknown."""
    judged: Flags
    """Whether it has a verdict."""
    useful: Flags
    """Whether the verdict is useful."""
    uncounted: Flags
    """Whether it is useful and nobody counted its tokens."""
    gained: Ints
    """Its useful tokens, 0 where it has none or nobody counted."""


def _read(columns: Columns, idle: Idle, rows: Ints, question: Question) -> _Read:
    measured = np.array([word is None for word in columns.unmeasured.words], np.bool_)[columns.unmeasured.codes[rows]]
    priced, nano_usd = ~columns.unpriced[rows], columns.cost[rows]
    if question.basis == "usage":
        priced &= measured
    else:
        priced &= (measured | idle.covered[rows]) & ~idle.unknown[rows]
        nano_usd = nano_usd + idle.share[rows]
    value, tokens = columns.value[rows], columns.answer_tokens[rows]
    useful = value >= question.threshold - _ROUNDING  # False where NaN: pending
    return _Read(
        priced=priced,
        nano_usd=np.where(priced, nano_usd, 0),
        judged=~np.isnan(value),
        useful=useful,
        uncounted=useful & (tokens == UNCOUNTED),
        gained=np.where(useful & (tokens != UNCOUNTED), tokens, 0),
    )


def _sums(columns: Columns, idle: Idle, rows: Ints, read: _Read, groups: Grouping) -> list[Sums]:
    """Return the sums of each group."""
    whole = {
        "attempts": groups.exact(columns.attempts[rows]),
        "input_tokens": groups.exact(columns.input_tokens[rows]),
        "input_uncounted": groups.exact(columns.input_uncounted[rows]),
        "output_tokens": groups.exact(columns.output_tokens[rows]),
        "output_uncounted": groups.exact(columns.output_uncounted[rows]),
        "useful_tokens": groups.exact(read.gained),
        "incremental_nano_usd": groups.exact(columns.cost[rows]),
        "avoided_nano_usd": groups.exact(columns.avoided[rows]),
        "idle_nano_usd": groups.exact(idle.share[rows]),
        "cost_nano_usd": groups.exact(read.nano_usd),
    }
    moments = _moments(read, groups, whole)
    return [
        Sums(moments=each, **{name: figures[at] for name, figures in whole.items()}) for at, each in enumerate(moments)
    ]


def _moments(read: _Read, groups: Grouping, whole: Mapping[str, list[int]]) -> list[Moments]:
    cost, gained = read.nano_usd / float(NANO), read.gained.astype(np.float64)
    counts = {
        "n": groups.exact(np.ones(len(cost), np.bool_)),
        "judged": groups.exact(read.judged),
        "useful": groups.exact(read.useful),
        "unpriced": groups.exact(~read.priced),
        "uncounted": groups.exact(read.uncounted),
        "useful_tokens": whole["useful_tokens"],
    }
    rough = {
        "cost2": groups.rough(cost**2).tolist(),
        "useful_tokens2": groups.rough(gained**2).tolist(),
        "cross": groups.rough(cost * gained).tolist(),
        "useful_cost": groups.rough(cost * read.useful).tolist(),
    }
    return [
        Moments(
            cost=whole["cost_nano_usd"][at] / float(NANO),
            output_tokens=None if whole["output_uncounted"][at] else whole["output_tokens"][at],
            **{name: figures[at] for name, figures in counts.items()},
            **{name: figures[at] for name, figures in rough.items()},
        )
        for at in range(len(groups.firsts))
    ]


def _asked_for(left: Left, question: Question) -> bool:
    """Return whether idle money without calls falls under the question: it has a run, its workload and a time."""
    if any(getattr(question, name) is not None for name in FILTERS if name not in {"workload", "run"}) or question.tags:
        return False
    at = left.started_s
    return (
        question.workload in {None, left.workload}
        and question.run in {None, left.run}
        and (question.since_s is None or (at is not None and at >= question.since_s))
        and (question.until_s is None or (at is not None and at < question.until_s))
    )
