"""The gate: who may, how often, whether there is a place and money; refused counts nowhere, let in is settled."""

import asyncio
import logging
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from eventually import eventually
from flat_tariff import Flat
from two_ledgers import backend_, ledger_, tables_  # noqa: F401  # fixtures

from cput.errors import InputError
from cput.ledger.price import PriceBook
from cput.ledger.price.fx import Exchange
from cput.ledger.price.model import parse_models
from cput.ledger.store import Ledger
from cput.records import Usage
from cput.serve import keys, till
from cput.serve.accounts import Accounts
from cput.serve.budgets import Per, Unpriced, set_budget, standings
from cput.serve.gate import Admission, Asked, Caller, Refused
from cput.serve.limits import RateLimit, set_limit
from cput.serve.subjects import Scope, Subject
from cput.serve.tariff import BilledAs, BookTariff, DeviceTariff
from cput.testing import FakeClock

SHOP = Subject(Scope.TENANT, "shop")
ROW = """
[[model]]
model = "m"
valid_from = 2026-01-01
input = "{input}"
output = "{output}"
terms = "t"
source = "s"
"""


def asked(key, model="m", **given):
    return Asked(key=key, model=model, **{"prompt_tokens": 10, "max_new_tokens": 20, **given})


def usage(prompt, new):
    return Usage(input_uncached=prompt, output=new, complete=True)


def book(**prices):
    return PriceBook([parse_models(ROW.format(**prices), "prices.toml", Exchange())], hosted_models=False)


@pytest.fixture
async def accounts(ledger):
    made = Accounts(ledger, Flat(), remember_s=0.0)
    yield made
    await made.aclose()


@pytest.fixture
def secret(ledger):
    return keys.create(ledger, "web", tenant="shop").secret


async def refusal(gate, request):
    with pytest.raises(Refused) as refused:
        async with gate.admit(request):
            pytest.fail("it was let in")
    return refused.value


# Who


async def test_a_request_is_let_in_as_its_keys_tenant(ledger, accounts, secret):
    async with accounts.admit(asked(secret)) as admission:
        assert (admission.tenant, admission.key_id, admission.due_at) == ("shop", keys.find(ledger, "web").id, None)
    assert await accounts.identify(secret) == Caller(tenant="shop", key_id=admission.key_id)


async def test_missing_unknown_revoked_and_expired_keys_are_told_the_same(ledger, accounts, secret):
    soon = time.time() + 3600
    expired = keys.create(ledger, "old", tenant="shop", expires_s=soon).secret
    revoked = keys.create(ledger, "bad", tenant="shop").secret
    keys.revoke(ledger, "bad")
    later = Accounts(ledger, Flat(), wall_clock=lambda: soon)
    refusals = [await refusal(later, asked(key)) for key in (None, "", "sk-other", secret[:-1] + "!", expired, revoked)]
    assert len({(one.status, one.code, one.message, one.retry_after_s) for one in refusals}) == 1
    assert (refusals[0].status, refusals[0].code) == (401, "invalid_api_key")
    async with later.admit(asked(secret)):
        pass
    with pytest.raises(Refused, match="no valid API key"):
        await later.identify(revoked)


async def test_a_revocation_holds_in_a_gate_that_runs_once_its_memory_has_aged(ledger, secret):
    clock = FakeClock()
    accounts = Accounts(ledger, Flat(), remember_s=2.0, clock=clock)
    async with accounts.admit(asked(secret)):
        keys.revoke(ledger, "web")
        clock.advance(1.9)
        async with accounts.admit(asked(secret)):  # remembered
            clock.advance(0.1)
            assert (await refusal(accounts, asked(secret))).status == 401


async def test_a_key_may_use_the_models_that_it_names_and_no_others(ledger, accounts):
    secret = keys.create(ledger, "web", tenant="shop", models=("gpt-4o*", "m")).secret
    for model in ("m", "gpt-4o", "gpt-4o-mini"):
        async with accounts.admit(asked(secret, model)):
            pass
    refused = await refusal(accounts, asked(secret, "gpt-5"))
    assert (refused.status, refused.code) == (403, "model_not_allowed")
    assert "may not use the model 'gpt-5'; allowed: gpt-4o*, m" in refused.message
    assert (await accounts.identify(secret)).may_use("gpt-4o-mini")


async def test_no_message_record_or_log_shows_a_key(ledger, accounts, secret, caplog):
    caplog.set_level(logging.DEBUG)
    set_limit(ledger, RateLimit(subject=SHOP, requests_per_min=1))
    set_budget(ledger, SHOP, Decimal("0.000001"), per=Per.DAY)
    refusals = [await refusal(accounts, asked(secret))]
    set_budget(ledger, SHOP, Decimal(1), per=Per.DAY)
    async with accounts.admit(asked(secret)) as admission:
        refusals.append(await refusal(accounts, asked(secret)))
    refusals.append(await refusal(accounts, asked(secret[:-1] + "_")))
    assert {one.code for one in refusals} >= {"insufficient_quota", "rate_limit_exceeded"}
    said = " ".join([caplog.text, repr(asked(secret)), repr(admission), *map(repr, refusals)])
    assert secret[len(keys.PREFIX) : -1] not in said


