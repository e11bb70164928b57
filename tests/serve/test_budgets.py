"""Money is held before a call begins and counted when it is done; a budget is never overspent by calls in a race."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from eventually import eventually
from flat_tariff import Flat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from two_ledgers import backend_, ledger_, place_, tables_  # noqa: F401  # fixtures

from cput.errors import InputError, SetupError
from cput.ledger.store import Ledger
from cput.serve import keys
from cput.serve.budgets import Budget, Per, Unpriced, read_budgets, remove_budget, set_budget, standings
from cput.serve.gate import Refused
from cput.serve.spending import Settle, Spending
from cput.serve.subjects import Scope, Subject
from cput.serve.till import Till
from cput.testing import FakeClock

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
TENANT = Subject(Scope.TENANT, "shop")
USD = 1_000_000_000  # nano-dollars
ZONES = ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]


def at(text, zone="UTC"):
    return Budget(id="b", subject=TENANT, per=Per(text), zone=zone, nano_usd=1)


def standing(ledger, now_s=NOON):
    ((_, found),) = standings(ledger, now_s)
    return found


@contextlib.asynccontextmanager
async def till_at(ledger, **given):
    till = Till(ledger, **{"clock": FakeClock(NOON), **given})
    try:
        yield till
    finally:
        await till.aclose()


# Periods


def test_a_period_begins_at_midnight_of_its_zone():
    late = datetime(2026, 11, 30, 17, 0, tzinfo=UTC).timestamp()  # 01:00 on December 1 in Shanghai
    assert (at("day").period(late), at("month").period(late)) == ("2026-11-30", "2026-11")
    assert (at("day", "Asia/Shanghai").period(late), at("month", "Asia/Shanghai").period(late)) == (
        "2026-12-01",
        "2026-12",
    )
    assert at("day", "Asia/Shanghai").ends_s(late) == datetime(2026, 12, 1, 16, tzinfo=UTC).timestamp()
    assert at("month", "Asia/Shanghai").ends_s(late) == datetime(2026, 12, 31, 16, tzinfo=UTC).timestamp()


def test_a_day_of_25_hours_ends_after_25_hours():
    berlin = at("day", "Europe/Berlin")
    start = datetime(2026, 10, 24, 22, tzinfo=UTC).timestamp()  # midnight of October 25, when the clocks go back
    assert berlin.period(start) == "2026-10-25"
    assert berlin.ends_s(start) - start == 25 * 3600


@given(st.floats(1.6e9, 2.2e9), st.sampled_from(["day", "month"]), st.sampled_from(ZONES))
def test_a_period_lasts_until_its_end_and_the_next_begins_there(now_s, per, zone):
    budget = at(per, zone)
    end = budget.ends_s(now_s)
    assert now_s < end <= now_s + 32 * 86_400
    assert budget.period(end - 0.001) == budget.period(now_s)
    assert budget.period(end) > budget.period(now_s)


# Setting


def test_a_budget_is_kept_replaced_and_removed(ledger):
    first = set_budget(ledger, TENANT, Decimal("1.5"), per=Per.DAY, zone="Asia/Shanghai", unpriced=Unpriced.ALLOW)
    month = set_budget(ledger, TENANT, Decimal(20), per=Per.MONTH)
    assert read_budgets(ledger) == (first, month)
    assert (first.nano_usd, first.zone, first.unpriced) == (1_500_000_000, "Asia/Shanghai", "allow")
    again = set_budget(ledger, TENANT, Decimal(2), per=Per.DAY)
    assert (again.id, again.nano_usd, again.zone, again.unpriced) == (first.id, 2 * USD, "UTC", "refuse")
    remove_budget(ledger, TENANT, Per.DAY)
    assert read_budgets(ledger) == (month,)
    with pytest.raises(InputError, match="no budget per day for tenant:shop"):
        remove_budget(ledger, TENANT, Per.DAY)


@pytest.mark.parametrize("usd", ["0", "-1", "0.0000000001", "1000000001"])
def test_a_budget_of_nothing_or_of_too_much_is_refused(ledger, usd):
    with pytest.raises(InputError, match="allowed: more than 0, at most"):
        set_budget(ledger, TENANT, Decimal(usd), per=Per.DAY)
    with pytest.raises(InputError, match="did you mean 'Asia/Shanghai'"):
        set_budget(ledger, TENANT, Decimal(1), per=Per.DAY, zone="Asia/Shangai")
    assert read_budgets(ledger) == ()


# Reserve and settle


async def test_what_is_held_takes_room_until_it_is_settled_with_what_it_cost(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    async with till_at(ledger) as till:
        hold = await till.reserve([budget], 600_000_000)
        assert standing(ledger)[1:] == (0, 600_000_000, 0, 0, 0, 0)
        with pytest.raises(Refused) as refused:
            await till.reserve([budget], 400_000_001)
        assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (
            429,
            "insufficient_quota",
            1.0,
        )
        assert "is $1.000, of which $0 is spent and $0.6000 held" in str(refused.value)
        await till.settle(hold, 100_000_000)
        assert standing(ledger)[1:] == (100_000_000, 0, 1, 0, 0, 0)
        await till.reserve([budget], 900_000_000)


async def test_a_spent_budget_opens_again_with_its_next_period(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    clock = FakeClock(NOON)
    async with till_at(ledger, clock=clock) as till:
        await till.settle(await till.reserve([budget], USD), USD)
        with pytest.raises(Refused, match=r"next period begins at 2026-11-26T00:00Z") as refused:
            await till.reserve([budget], 1)
        assert refused.value.retry_after_s == 12 * 3600
        clock.advance(12 * 3600 - 1)
        with pytest.raises(Refused):
            await till.reserve([budget], 1)
        clock.advance(1)
        hold = await till.reserve([budget], USD)
        clock.advance(86_400)  # it ends on the next day, and counts where it was let in
        await till.settle(hold, 7)
        assert standing(ledger, NOON + 86_400)[:2] == ("2026-11-26", 7)
        assert standing(ledger, clock())[:2] == ("2026-11-27", 0)


async def test_eight_calls_at_once_against_a_budget_for_one_admit_exactly_one(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    async with till_at(ledger) as till:
        found = await asyncio.gather(*(till.reserve([budget], USD) for _ in range(8)), return_exceptions=True)
        assert sum(not isinstance(one, Exception) for one in found) == 1
        assert {type(one) for one in found if isinstance(one, Exception)} == {Refused}


async def test_a_call_is_held_in_all_its_budgets_or_in_none(ledger):
    wide = set_budget(ledger, TENANT, Decimal(100), per=Per.MONTH)
    tight = set_budget(ledger, Subject(Scope.MODEL, "m"), Decimal(1), per=Per.DAY)
    async with till_at(ledger) as till:
        with pytest.raises(Refused) as refused:
            await till.reserve([wide, tight], 2 * USD)
        assert "this model" in str(refused.value)
        assert "$1.0" not in str(refused.value)  # how a model's budget stands is not a tenant's business
        assert [found.held for _, found in standings(ledger, NOON)] == [0, 0]
        hold = await till.reserve([wide, tight], USD)
        assert [found.held for _, found in standings(ledger, NOON)] == [USD, USD]
        await till.settle(hold, 5)
        assert [found.spent for _, found in standings(ledger, NOON)] == [5, 5]


async def test_nobody_knows_what_it_cost_so_what_was_reserved_counts_and_is_marked(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY, unpriced=Unpriced.ALLOW)
    async with till_at(ledger) as till:
        await till.settle(await till.reserve([budget], 300), None)
        assert standing(ledger)[1:] == (300, 0, 1, 1, 0, 0)
        await till.settle(await till.reserve([budget], None), None)  # neither before nor after
        assert standing(ledger)[1:] == (300, 0, 2, 1, 1, 0)
        await till.settle(await till.reserve([budget], None), 40)  # not before, but after
        assert standing(ledger)[1:] == (340, 0, 3, 1, 1, 0)
        await till.settle(await till.reserve([budget], 500), None, counted=False)  # it never began
        assert standing(ledger)[1:] == (340, 0, 3, 1, 1, 0)


async def test_a_call_without_a_price_is_refused_with_the_reason_unless_the_budget_allows_it(ledger):
    strict = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    async with till_at(ledger) as till:
        with pytest.raises(Refused, match=r"\(no price of 'x' is on file\).*set the budget's unpriced to allow") as no:
            await till.reserve([strict], None, "no price of 'x' is on file")
        assert (no.value.status, no.value.code, no.value.retry_after_s) == (403, "model_unpriced", None)
        lax = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY, unpriced=Unpriced.ALLOW)
        await till.settle(await till.reserve([lax], None), USD)
        with pytest.raises(Refused, match="up to unknown"):  # the unknown needs room too
            await till.reserve([lax], None)


async def test_what_costs_more_than_any_number_is_refused_and_not_an_overflow(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    async with till_at(ledger) as till:
        with pytest.raises(Refused, match="no room"):
            await till.reserve([budget], 10**40)
        await till.settle(await till.reserve([budget], 1), 10**40)
        assert standing(ledger).spent == 2**62
        with pytest.raises(Refused):
            await till.reserve([budget], 1)


async def test_a_budget_that_was_removed_meanwhile_holds_nobody_up(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    async with till_at(ledger) as till:
        hold = await till.reserve([budget], USD)
        remove_budget(ledger, TENANT, Per.DAY)
        await till.settle(hold, 5)
        await till.reserve([budget], USD)
        assert standings(ledger, NOON) == ()


def test_settling_twice_counts_once(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)

    async def hold():
        async with till_at(ledger) as till:
            return await till.reserve([budget], USD)

    held = asyncio.run(hold())
    for _ in range(2):  # as after a connection that broke at the commit
        with ledger._database.writing.begin() as connection:
            Spending(connection, [budget.id], NOON).settle([Settle(held.id, held.budget_ids, 5)])
    assert standing(ledger)[1:] == (5, 0, 1, 0, 0, 0)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 120), st.integers(0, 100)), max_size=20))
def test_no_order_of_calls_spends_more_than_the_budget(tmp_path_factory, steps):
    """Each step lets a call in or, with a share of its reserve, out; whatever is settled is at most what was held."""

    async def play(ledger):
        budget = set_budget(ledger, TENANT, Decimal("0.0000003"), per=Per.DAY)  # 300 nano-dollars
        open_, spent = [], 0
        async with till_at(ledger) as till:
            for enters, amount, share in steps:
                if enters:
                    held = sum(hold.nano_usd for hold in open_)
                    try:
                        open_.append(await till.reserve([budget], amount))
                    except Refused:
                        assert spent + held + amount > 300
                    else:
                        assert spent + held + amount <= 300
                elif open_:
                    hold = open_.pop(amount % len(open_))
                    cost = hold.nano_usd * share // 100
                    await till.settle(hold, cost)
                    spent += cost
                found = standing(ledger)
                assert (found.spent, found.held) == (spent, sum(hold.nano_usd for hold in open_))
                assert found.spent + found.held <= 300

    with Ledger.open(tmp_path_factory.mktemp("budget") / "l.db") as ledger:
        asyncio.run(play(ledger))


# Leases, hang-ups, failures


async def test_a_hold_that_nobody_renews_expires_is_told_as_lost_and_may_still_be_settled(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    clock = FakeClock(NOON)
    async with till_at(ledger, clock=clock, lease_s=60) as till, till_at(ledger, clock=clock) as other:
        hold = await till.reserve([budget], USD)
        clock.advance(59.9)
        with pytest.raises(Refused):
            await other.reserve([budget], USD)
        clock.advance(0.1)
        assert standing(ledger, clock())[1:] == (0, 0, 0, 0, 0, 1)
        taken = await other.reserve([budget], USD)
        await other.settle(taken, 10)
        await till.settle(hold, 20)  # late, and not lost
        assert standing(ledger, clock())[1:] == (30, 0, 2, 0, 0, 0)


async def test_a_hold_is_renewed_while_its_call_is_under_way(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    clock = FakeClock(NOON)
    async with till_at(ledger, clock=clock, lease_s=0.3) as till:
        hold = await till.reserve([budget], USD)
        for _ in range(4):
            clock.advance(0.2)
            await asyncio.sleep(0.15)  # more than a third of the lease, after which it is renewed
        assert standing(ledger, clock()).held == USD
        await till.settle(hold, 1)
    assert standing(ledger, clock()).spent == 1


async def test_a_caller_that_hangs_up_while_money_is_held_for_it_gets_it_back(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    async with till_at(ledger) as till:
        asking = [asyncio.create_task(till.reserve([budget], 1000)) for _ in range(5)]
        await asyncio.sleep(0)
        for task in asking:
            task.cancel()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found)
    assert standing(ledger)[1:] == (0, 0, 0, 0, 0, 0)


async def test_a_caller_that_hangs_up_while_it_is_settled_is_settled_all_the_same(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    async with till_at(ledger) as till:
        settling = asyncio.create_task(till.settle(await till.reserve([budget], 1000), 7))
        await asyncio.sleep(0)
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)
    assert standing(ledger)[1:] == (7, 0, 1, 0, 0, 0)


async def test_a_settlement_that_the_database_does_not_take_is_made_up_for(ledger, caplog):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)
    failing = True

    def fail(_connection, _cursor, statement, *_):
        if failing and "budget_holds" in statement and statement.startswith("DELETE"):
            raise SetupError("the disk is full")

    event.listen(ledger._database.writing, "before_cursor_execute", fail)
    async with till_at(ledger, lease_s=0.3) as till:
        hold = await till.reserve([budget], USD)
        await till.settle(hold, 11)  # the answer was given: its caller is not told
        assert "the disk is full" in caplog.text
        assert standing(ledger)[1:3] == (0, USD)
        failing = False
        await eventually(lambda: standing(ledger).spent > 0)
    assert standing(ledger)[1:] == (11, 0, 1, 0, 0, 0)
    event.remove(ledger._database.writing, "before_cursor_execute", fail)


async def test_a_reserve_that_the_database_does_not_take_lets_nobody_in(ledger):
    budget = set_budget(ledger, TENANT, Decimal(1), per=Per.DAY)

    def fail(_connection, _cursor, statement, *_):
        if "budget_holds" in statement and statement.startswith("INSERT"):
            raise SetupError("the disk is full")

    event.listen(ledger._database.writing, "before_cursor_execute", fail)
    async with till_at(ledger) as till:
        with pytest.raises(SetupError, match="the disk is full"):
            await till.reserve([budget], 1)
    event.remove(ledger._database.writing, "before_cursor_execute", fail)
    assert standing(ledger)[1:] == (0, 0, 0, 0, 0, 0)


# Processes


@contextlib.contextmanager
def workers(place, secret, count, lease_s=60.0):
    """Processes that serve (``budget_worker.py``), each with a call that it makes when told."""
    script = Path(__file__).with_name("budget_worker.py")
    arguments = [str(place), str(lease_s), str(count)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen([sys.executable, script, *arguments], **pipes) as process:
        process.stdin.write(secret + "\n")
        yield process
        process.stdin.close()
        assert process.wait(30) == 0


def lines(process, count):
    return [process.stdout.readline().strip() for _ in range(count)]


def made(place, usd):
    with Ledger.open(place) as ledger:
        set_budget(ledger, TENANT, Decimal(usd), per=Per.MONTH)
        return keys.create(ledger, "web", tenant="shop").secret


def test_eight_processes_at_once_against_a_budget_for_one_admit_exactly_one(place):
    with workers(place, made(place, "0.001"), 8) as process:
        ready = lines(process, 8)
        assert len({line.removeprefix("ready ") for line in ready}) == 8
        process.stdin.write("go\n")
        said = lines(process, 8)
    assert sorted(said) == ["429 insufficient_quota"] * 7 + ["admitted"]
    with Ledger.open(place) as ledger:
        ((_, found),) = standings(ledger)
        assert found[1:] == (900_000, 0, 1, 0, 0, 0)


def test_what_a_killed_process_held_is_free_again_after_its_lease(place):
    with workers(place, made(place, "0.001"), 1, lease_s=1.0) as process:
        (ready,) = lines(process, 1)
        process.stdin.write("go\n")
        assert lines(process, 1) == ["admitted"]
        os.kill(int(ready.removeprefix("ready ")), signal.SIGKILL)
    with Ledger.open(place) as ledger:

        async def until_let_in():
            till = Till(ledger)
            refused = 0
            async with asyncio.timeout(20):
                while True:
                    try:
                        hold = await till.reserve(read_budgets(ledger), Flat().nano_usd)
                    except Refused:
                        refused += 1
                        await asyncio.sleep(0.05)
                    else:
                        await till.settle(hold, 5)
                        await till.aclose()
                        return refused

        assert asyncio.run(until_let_in()) > 0
        ((_, found),) = standings(ledger)
        assert found[1:] == (5, 0, 1, 0, 0, 1)
