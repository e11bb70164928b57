"""How much money may be spent per day or month: on a key, a tenant's keys together, or a model.

    set_budget(ledger, Subject(Scope.TENANT, "shop"), Decimal(20), per=Per.DAY, zone="Asia/Shanghai")
    for budget, standing in standings(ledger): ...

A call is counted in the period in which it was let in. What is spent is a running sum of what was settled, kept beside
the budget; the ledger's charges are the books, and ``cput cost`` reads them.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Row, case, func, select

from cput.errors import InputError
from cput.ledger import schema
from cput.ledger.doors import writing
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.ledger.zones import time_zone
from cput.records import new_id
from cput.serve.subjects import Subject
from cput.units import to_nano_usd

MOST_USD = Decimal(1_000_000_000)


class Per(StrEnum):
    """How long a budget lasts."""

    DAY = "day"
    MONTH = "month"


class Unpriced(StrEnum):
    """What becomes of a call of which nobody knows what it may cost."""

    REFUSE = "refuse"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Money for one subject and period; it begins anew with each."""

    id: str
    """What its spending and holds name."""
    subject: Subject
    """Whose calls add up."""
    per: Per
    """How long it lasts."""
    zone: str = "UTC"
    """The time zone in which days and months begin."""
    nano_usd: int
    """The most that may be spent and held together."""
    unpriced: Unpriced = Unpriced.REFUSE
    """What becomes of calls without a price."""

    def period(self, now_s: float) -> str:
        """Return the day or month of a moment (Unix seconds): 2026-11-25 or 2026-11."""
        day = datetime.fromtimestamp(now_s, time_zone(self.zone)).date().isoformat()
        return day if self.per is Per.DAY else day[: len("2026-11")]

    def ends_s(self, now_s: float) -> float:
        """Return when the period of a moment ends (Unix seconds): at a midnight of the zone, however long its day."""
        zone = time_zone(self.zone)
        start = datetime.fromtimestamp(now_s, zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        following = start + timedelta(days=1) if self.per is Per.DAY else (start.replace(day=1) + timedelta(days=32))
        following = following if self.per is Per.DAY else following.replace(day=1)
        return following.replace(tzinfo=zone).timestamp()


class Standing(NamedTuple):
    """How a budget's present period stands. Money is nano-dollars."""

    period: str
    """The day or month."""
    spent: int = 0
    """What was settled, assumed amounts included."""
    held: int = 0
    """Reserved for calls under way."""
    calls: int = 0
    """Calls that were settled."""
    assumed: int = 0
    """Of these, calls counted at what was reserved, since nobody said what they cost."""
    unknown: int = 0
    """Of these, calls that no amount is known of at all; they count nothing."""
    lost: int = 0
    """Calls whose process ended, or whose settlement has not come: their hold has expired and counts nothing."""


def set_budget(
    ledger: Ledger,
    about: Subject,
    usd: Decimal,
    *,
    per: Per,
    zone: str = "UTC",
    unpriced: Unpriced = Unpriced.REFUSE,
) -> Budget:
    """Write a budget in the place of the subject's earlier one for such a period; what was spent stays counted.

    Raises:
        InputError: when the amount or the time zone is not allowed.
    """
    if not 0 < usd <= MOST_USD or to_nano_usd(usd) < 1:
        raise InputError(f"the budget is ${usd}; allowed: more than 0, at most ${MOST_USD:,f}")
    time_zone(zone)  # refuses what is none
    table = schema.budgets
    with writing(ledger) as connection:
        there = connection.execute(
            select(table.c.id).where(table.c.subject == str(about), table.c.per == per).with_for_update()
        ).scalar()
        values = {"zone": zone, "nano_usd": to_nano_usd(usd), "unpriced": unpriced.value}
        if there is not None:
            connection.execute(table.update().where(table.c.id == there).values(values))
        else:
            there = new_id()
            new = {"id": there, "subject": str(about), "per": per.value, "created_s": time.time()}
            connection.execute(table.insert().values({**new, **values}))
    return next(budget for budget in read_budgets(ledger) if budget.id == there)


def remove_budget(ledger: Ledger, about: Subject, per: Per) -> None:
    """Take a budget away, with what was counted under it.

    Raises:
        InputError: when there is none.
    """
    table = schema.budgets
    with writing(ledger) as connection:
        there = connection.execute(
            select(table.c.id).where(table.c.subject == str(about), table.c.per == per).with_for_update()
        ).scalar()
        if there is None:
            raise InputError(f"there is no budget per {per} for {about}; `cput key budget list` shows them")
        connection.execute(schema.budget_holds.delete().where(schema.budget_holds.c.budget_id == there))
        connection.execute(schema.budget_spends.delete().where(schema.budget_spends.c.budget_id == there))
        connection.execute(table.delete().where(table.c.id == there))


def read_budgets(ledger: Ledger, subjects: Sequence[str] | None = None) -> tuple[Budget, ...]:
    """Return the budgets of some subjects, or all, in the order of their subjects."""
    table = schema.budgets
    query = select(table).order_by(table.c.subject, table.c.per)
    if subjects is not None:
        query = query.where(table.c.subject.in_(subjects))
    with snapshot(ledger) as connection:
        return tuple(to_budget(row) for row in connection.execute(query))


def standings(ledger: Ledger, now_s: float | None = None) -> tuple[tuple[Budget, Standing], ...]:
    """Return all budgets with how the period of a moment (None: now) stands."""
    now_s = time.time() if now_s is None else now_s
    budgets = read_budgets(ledger)
    spends, holds = schema.budget_spends.c, schema.budget_holds.c
    live = holds.expires_s > now_s
    sums = (
        func.coalesce(func.sum(case((live, holds.nano_usd), else_=0)), 0).label("held"),
        func.coalesce(func.sum(case((live, 0), else_=1)), 0).label("lost"),
    )
    with snapshot(ledger) as connection:
        spent = {(row.budget_id, row.period): row for row in connection.execute(select(*spends))}
        held = {
            (row.budget_id, row.period): row
            for row in connection.execute(
                select(holds.budget_id, holds.period, *sums).group_by(holds.budget_id, holds.period)
            )
        }
    return tuple((budget, _standing(budget, now_s, spent, held)) for budget in budgets)


def to_budget(row: Row[Any]) -> Budget:
    """Return a row of ``budgets``."""
    return Budget(
        id=row.id,
        subject=Subject.of(row.subject),
        per=Per(row.per),
        zone=row.zone,
        nano_usd=row.nano_usd,
        unpriced=Unpriced(row.unpriced),
    )


def _standing(
    budget: Budget, now_s: float, spent: Mapping[tuple[str, str], Any], held: Mapping[tuple[str, str], Any]
) -> Standing:
    period = budget.period(now_s)
    done, open_ = spent.get((budget.id, period)), held.get((budget.id, period))
    standing = Standing(period)
    if done is not None:
        standing = standing._replace(spent=done.nano_usd, calls=done.calls, assumed=done.assumed, unknown=done.unknown)
    return standing if open_ is None else standing._replace(held=int(open_.held), lost=int(open_.lost))
