"""Every attempt is charged with its record: also those that failed, were hung up on, or never said what they used."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from cput.engines.retry import Retried
from cput.errors import EngineUnavailable, PromptTooLong, UpstreamError
from cput.ledger.meter import Metered
from cput.ledger.price import PriceBook
from cput.ledger.price.fx import Exchange
from cput.ledger.price.model import parse_models
from cput.protocols import Answer
from cput.records import Call, Charge, CountedBy, Ending, Finish, Piece, Usage

TEXT = """
[[model]]
model = "m"
provider = "openai"
valid_from = 2026-01-01
input = "2"
output = "10"
terms = "t"
source = "s"
"""
BOOK = PriceBook([parse_models(TEXT, "f.toml", Exchange())], hosted_models=False)
GOOD = Usage(input_uncached=2_900, output=100, complete=True, counted_by=CountedBy.PROVIDER)


class Remote:
    """A hosted engine whose attempts go as the script says: an error before, or after some pieces, or an ending."""

    name = "remote"

    def __init__(self, *script):
        self.script = list(script)

    def answer(self, call: Call) -> Answer:
        return Answer(self._stream(self.script.pop(0)))

    async def _stream(self, act) -> AsyncGenerator[Piece | Ending, None]:
        pieces, end = act if isinstance(act, tuple) else (0, act)
        for _ in range(pieces):
            yield Piece(text="x", tokens=1)
        if end is None:
            await asyncio.Event().wait()
        if isinstance(end, Exception):
            raise end
        yield end

    async def aclose(self):
        pass


def ending(usage=GOOD, provider="openai", model="m"):
    return Ending(finish=Finish.STOP, usage=usage, model=model, provider=provider)


def metered(engine, ledger, **options):
    return Metered(engine, ledger, **{"prices": BOOK, "provider": "openai", "model": "m"} | options)


async def test_an_answer_is_charged_in_the_same_record(ledger):
    answer = metered(Remote(ending()), ledger).answer(Call(prompt="p"))
    await answer.text()
    (record,) = ledger.calls()
    (charge,) = record.charges
    assert (charge.call_id, charge.seq, charge.basis) == (record.call.id, 0, "usage")
    assert charge.incremental_nano_usd == 2_900 * 2_000 + 100 * 10_000
    assert charge.price_version.endswith(":m@2026-01-01")


async def test_a_timed_out_attempt_and_a_good_one_are_one_call_and_both_are_charged(ledger):
    late = EngineUnavailable("sent nothing for 60 s")
    leaf = metered(Remote(late, ending()), ledger, count_prompt=lambda _: 2_900)
    await Retried(leaf, attempts=2, backoff_s=0.0).answer(Call(prompt="p")).text()
    (record,) = ledger.calls()
    first, second = record.attempts
    assert (first.usage.input, first.usage.output, first.usage.counted_by, first.usage.complete) == (
        2_900,
        0,
        CountedBy.ESTIMATED,
        False,
    )
    assert (first.provider, first.model, second.usage) == ("openai", "m", GOOD)
    charges = {charge.seq: charge for charge in record.charges}
    assert charges[0].incremental_nano_usd == 2_900 * 2_000
    assert charges[0].price_version.endswith(";estimated")
    assert charges[1].incremental_nano_usd == 2_900 * 2_000 + 100 * 10_000
    assert charges[1].price_version.endswith("@2026-01-01")


async def test_a_stream_that_breaks_off_is_charged_for_the_prompt_and_what_arrived(ledger):
    leaf = metered(Remote((3, EngineUnavailable("broke off"))), ledger, count_prompt=lambda _: 10)
    with pytest.raises(EngineUnavailable):
        await leaf.answer(Call(prompt="p")).text()
    (charge,) = ledger.calls()[0].charges
    assert charge.incremental_nano_usd == 10 * 2_000 + 3 * 10_000
    assert charge.price_version.endswith(";estimated")


async def test_a_hang_up_is_charged_and_the_caller_is_told_the_same_usage(ledger):
    answer = metered(Remote((5, None)), ledger, count_prompt=lambda _: 10).answer(Call(prompt="p"))
    async for _ in answer:
        break
    await answer.aclose()
    (record,) = ledger.calls()
    assert answer.ending.usage == record.attempts[0].usage
    assert record.charges[0].incremental_nano_usd == 10 * 2_000 + 1 * 10_000


@pytest.mark.parametrize("counter", [None, lambda _: None, lambda _: 1 // 0])
async def test_without_a_count_of_the_prompt_the_charge_is_unknown_and_not_zero(ledger, counter):
    leaf = metered(Remote(EngineUnavailable("late")), ledger, count_prompt=counter)
    with pytest.raises(EngineUnavailable):
        await leaf.answer(Call(prompt="p")).text()
    (record,) = ledger.calls()
    assert record.attempts[0].usage.input is None
    assert record.charges[0].incremental_nano_usd is None
    assert record.charges[0].price_version.endswith(":m@2026-01-01;uncounted")


@pytest.mark.parametrize(
    ("error", "nano_usd"),
    [
        (UpstreamError("slow down", status=429), 0),
        (UpstreamError("who are you", status=401), 0),
        (UpstreamError("overloaded", status=529), 0),
        (PromptTooLong("too long"), 0),
        (UpstreamError("stopped by a filter", status=400), 20_000),  # billed where the filter reads the prompt
        (UpstreamError("broke", status=500), 20_000),
    ],
)
async def test_a_request_that_was_turned_away_unread_costs_nothing(ledger, error, nano_usd):
    leaf = metered(Remote(error), ledger, count_prompt=lambda _: 10)
    with pytest.raises(type(error)):
        await leaf.answer(Call(prompt="p")).text()
    (charge,) = ledger.calls()[0].charges
    assert charge.incremental_nano_usd == nano_usd
    assert charge.price_version.endswith(";estimated")


async def test_a_server_that_does_not_count_is_counted_and_says_so(ledger):
    answer = metered(Remote((4, ending(Usage()))), ledger, count_prompt=lambda _: 7).answer(Call(prompt="p"))
    await answer.text()
    (record,) = ledger.calls()
    assert (answer.ending.usage, answer.ending.attempt) == (record.attempts[0].usage, 0)
    assert record.charges[0].incremental_nano_usd == 7 * 2_000 + 4 * 10_000


async def test_an_unpriced_model_is_charged_as_unpriced(ledger):
    await metered(Remote(ending(model="n")), ledger).answer(Call(prompt="p")).text()
    (charge,) = ledger.calls()[0].charges
    assert (charge.incremental_nano_usd, charge.price_version) == (None, "unpriced")


async def test_what_has_no_provider_is_charged_by_its_devices_window(ledger):
    await metered(Remote(ending(provider=None)), ledger, provider=None).answer(Call(prompt="p")).text()
    assert ledger.calls()[0].charges == ()


async def test_a_model_of_ones_own_with_a_price_is_charged_by_it(ledger):
    text = TEXT.replace('provider = "openai"\n', "")
    book = PriceBook([parse_models(text, "f", Exchange())], hosted_models=False)
    await Metered(Remote(ending(provider=None)), ledger, prices=book).answer(Call(prompt="p")).text()
    assert ledger.calls()[0].charges[0].incremental_nano_usd == 2_900 * 2_000 + 100 * 10_000


async def test_the_price_is_that_of_the_attempts_day_tier_and_provider(ledger):
    end = Ending(finish=Finish.STOP, usage=GOOD, model="gpt-5", provider="openai", service_tier="flex")
    await Metered(Remote(end), ledger, prices=PriceBook()).answer(Call(prompt="p")).text()
    (record,) = ledger.calls()
    at = datetime.fromtimestamp(record.attempts[0].started_s, UTC)
    priced = PriceBook().price(GOOD, model="gpt-5", provider="openai", at=at, service_tier="flex")
    assert record.charges[0].incremental_nano_usd == priced.nano_usd
    assert record.charges[0].price_version == priced.version
    assert priced.version.endswith(";flex")


async def test_a_price_that_cannot_be_computed_does_not_lose_the_attempt(ledger):
    class Broken:
        def charge(self, attempt) -> Charge | None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await metered(Remote(ending()), ledger, prices=Broken()).answer(Call(prompt="p")).text()
    (record,) = ledger.calls()
    assert (record.attempts[0].usage, record.charges) == (GOOD, ())
