"""Hosted models: who bills, on which day, at which tier; the price version says it."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.types import TieredPrices

from cput.ledger.price import PriceBook
from cput.ledger.price.hosted import every
from cput.ledger.price.model import HIGHEST_USD_PER_M, LOWEST_USD_PER_M
from cput.ledger.usage import usage_of
from cput.records import Attempt, CountedBy, Finish, Usage

BOOK = PriceBook()
AT = datetime(2026, 11, 25, tzinfo=UTC)
LIBRARY = f"genai-prices {genai_prices.__version__}"
USED = Usage(input_uncached=1_000_000, output=1_000_000, complete=True, counted_by=CountedBy.PROVIDER)
SHORT = Usage(input_uncached=1_000, output=0, complete=True, counted_by=CountedBy.PROVIDER)


def price(model, provider=None, *, usage=USED, at=AT, tier=None):
    return BOOK.price(usage, model=model, provider=provider, at=at, service_tier=tier)


def test_a_model_is_priced_at_its_provider_and_the_version_says_so():
    found = price("gpt-4o-2024-08-06", "openai")
    assert (found.usd, found.version) == (Decimal("12.5"), f"{LIBRARY}:openai/gpt-4o")


def test_the_maker_is_told_by_the_models_name_where_no_provider_is():
    assert price("claude-sonnet-4-5").version.startswith(f"{LIBRARY}:anthropic/")
    assert price("no-such-model").version == "unpriced"


def test_an_unknown_provider_is_not_replaced_by_a_guess():
    found = price("gpt-4o", "our-gateway")
    assert (found.usd, found.version) == (None, "unpriced")
    assert found.why == "no price of 'gpt-4o' at our-gateway is on file for 2026-11-25"


def test_nobody_said_which_model_it_was():
    attempt = Attempt(
        call_id="c", seq=0, engine="e", provider="openai", usage=USED, started_s=AT.timestamp(), finish=Finish.STOP
    )
    charge = BOOK.charge(attempt)
    assert charge is not None
    assert (charge.incremental_nano_usd, charge.price_version) == (None, "unpriced")


def test_the_price_is_that_of_the_day_in_utc_and_a_naive_moment_is_utc():
    model = next(
        found for found in every() if found.provider.id == "deepseek" and found.model.id == "deepseek-v4-flash"
    )
    starts = [entry.constraint.start_date for entry in model.model.prices if hasattr(entry.constraint, "start_date")]
    change = datetime.combine(starts[-1], time())
    before, after = change - timedelta(seconds=1), change
    prices = [price("deepseek-v4-flash", "deepseek", at=at) for at in (before, after, after.replace(tzinfo=UTC))]
    assert prices[0].usd != prices[1].usd
    assert prices[1] == prices[2]
    assert prices[1].version == f"{LIBRARY}:deepseek/deepseek-v4-flash@{change.date()}"


def test_a_tier_of_service_has_its_price_and_its_name_in_the_version():
    standard, flex, priority = (price("gpt-5", "openai", usage=SHORT, tier=tier) for tier in (None, "Flex", "priority"))
    assert flex.usd < standard.usd < priority.usd
    assert flex.version == f"{standard.version};flex"
    for word in ("default", "standard", "auto", "on_demand"):
        assert price("gpt-5", "openai", usage=SHORT, tier=word) == standard


def test_a_batch_is_half_the_price_at_anthropic():
    assert price("claude-sonnet-4-5", usage=SHORT, tier="batch").usd * 2 == price("claude-sonnet-4-5", usage=SHORT).usd


def test_a_tier_for_which_no_price_is_known_is_billed_as_standard_and_says_so():
    found = price("gpt-4o", "openai", tier="scale")
    assert (found.usd, found.version) == (Decimal("12.5"), f"{LIBRARY}:openai/gpt-4o;scale at standard price")


def test_a_long_prompt_is_billed_at_its_tier_as_a_whole():
    long, short = (
        price("gemini-2.5-pro", "google", usage=Usage(input_uncached=tokens, output=0, complete=True))
        for tokens in (200_001, 200_000)
    )
    assert (short.usd, long.usd) == (Decimal("0.25"), 200_001 * Decimal("2.5") / 1_000_000)


def test_a_short_recording_is_billed_at_the_providers_least():
    seconds = lambda amount: Usage(parts={"audio_seconds": amount, "input_audio_seconds": amount}, complete=True)  # noqa: E731
    found, full = (price("whisper-large-v3", "groq", usage=seconds(amount)) for amount in (2.5, 10))
    assert found.usd == full.usd > 0
    assert [line.what for line in found.lines][-1] == "minimum"
    assert [line.what for line in full.lines if line.what == "minimum"] == []


def test_counts_that_contradict_each_other_are_unknown_and_not_negative(monkeypatch):
    monkeypatch.setattr(
        "cput.ledger.usage.reported", lambda _: {"input_tokens": 1, "cache_read_tokens": 5, "output_tokens": 0}
    )
    found = price("gpt-4o", "openai")
    assert (found.usd, found.version) == (None, f"{LIBRARY}:openai/gpt-4o;uncounted")
    assert found.why == (
        "its counts contradict each other: Invalid usage data: cache_read_tokens (5) cannot exceed input_tokens (1)"
    )


def test_no_hosted_price_is_implausible():
    for found in every():
        entries = found.model.prices if isinstance(found.model.prices, list) else [found.model.prices]
        for entry in entries:
            for key, rate in vars(getattr(entry, "prices", entry)).items():
                if rate is not None and key.endswith("_mtok"):
                    steps = [rate.base, *(t.price for t in rate.tiers)] if isinstance(rate, TieredPrices) else [rate]
                    assert all(step == 0 or LOWEST_USD_PER_M <= step <= HIGHEST_USD_PER_M for step in steps), found.name


def test_matching_lists_each_model_once_with_its_provider():
    found = BOOK.matching("OpenAI/gpt-4o")
    assert ("openai", "gpt-4o") in found
    assert len(set(found)) == len(found)
    assert all("openai/gpt-4o" in f"{provider}/{model}".lower() for provider, model in found)


def test_the_shipped_yuan_prices_are_those_of_dashscope_by_the_prompts_length():
    book = PriceBook.load()
    rate = Decimal("1.1172") / Decimal("7.4326")
    for tokens, yuan in ((32_000, "2.5"), (32_001, "4"), (128_001, "7")):
        usage = Usage(input_uncached=tokens, output=0, complete=True)
        found = book.price(usage, model="qwen3-max", provider="dashscope", at=datetime(2026, 10, 31, tzinfo=UTC))
        assert found.usd == pytest.approx(tokens * Decimal(yuan) * rate / 1_000_000, abs=Decimal("1e-15"))
        assert found.version.startswith("cput/dashscope.toml#")
        assert found.version.endswith(":qwen3-max@2026-05-31;CNY@2026-10-30")


@pytest.mark.parametrize(
    ("model", "usd"),
    [("text-embedding-3-small", "0.02"), ("text-embedding-3-large", "0.13"), ("text-embedding-ada-002", "0.1")],
)
def test_hosted_embeddings_are_billed_by_their_input_alone(model, usd):
    usage = usage_of({"data": [{"embedding": []}], "usage": {"prompt_tokens": 1_000_000, "total_tokens": 1_000_000}})
    assert (usage.input, usage.output, usage.complete) == (1_000_000, 0, True)
    assert PriceBook.load().price(usage, model=model, provider="openai").usd == Decimal(usd)
