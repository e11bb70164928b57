"""Usage as providers write it: documented and recorded bodies, each with the counts that are billed for it."""

import json
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

import pytest

from cput.errors import InputError
from cput.ledger.usage import Shape, leaves, reported, shape_of, usage_of
from cput.records import CountedBy, Usage

GOLDEN = json.loads((Path(__file__).parent / "data" / "golden.json").read_text(encoding="utf-8"))


def fields(usage):
    found = asdict(usage)
    assert found.pop("engine_s") is None
    return found | {"counted_by": usage.counted_by.value}


def chat(prompt, output, cached=None, reasoning=None, total=None):
    return {
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": total,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
    }


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden["name"] for golden in GOLDEN])
def test_a_body_is_read_as_its_provider_bills_it(golden):
    assert fields(usage_of(golden["body"])) == golden["usage"]


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden["name"] for golden in GOLDEN])
def test_the_shape_is_told_by_the_fields(golden):
    assert shape_of(golden["body"]) == golden["shape"]


def test_every_shape_but_the_named_ones_is_told_by_some_body():
    told = {Shape(golden["shape"]) for golden in GOLDEN}
    assert set(Shape) - told == {Shape.OPENAI_EMBEDDINGS, Shape.XAI_CHAT, Shape.ANTHROPIC, Shape.COHERE_TOKENS} - told


@pytest.mark.parametrize(
    ("body", "per_million", "cost_usd"),
    [
        (
            chat(2006, 300, cached=1920),
            {"cache_read_tokens": "1.25", "input_tokens": "2.50", "output_tokens": "10"},
            "0.005615",
        ),
        (
            chat(262_960, 1744, cached=257_955),
            {"cache_read_tokens": "0.625", "input_tokens": "1.25", "output_tokens": "10"},
            "0.184918",
        ),
        (
            {
                "input_tokens": 3,
                "cache_creation_input_tokens": 12_304,
                "cache_read_input_tokens": 0,
                "output_tokens": 550,
            },
            {"input_tokens": "3", "cache_write_tokens": "3.75", "cache_read_tokens": "0.30", "output_tokens": "15"},
            "0.054399",
        ),
        (
            {
                "usageMetadata": {
                    "promptTokenCount": 324,
                    "candidatesTokenCount": 1364,
                    "thoughtsTokenCount": 495,
                    "totalTokenCount": 2183,
                }
            },
            {"input_tokens": "2", "output_tokens": "12", "output_reasoning_tokens": "12"},
            "0.022956",
        ),
    ],
)
def test_no_token_is_billed_twice(body, per_million, cost_usd):
    """Each leaf times its price: the golden bills of public bug reports (six digits)."""
    cost = sum(Decimal(per_million[key]) * count for key, count in leaves(usage_of(body)).items()) / 1_000_000
    assert round(cost, 6) == Decimal(cost_usd)


def test_reasoning_inside_completion_adds_nothing():
    thinking = leaves(usage_of(chat(10, 500, reasoning=400, total=510)))
    assert sum(thinking.values()) == sum(leaves(usage_of(chat(10, 500))).values()) == 510


def test_an_explicit_zero_stays_zero_and_a_missing_value_is_unknown():
    said = usage_of(chat(0, 0, cached=0, reasoning=0))
    assert (said.input_uncached, said.input_cache_read, said.output, said.reasoning) == (0, 0, 0, 0)
    assert reported(said) == {
        "input_tokens": 0,
        "cache_read_tokens": 0,
        "output_tokens": 0,
        "output_reasoning_tokens": 0,
    }
    silent = usage_of({"usage": {"completion_tokens": 0}})
    assert (silent.input, silent.input_cache_read, silent.output, silent.reasoning) == (None, None, 0, None)
    assert reported(silent) == {"output_tokens": 0}
    assert not silent.complete


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"error": {"message": "overloaded"}},
        {"usage": None},
        {"usage": {}},
        {"usage": {"prompt_tokens": None, "completion_tokens": None}},
        {"choices": [{"delta": {"content": "a"}}]},
        {"model": "llama3", "message": {"content": "a"}, "done": False},
        {"tokens": [1, 2, 3]},
    ],
)
def test_a_body_without_usage_is_unknown_and_never_zero(body):
    assert usage_of(body) == Usage()
    assert reported(usage_of(body)) == leaves(usage_of(body)) == {}