async def test_a_ledger_that_cannot_be_read_is_503_and_says_where_only_in_the_log(tmp_path, caplog):
    with Ledger.open(tmp_path / "secret-place.db") as ledger:
        secret = keys.create(ledger, "web", tenant="shop").secret
        accounts = Accounts(ledger, Flat())
        with ledger._database.writing.begin() as connection:
            connection.exec_driver_sql("DROP TABLE api_keys")
        refused = await refusal(accounts, asked(secret))
    assert (refused.status, refused.code, refused.retry_after_s) == (503, "keys_unavailable", 1.0)
    assert "secret-place" not in refused.message
    assert "secret-place" in caplog.text


# How often


async def test_limits_of_the_key_and_of_its_tenant_both_hold(ledger, accounts, secret):
    web = keys.find(ledger, "web").id
    other = keys.create(ledger, "app", tenant="shop").secret
    set_limit(ledger, RateLimit(subject=Subject(Scope.KEY, web), requests_per_min=2))
    set_limit(ledger, RateLimit(subject=SHOP, requests_per_min=3))
    for _ in range(2):
        async with accounts.admit(asked(secret)):
            pass
    refused = await refusal(accounts, asked(secret))
    assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
    assert 59 < refused.retry_after_s < 60.2
    async with accounts.admit(asked(other)):
        pass
    assert "this tenant" in (await refusal(accounts, asked(other))).message


async def test_tokens_count_as_asked_for_and_after_settling_as_used(ledger, accounts, secret):
    set_limit(ledger, RateLimit(subject=SHOP, tokens_per_min=100))
    async with accounts.admit(asked(secret, prompt_tokens=10, max_new_tokens=80)) as admission:
        assert (await refusal(accounts, asked(secret))).code == "rate_limit_exceeded"
        admission.settle(usage(10, 5), 1)
    async with accounts.admit(asked(secret, prompt_tokens=10, max_new_tokens=75)):  # 15 + 85 = 100, never settled
        pass
    assert (await refusal(accounts, asked(secret, prompt_tokens=1, max_new_tokens=0))).code == "rate_limit_exceeded"


async def test_what_is_refused_later_counts_under_no_limit(ledger, secret):
    set_limit(ledger, RateLimit(subject=SHOP, requests_per_min=2))
    budget = set_budget(ledger, SHOP, Decimal("0.000001"), per=Per.DAY)
    accounts = Accounts(ledger, Flat(), remember_s=0.0, most_at_once=1, queue=0)
    for _ in range(5):
        assert (await refusal(accounts, asked(secret))).code == "insufficient_quota"
    set_budget(ledger, SHOP, Decimal(1), per=Per.DAY)
    async with accounts.admit(asked(secret)):
        for _ in range(5):
            assert (await refusal(accounts, asked(secret))).code == "overloaded"
    async with accounts.admit(asked(secret)):
        pass
    assert (await refusal(accounts, asked(secret))).code == "rate_limit_exceeded"
    assert budget.id == standings(ledger)[0][0].id
    await accounts.aclose()


# Turns and deadlines


async def test_a_call_may_be_as_urgent_as_its_key_allows(ledger):
    plain = keys.create(ledger, "plain", tenant="a").secret
    urgent = keys.create(ledger, "urgent", tenant="b", priority=5).secret
    accounts = Accounts(ledger, Flat(), most_at_once=1, queue=10, clock=FakeClock())
    order = []

    async def call(name, request):
        async with accounts.admit(request):
            order.append(name)

    async with accounts.admit(asked(plain)):
        calls = []
        for name, request in (
            ("first", asked(plain)),
            ("bold", asked(plain, priority=100)),  # its key does not let it go ahead
            ("modest", asked(plain, priority=-1)),
            ("urgent", asked(urgent, priority=100)),
        ):
            calls.append(asyncio.create_task(call(name, request)))
            await eventually(lambda: accounts.line.waiting == len(calls))
    await asyncio.gather(*calls)
    assert order == ["urgent", "first", "bold", "modest"]


