"""Golden prices from public bug reports of gateways and meters; prices are dollars per million tokens."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cput.ledger.price import PriceBook
from cput.ledger.price.fx import Exchange
from cput.ledger.price.model import parse_models
from cput.ledger.usage import usage_of

HEAD = '[[model]]\nmodel = "m"\nvalid_from = 2026-01-01\nterms = "t"\nsource = "s"\n'
AT = datetime(2026, 11, 1, tzinfo=UTC)


def book(prices: str) -> PriceBook:
    return PriceBook([parse_models(HEAD + prices, "f.toml", Exchange())], hosted_models=False)


def cost(prices: str, body: dict) -> Decimal | None:
    return book(prices).price(usage_of(body), model="m", at=AT).usd


def openai(prompt: int, cached: int, completion: int, reasoning: int = 0) -> dict:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        },
    }


def gemini(prompt: int, candidates: int, thoughts: int) -> dict:
    counts = {"promptTokenCount": prompt, "candidatesTokenCount": candidates, "thoughtsTokenCount": thoughts}
    return {"usageMetadata": counts | {"totalTokenCount": prompt + candidates + thoughts}}


@pytest.mark.parametrize(
    ("prompt", "cached", "completion", "prices", "usd"),
    [
        (2_006, 1_920, 300, ("2.50", "1.25", "10"), "0.005615"),
        (262_960, 257_955, 1_744, ("1.25", "0.625", "10"), "0.184918125"),  # shown as $0.184918
    ],
)
def test_cached_tokens_are_billed_once(prompt, cached, completion, prices, usd):
    written = 'input = "{}"\ncache_read = "{}"\noutput = "{}"'.format(*prices)
    assert cost(written, openai(prompt, cached, completion)) == Decimal(usd)


def test_tokens_written_to_the_cache_are_input_too():
    counts = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 12_304,
        "cache_read_input_tokens": 0,
        "output_tokens": 550,
    }
    body = {"type": "message", "usage": counts}
    prices = 'input = "3"\ncache_write = "3.75"\ncache_read = "0.30"\noutput = "15"'
    assert usage_of(body).input == 12_307
    assert cost(prices, body) == Decimal("0.054399")


def test_thoughts_that_are_reported_beside_the_answer_are_billed_as_output():
    assert gemini(324, 1_364, 495)["usageMetadata"]["totalTokenCount"] == 2_183
    assert cost('input = "2"\noutput = "12"', gemini(324, 1_364, 495)) == Decimal("0.022956")


def test_reasoning_that_is_reported_inside_the_completion_adds_nothing():
    prices = 'input = "2"\noutput = "12"'
    assert cost(prices, openai(324, 0, 1_859, reasoning=495)) == cost(prices, openai(324, 0, 1_859))
    assert cost(prices, openai(324, 0, 1_859, reasoning=495)) == Decimal("0.022956")


@pytest.mark.parametrize(
    ("boundary", "prompt", "usd"),
    [
        ("above", 272_000, "1.390"),
        ("above", 272_001, "2.76501"),  # $2.765, rounded to the cent's tenth
        ("from", 271_999, "1.389995"),
        ("from", 272_000, "2.765"),
    ],
)
def test_a_tier_holds_for_the_whole_request_and_its_boundary_has_a_side(boundary, prompt, usd):
    prices = f'input = "5"\noutput = "30"\n[[model.tier]]\n{boundary} = 272000\ninput = "10"\noutput = "45"'
    assert cost(prices, openai(prompt, 0, 1_000)) == Decimal(usd)


def test_the_tier_is_chosen_by_all_input_cached_or_not():
    prices = 'input = "5"\ncache_read = "1"\noutput = "30"\n[[model.tier]]\nabove = 272000\ninput = "10"\noutput = "45"'
    usd = cost(prices, openai(272_001, 272_000, 0))
    assert usd == (1 * Decimal(10) + 272_000 * Decimal(1)) / 1_000_000  # cache_read keeps its price in the upper tier


def test_the_sum_is_rounded_once_to_nano_dollars():
    priced = book('input = "0.0005"\noutput = "0.0005"').price(usage_of(openai(1, 0, 1)), model="m", at=AT)
    assert [line.usd for line in priced.lines] == [Decimal("5E-10")] * 2
    assert priced.nano_usd == 1  # each alone would round to 0