def test_a_whole_is_raised_to_its_parts_and_no_count_is_lost():
    usage = usage_of(chat(100, 10, cached=150, total=110))
    assert (usage.input_uncached, usage.input_cache_read, usage.input, usage.complete) == (0, 150, 150, False)
    details = {"text_tokens": 4, "image_tokens": 6}
    usage = usage_of({"input_tokens": 5, "output_tokens": 5, "total_tokens": 10, "input_tokens_details": details})
    assert (usage.input, usage.complete, sum(leaves(usage).values())) == (10, False, 15)


def test_without_a_total_what_is_too_large_to_lie_inside_lies_beside():
    usage = usage_of(chat(3, 9, cached=12_304, reasoning=94))
    assert (usage.input_uncached, usage.input, usage.output, usage.complete) == (3, 12_307, 103, False)


def test_a_named_shape_is_taken_at_its_word():
    body = chat(32, 9, reasoning=94, total=135)
    assert usage_of(body, shape=Shape.XAI_CHAT).output == 103
    literal = usage_of(body, shape="openai-chat")
    assert (literal.output, literal.complete) == (94, False)
    assert usage_of(chat(8, 3), shape=Shape.OPENAI_EMBEDDINGS).output == 0
    assert usage_of({"usage": {"input_tokens": 5, "output_tokens": 2}}, shape=Shape.OPENAI_CHAT) == Usage()


def test_a_total_that_no_reading_adds_up_to_is_kept_as_a_doubt():
    usage = usage_of(chat(10, 5, total=12))
    assert (usage.input, usage.output, usage.complete) == (10, 5, False)


def test_tokens_of_another_model_make_a_body_incomplete():
    advised = {
        "input_tokens": 2390,
        "output_tokens": 121,
        "iterations": [
            {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 2518, "output_tokens": 22}
        ],
    }
    usage = usage_of(advised)
    assert (usage.input, usage.output, usage.complete) == (2390, 121, False)


def test_who_counted_is_kept():
    assert usage_of(chat(1, 1)).counted_by is CountedBy.PROVIDER
    assert usage_of({"eval_count": 3}).counted_by is CountedBy.ENGINE
    assert usage_of({}).counted_by is CountedBy.UNKNOWN


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"usage": {"prompt_tokens": -3}}, r"'prompt_tokens' holds -3; allowed: a number from 0"),
        ({"usage": {"prompt_tokens": "12"}}, r"holds '12'"),
        ({"usage": {"prompt_tokens": True}}, r"holds True"),
        ({"usage": {"prompt_tokens": float("nan")}}, r"holds nan"),
        ({"usage": {"prompt_tokens": 1e300}}, r"holds 1e\+300"),
        ({"usage": {"prompt_tokens": 1.5}}, r"1.5; allowed: a whole number of tokens"),
        ({"usage": {"prompt_tokens": 5, "prompt_tokens_details": [1]}}, r"holds \[1\]; allowed: an object"),
        ({"usageMetadata": {"promptTokenCount": 1, "promptTokensDetails": {"TEXT": 1}}}, r"allowed: a list"),
        ({"usage": "none"}, r"'usage' holds 'none'; allowed: an object"),
        ({"usage": {"tokens_in": 5}}, r"unknown shape with the fields tokens_in; known shapes: gemini, bedrock"),
        ([1], r"list; allowed: an object"),
    ],
)
def test_damage_is_named_in_one_sentence(body, said):
    with pytest.raises(InputError, match=said):
        usage_of(body)


def test_an_unknown_shape_is_named_with_the_nearest():
    with pytest.raises(InputError, match="unknown usage shape 'anthropc'; did you mean 'anthropic'"):
        usage_of({}, shape="anthropc")


def test_whole_floats_are_counts():
    usage = usage_of({"usage": {"prompt_tokens": 5.0, "completion_tokens": 2.0}})
    assert (usage.input, usage.output) == (5, 2)
    assert all(isinstance(value, int) for value in reported(usage).values())