async def test_a_deadline_holds_while_a_call_waits_and_while_it_is_under_way(ledger, secret):
    accounts = Accounts(ledger, Flat(), most_at_once=1, queue=10)
    broken_off = []
    with pytest.raises(Refused, match="broken off") as late:  # noqa: PT012  # the whole use is what is tested
        async with accounts.admit(asked(secret, deadline_s=0.1)) as admission:
            assert (await refusal(accounts, asked(secret, deadline_s=0.02))).status == 504
            async with admission.in_time():
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    broken_off.append(True)
                    raise
    assert (late.value.status, late.value.code) == (504, "deadline_exceeded")
    assert broken_off == [True]
    assert (await refusal(accounts, asked(secret, deadline_s=0))).status == 504
    assert (accounts.line.under_way, accounts.line.waiting) == (0, 0)


async def test_in_time_leaves_other_timeouts_and_answers_alone():
    admission = Admission(tenant=None, key_id=None, due_at=asyncio.get_running_loop().time() + 30)
    with pytest.raises(TimeoutError):
        async with admission.in_time():
            raise TimeoutError
    async with Admission(tenant=None, key_id=None).in_time():
        await asyncio.sleep(0)


async def test_the_context_may_be_left_by_another_task_and_when_the_client_hangs_up(ledger, accounts, secret):
    set_budget(ledger, SHOP, Decimal(1), per=Per.DAY)
    gate = accounts.admit(asked(secret))
    admission = await asyncio.create_task(gate.__aenter__())
    admission.settle(usage(1, 1), 7)
    await asyncio.create_task(gate.__aexit__(None, None, None))

    async def call():
        async with accounts.admit(asked(secret)) as admission:
            admission.settle(usage(1, 1), 5)
            settled.set()
            await asyncio.sleep(30)

    settled = asyncio.Event()
    task = asyncio.create_task(call())
    await settled.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await accounts.aclose()
    assert standings(ledger)[0][1][1:] == (12, 0, 2, 0, 0, 0)


# Money


async def test_eight_calls_at_once_against_a_budget_for_one_admit_exactly_one(ledger, accounts, secret):
    set_budget(ledger, SHOP, Decimal("0.001"), per=Per.DAY)
    arrived, go = [], asyncio.Event()

    async def call():
        try:
            async with accounts.admit(asked(secret)) as admission:
                arrived.append("in")
                await go.wait()
                admission.settle(usage(10, 20), 900_000)
        except Refused as refused:
            arrived.append(refused.code)

    calls = [asyncio.create_task(call()) for _ in range(8)]
    await eventually(lambda: len(arrived) == 8)
    go.set()
    await asyncio.gather(*calls)
    assert sorted(arrived) == ["in"] + ["insufficient_quota"] * 7
    assert standings(ledger)[0][1][1:] == (900_000, 0, 1, 0, 0, 0)


async def test_budgets_of_the_key_the_tenant_and_the_model_all_hold(ledger, accounts, secret):
    web = keys.find(ledger, "web").id
    other = keys.create(ledger, "app", tenant="other").secret
    for subject, usd in ((Subject(Scope.KEY, web), 3), (SHOP, 2), (Subject(Scope.MODEL, "m"), 5)):
        set_budget(ledger, subject, Decimal(usd) / 1000, per=Per.MONTH)
    for _ in range(2):
        async with accounts.admit(asked(secret)):  # 0.001 each, by the flat tariff
            pass
    assert "this tenant" in (await refusal(accounts, asked(secret))).message
    for _ in range(3):
        async with accounts.admit(asked(other)):
            pass
    assert "this model" in (await refusal(accounts, asked(other))).message
    async with accounts.admit(asked(other, "another model")):
        pass


async def test_a_call_that_is_not_settled_counts_as_reserved_and_is_marked(ledger, accounts, secret):
    set_budget(ledger, SHOP, Decimal(1), per=Per.DAY)
    with pytest.raises(RuntimeError):
        async with accounts.admit(asked(secret)):
            raise RuntimeError
    async with accounts.admit(asked(secret)) as admission:
        admission.settle(usage(1, 1), None)
    assert standings(ledger)[0][1][1:] == (2_000_000, 0, 2, 2, 0, 0)
    async with accounts.admit(asked(secret)) as admission:
        admission.settle(usage(1, 1), 9)
        admission.settle(usage(0, 0), 0)  # the last word counts
    assert standings(ledger)[0][1][1:] == (2_000_000, 0, 3, 2, 0, 0)


async def test_without_a_budget_the_database_is_not_written(ledger, accounts, secret, monkeypatch):
    written, real = [], till.writing
    monkeypatch.setattr(till, "writing", lambda where: written.append(where) or real(where))
    async with accounts.admit(asked(secret)) as admission:
        admission.settle(usage(1, 1), 5)
    assert not written
    set_budget(ledger, SHOP, Decimal(1), per=Per.DAY)
    async with accounts.admit(asked(secret)) as admission:
        admission.settle(usage(1, 1), 5)
    assert written


