"""1,577 recorded bodies from body to price: ours and genai-prices' agree to the last digit, or the reason is here."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

import genai_prices
from test_usage_prices_data import FLAVOURS, PAIRS, SHAPES, bodies

from cput.ledger.price import PriceBook, Priced
from cput.ledger.usage import reported, usage_of
from cput.records import Usage

AT = datetime(2026, 11, 25, tzinfo=UTC)
OTHER_COUNTS = {
    # The body's cached tokens, which this extractor does not read, at the price of cached tokens.
    "mistral/default": 21,
    # A web search, which the extractors of Anthropic's bodies at other doors do not read.
    "azure/anthropic": 9,
    # Two bodies with a compaction, which is billed beside the totals (docs/design/usage.md).
    "anthropic/default": 2,
    "aws/anthropic": 2,
    "google/anthropic": 2,
    # Tokens written to the cache, which these extractors do not read, at their own price.
    "azure/responses": 2,
    "azure/chat": 1,
}
"""Pairs of body and extractor whose price differs because the counts do."""
REPRICED = {
    ("aws", "openai.gpt-5.6-luna"): 5,
    ("azure", "gpt-5.6-sol"): 26,
    ("deepseek", "deepseek-r1-distill-llama-70b"): 2,
    ("deepseek", "deepseek-reasoner"): 1,
    ("deepseek", "deepseek-v4-flash"): 3,
    ("google", "claude-sonnet-4-5-20250929"): 2,
    ("mistral", "ministral-8b-latest"): 1,
    ("mistral", "mistral-medium-latest"): 40,
    ("mistral", "mistral-small-latest"): 3,
    ("openai", "gpt-5.6-sol"): 15,
    ("openrouter", "Qwen/Qwen2.5-VL-72B-Instruct"): 2,
    ("openrouter", "openai/gpt-oss-120b"): 13,
    ("openrouter", "qwen/qwen3-30b-a3b-instruct-2507"): 1,
    ("openrouter", "qwen/qwen3-32b"): 5,
    ("openrouter", "z-ai/glm-4.6"): 2,
}
"""Pairs whose recorded price is not the library's of that day: its price data has changed since they were recorded."""
RECORDED = 3_474


@cache
def priced():
    """Return (flavour, model, recorded reading, recorded extractor, our usage, our price) of every pair."""
    book, found = PriceBook(), []
    for entry in bodies():
        body, model = entry["body"], entry.get("model") or "none"
        for reading in entry["extracted"]:
            for extractor in reading["extractors"]:
                flavour = f"{extractor['provider_id']}/{extractor['api_flavor']}"
                usage = usage_of(body, shape=SHAPES.get(flavour) or FLAVOURS[extractor["api_flavor"]])
                price = book.price(usage, model=model, provider=extractor["provider_id"], at=AT)
                found.append((flavour, model, reading["usage"], extractor, usage, price))
    return found


def library(counts: dict[str, int], model: str, provider: str) -> genai_prices.types.PriceCalculation | None:
    try:
        return genai_prices.calc_price(
            genai_prices.Usage(**counts), model, provider_id=provider, genai_request_timestamp=AT
        )
    except LookupError:
        return None


def same_counts(usage: Usage, theirs: dict[str, int]) -> bool:
    return {key: value for key, value in reported(usage).items() if value} == {k: v for k, v in theirs.items() if v}


def sides(price: Priced) -> tuple[Decimal, Decimal]:
    cost = {"input": Decimal(0), "output": Decimal(0), "": Decimal(0)}
    for line in price.lines:
        cost[line.direction] += line.usd
    return cost["input"], cost["output"]


def test_every_price_is_the_librarys_or_the_counts_differ_for_a_known_reason():
    other: Counter[str] = Counter()
    for flavour, model, theirs, extractor, usage, price in priced():
        found = library(theirs, model, extractor["provider_id"])
        if price.usd == (None if found is None else found.total_price):
            continue
        assert not same_counts(usage, theirs), (flavour, model, theirs, price)
        other[flavour] += 1
    assert other == OTHER_COUNTS
    assert len(priced()) == PAIRS


def test_every_recorded_price_is_ours_or_the_price_data_has_changed_since():
    repriced: Counter[tuple[str, str]] = Counter()
    recorded = agreed = 0
    for _, model, theirs, extractor, usage, price in priced():
        if "input_price" not in extractor:
            continue
        recorded += 1
        expected = Decimal(extractor["input_price"]), Decimal(extractor["output_price"])
        found = library(theirs, model, extractor["provider_id"])
        assert found is not None
        if (found.input_price, found.output_price) != expected:
            repriced[extractor["provider_id"], model] += 1
        elif sides(price) == expected:
            agreed += 1
        else:
            assert not same_counts(usage, theirs)
    assert repriced == REPRICED
    assert (recorded, agreed) == (RECORDED, RECORDED - sum(REPRICED.values()) - 8)  # 8: compactions, above


def test_an_unpriced_model_is_one_that_the_library_does_not_know():
    for _, model, theirs, extractor, _, price in priced():
        if price.version == "unpriced":
            assert library(theirs, model, extractor["provider_id"]) is None
            assert price.why == f"no price of '{model}' at {extractor['provider_id']} is on file for 2026-11-25"


def test_every_price_has_lines_that_add_up_and_names_its_version():
    for _, _, _, extractor, _, price in priced():
        if price.usd is not None:
            assert sum(line.usd for line in price.lines) == price.usd
            assert price.version.startswith(f"genai-prices {genai_prices.__version__}:{extractor['provider_id']}/")
