"""One transaction over budgets: settle what is done, then let in what still fits, in order of arrival.

The budgets' rows are locked first, in the order of their ids, so that of several processes one at a time decides about
a budget, and none waits for another in a circle. (SQLite locks the whole database: ``BEGIN IMMEDIATE``.) What was
decided is in the database when the transaction ends. A hold that is not there any more was settled already, so that
settling twice, as after a connection broke at the commit, counts once.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select, text

from cput.ledger import schema
from cput.serve.budgets import Budget, Unpriced, to_budget
from cput.serve.gate import Refused
from cput.serve.subjects import Scope
from cput.units import from_nano_usd, usd

MOST_NANO_USD = 2**62
"""More than any budget; what is larger is counted as this, so that no sum leaves the database's integers."""
BUSY_RETRY_S = 1.0
_ADD = text(
    """
    INSERT INTO budget_spends (budget_id, period, nano_usd, calls, assumed, unknown)
    VALUES (:budget_id, :period, :nano_usd, :calls, :assumed, :unknown)
    ON CONFLICT (budget_id, period) DO UPDATE SET
      nano_usd = budget_spends.nano_usd + excluded.nano_usd, calls = budget_spends.calls + excluded.calls,
      assumed = budget_spends.assumed + excluded.assumed, unknown = budget_spends.unknown + excluded.unknown
    """
)


class Reserve(NamedTuple):
    """A call that wants to be let in."""

    id: str
    """The hold's id."""
    budget_ids: tuple[str, ...]
    """Budgets that it must keep to, all of them."""
    nano_usd: int | None
    """The most it may cost; None is unknown."""
    why_unknown: str | None = None
    """Why, as the beginning of a sentence."""


class Settle(NamedTuple):
    """A call that is done."""

    id: str
    """The hold's id."""
    budget_ids: tuple[str, ...]
    """Budgets that hold something for it."""
    nano_usd: int | None
    """What it cost; None is unknown: what was reserved is counted."""
    counted: bool = True
    """False where the call never began: its reserve is given back, and nothing is counted."""