async def test_the_reserve_is_the_price_of_the_prompt_and_of_all_that_may_be_generated(ledger, secret):
    set_budget(ledger, SHOP, Decimal(1), per=Per.DAY)
    accounts = Accounts(ledger, BookTariff(book(input="2", output="10")))
    async with accounts.admit(asked(secret, prompt_tokens=1000, max_new_tokens=100)) as admission:
        assert standings(ledger)[0][1].held == 1000 * 2000 + 100 * 10_000  # nano-dollars per token
        admission.settle(usage(1000, 7), None)  # the price book knows what that costs
    assert standings(ledger)[0][1][1:] == (1000 * 2000 + 7 * 10_000, 0, 1, 0, 0, 0)
    await accounts.aclose()


async def test_a_model_without_a_price_and_a_prompt_that_nobody_counted_are_refused_with_the_reason(ledger, secret):
    set_budget(ledger, SHOP, Decimal(1), per=Per.DAY)
    accounts = Accounts(ledger, BookTariff(book(input="2", output="10")), remember_s=0.0)
    unknown = await refusal(accounts, asked(secret, "x"))
    assert (unknown.status, unknown.code) == (403, "model_unpriced")
    assert "no price of 'x' is on file" in unknown.message
    uncounted = await refusal(accounts, asked(secret, prompt_tokens=None))
    assert "nobody counted the tokens of its prompt" in uncounted.message
    set_budget(ledger, SHOP, Decimal(1), per=Per.DAY, unpriced=Unpriced.ALLOW)
    async with accounts.admit(asked(secret, "x")) as admission:
        admission.settle(usage(1, 1), None)
    assert standings(ledger)[0][1].unknown == 1
    await accounts.aclose()


async def test_a_price_per_token_in_the_place_of_one_per_million_locks_nobody_out(ledger, secret):
    """Were it taken, every call would seem a million times as dear (or as cheap), and the budget be gone at once."""
    set_budget(ledger, SHOP, Decimal(1), per=Per.DAY)
    for wrong in ({"input": "2500000", "output": "10000000"}, {"input": "0.0000025", "output": "0.00001"}):
        with pytest.raises(InputError, match="prices here are per million tokens"):
            book(**wrong)
    accounts = Accounts(ledger, BookTariff(book(input="2.5", output="10")))
    for _ in range(20):
        async with accounts.admit(asked(secret, prompt_tokens=2000, max_new_tokens=500)) as admission:
            admission.settle(usage(2000, 100), None)
    assert standings(ledger)[0][1].spent == 20 * (2000 * 2500 + 100 * 10_000)  # 12 cents of the dollar
    await accounts.aclose()


def test_a_device_is_priced_by_its_time():
    tariff = DeviceTariff(Decimal("3.6"), prefill_tokens_per_s=1000, decode_tokens_per_s=50)  # 0.001 per second
    request = asked(None, prompt_tokens=2000, max_new_tokens=100)
    assert tariff.most(request).nano_usd == 4_000_000  # 2 s + 2 s
    assert tariff.most(asked(None, prompt_tokens=None)).nano_usd is None
    assert tariff.cost(request, Usage(engine_s=0.5)) == 500_000
    assert tariff.cost(request, Usage()) is None
    with pytest.raises(InputError, match="decode_tokens_per_s is 0; allowed: more than 0"):
        DeviceTariff(Decimal(1), prefill_tokens_per_s=1, decode_tokens_per_s=0)


def test_a_model_is_priced_as_what_stands_behind_its_name():
    tariff = BookTariff(book(input="2", output="10"), lambda name: BilledAs({"fast": "m"}[name]))
    assert tariff.most(asked(None, "fast", prompt_tokens=1, max_new_tokens=1)).nano_usd == 12_000
    assert tariff.cost(asked(None, "fast"), usage(0, 1)) == 10_000


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"prompt_tokens": -1}, "prompt_tokens is -1"),
        ({"max_new_tokens": -1}, "max_new_tokens is -1"),
        ({"deadline_s": float("nan")}, "the deadline is nan"),
    ],
)
def test_a_request_of_less_than_nothing_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        asked("key", **wrong)


def test_a_cost_below_nothing_is_refused():
    with pytest.raises(InputError, match="can't cost -1"):
        Admission(tenant=None, key_id=None).settle(Usage(), -1)


async def test_a_new_day_opens_a_spent_budget(ledger, secret):
    now = [datetime(2026, 11, 25, 23, 59, tzinfo=UTC).timestamp()]
    set_budget(ledger, SHOP, Decimal("0.001"), per=Per.DAY)
    accounts = Accounts(ledger, Flat(), wall_clock=lambda: now[0])
    async with accounts.admit(asked(secret)) as admission:
        admission.settle(usage(1, 1), 1_000_000)
    refused = await refusal(accounts, asked(secret))
    assert (refused.code, refused.retry_after_s) == ("insufficient_quota", 60.0)
    now[0] += 60
    async with accounts.admit(asked(secret)):
        pass
    await accounts.aclose()