class Spending:
    """The budgets of some calls, locked until the transaction ends."""

    def __init__(self, connection: Connection, budget_ids: Iterable[str], now_s: float) -> None:
        """Lock these budgets and read how they stand at a moment (Unix seconds)."""
        self._connection = connection
        self._now_s = now_s
        table = schema.budgets
        rows = connection.execute(
            select(table).where(table.c.id.in_(sorted(set(budget_ids)))).order_by(table.c.id).with_for_update()
        )
        self._budgets = {row.id: to_budget(row) for row in rows}
        self._spent: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._held: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._read()

    def settle(self, done: Sequence[Settle]) -> None:
        """Take the holds away and add up what they cost."""
        ids = sorted({one.id for one in done})
        holds = schema.budget_holds
        by_id = {one.id: one for one in done}
        sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for row in self._connection.execute(select(holds).where(holds.c.id.in_(ids))).all():
            place = (row.budget_id, row.period)
            if row.expires_s > self._now_s:
                self._held[place] -= row.nano_usd or 0
            if by_id[row.id].counted:
                actual = by_id[row.id].nano_usd
                amount = row.nano_usd if actual is None else min(actual, MOST_NANO_USD)
                by_reserve = actual is None and amount is not None
                for column, more in enumerate((amount or 0, 1, int(by_reserve), int(amount is None))):
                    sums[place][column] += more
        self._connection.execute(holds.delete().where(holds.c.id.in_(ids)))
        for (budget_id, period), (amount, calls, assumed, unknown) in sums.items():
            self._spent[budget_id, period] += amount
            self._connection.execute(
                _ADD,
                {
                    "budget_id": budget_id,
                    "period": period,
                    "nano_usd": amount,
                    "calls": calls,
                    "assumed": assumed,
                    "unknown": unknown,
                },
            )

    def reserve(self, asked: Reserve, worker: str, expires_s: float) -> Refused | None:
        """Hold what a call may cost in all its budgets, or in none; return why it is refused, or None."""
        budgets = [self._budgets[name] for name in asked.budget_ids if name in self._budgets]  # others are gone
        refusals = [refused for budget in budgets if (refused := self._refusal(budget, asked)) is not None]
        if refusals:
            return max(refusals, key=lambda refused: refused.retry_after_s or 0.0)
        for budget in budgets:
            period = budget.period(self._now_s)
            self._held[budget.id, period] += asked.nano_usd or 0
            self._connection.execute(
                schema.budget_holds.insert().values(
                    id=asked.id,
                    budget_id=budget.id,
                    period=period,
                    nano_usd=asked.nano_usd,
                    worker=worker,
                    expires_s=expires_s,
                )
            )
        return None

    def _read(self) -> None:
        spends, holds = schema.budget_spends.c, schema.budget_holds.c
        ids = list(self._budgets)
        periods = sorted({budget.period(self._now_s) for budget in self._budgets.values()})
        for row in self._connection.execute(
            select(spends.budget_id, spends.period, spends.nano_usd).where(
                spends.budget_id.in_(ids), spends.period.in_(periods)
            )
        ):
            self._spent[row.budget_id, row.period] = row.nano_usd
        for row in self._connection.execute(
            select(holds.budget_id, holds.period, func.coalesce(func.sum(holds.nano_usd), 0).label("held"))
            .where(holds.budget_id.in_(ids), holds.period.in_(periods), holds.expires_s > self._now_s)
            .group_by(holds.budget_id, holds.period)
        ):
            self._held[row.budget_id, row.period] = int(row.held)

    def _refusal(self, budget: Budget, asked: Reserve) -> Refused | None:
        if asked.nano_usd is None and budget.unpriced is Unpriced.REFUSE:
            return _unpriced(budget, asked)
        period = budget.period(self._now_s)
        spent, held = self._spent[budget.id, period], self._held[budget.id, period]
        wanted = 1 if asked.nano_usd is None else asked.nano_usd  # the unknown needs room too, if only for the least
        if spent + held + wanted <= budget.nano_usd:
            return None
        room_later = spent + wanted <= budget.nano_usd
        return _exhausted(budget, period, (spent, held, asked.nano_usd), room_later=room_later, now_s=self._now_s)


def _unpriced(budget: Budget, asked: Reserve) -> Refused:
    why = asked.why_unknown or "no price is known"
    return Refused(
        403,
        "model_unpriced",
        f"nobody can say what this call may cost ({why}), and the budget of this {budget.subject.scope} lets in only "
        "calls with a price; the gateway's owner can add a price (--prices), or set the budget's unpriced to allow",
    )


def _exhausted(
    budget: Budget, period: str, money: tuple[int, int, int | None], *, room_later: bool, now_s: float
) -> Refused:
    """Return OpenAI's refusal for money: 429, ``insufficient_quota``; ``money`` is spent, held and wanted.

    A model's budget is shared by all tenants, so that how it stands is not told to any.
    """
    spent, held, wanted = money
    ends = budget.ends_s(now_s)
    standing = (
        ""
        if budget.subject.scope is Scope.MODEL
        else f" is {_usd(budget.nano_usd)}, of which {_usd(spent)} is spent and {_usd(held)} held for calls under way:"
        " it"
    )
    then = (
        "it may fit once calls under way have finished"
        if room_later
        else f"the next period begins at {datetime.fromtimestamp(ends, UTC):%Y-%m-%dT%H:%MZ}"
    )
    return Refused(
        429,
        "insufficient_quota",
        f"the budget of this {budget.subject.scope} for {period} ({budget.zone}){standing} has no room for this call, "
        f"which may cost up to {_usd(wanted)}; {then}",
        BUSY_RETRY_S if room_later else ends - now_s,
    )


def _usd(nano_usd: int | None) -> str:
    return usd(None if nano_usd is None else from_nano_usd(nano_usd))
