"""1,577 recorded bodies, read as each of genai-prices' extractors reads them (see data/SOURCE.md).

Ours and theirs agree on every total but two kinds of body (docs/design/usage.md lists them); elsewhere ours may only
name finer classes that an extractor leaves out. Both lists are held here.
"""

import gzip
import json
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import genai_prices
import pytest
from genai_prices.units import UnitRegistry

from cput.ledger.usage import Shape, leaves, reported, usage_of
from cput.ledger.usage.lattice import KEYS

BODIES, PAIRS = 1577, 19_321
SHAPES = {
    "anthropic/default": Shape.ANTHROPIC,
    "minimax/default": Shape.ANTHROPIC,
    "aws/default": Shape.BEDROCK,
    "google/default": Shape.GEMINI,
    "cohere/default": Shape.COHERE,
    "cohere/embeddings": Shape.COHERE,
    "cohere/tokens": Shape.COHERE_TOKENS,
    "perplexity/default": Shape.PERPLEXITY,
    "x-ai/default": Shape.XAI_CHAT,
    "x-ai/chat": Shape.XAI_CHAT,
    "groq/default": Shape.OPENAI_CHAT,
    "mistral/default": Shape.OPENAI_CHAT,
}
FLAVOURS = {
    "anthropic": Shape.ANTHROPIC,
    "chat": Shape.OPENAI_CHAT,
    "responses": Shape.OPENAI_RESPONSES,
    "embeddings": Shape.OPENAI_EMBEDDINGS,
}
ANTHROPIC_DOORS = {"aws/anthropic", "azure/anthropic", "google/anthropic", "minimax/default"}
PLAIN_CHATS = {"anthropic/chat", "cerebras/chat"}
"""Extractors that read no details of the prompt."""
NO_WRITE_CHATS = PLAIN_CHATS | {
    "azure/chat", "deepseek/chat", "fireworks/chat", "google/chat", "groq/default", "minimax/chat", "mistral/default",
    "moonshotai/chat", "x-ai/chat", "zai/chat", "zhipuai/chat",
}  # fmt: skip
NO_AUDIO_CHATS = PLAIN_CHATS | {
    "deepseek/chat", "doubleword/chat", "fireworks/chat", "minimax/chat", "mistral/default", "modal/chat",
    "moonshotai/chat", "x-ai/chat", "zai/chat", "zhipuai/chat",
}  # fmt: skip
NOT_READ = {
    "cache_read_tokens": PLAIN_CHATS,
    "cache_write_tokens": NO_WRITE_CHATS | {"azure/responses", "doubleword/responses", "minimax/responses"},
    "cache_write_5m_tokens": ANTHROPIC_DOORS | {"aws/default"},
    "input_audio_tokens": NO_AUDIO_CHATS,
    "output_reasoning_tokens": ANTHROPIC_DOORS | {"doubleword/responses", "minimax/responses", "modal/chat"},
    "web_searches": ANTHROPIC_DOORS,
}
"""Class to the extractors that leave it out although their bodies have it."""
NO_CHAT_READS = {"input_text_tokens", "output_text_tokens", "input_video_tokens"}
"""Classes of chat details that no extractor reads."""


@cache
def bodies():
    path = Path(__file__).parent / "data" / "genai_prices_usages.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def differences():
    """Yield (body, flavour, class, theirs, ours) for every class that differs, zeros aside; count the pairs."""
    pairs = 0
    for entry in bodies():
        body = entry["body"]
        ours = {}
        for reading in entry["extracted"]:
            theirs = Counter(reading["usage"])
            for extractor in reading["extractors"]:
                pairs += 1
                flavour = f"{extractor['provider_id']}/{extractor['api_flavor']}"
                shape = SHAPES.get(flavour) or FLAVOURS[extractor["api_flavor"]]
                if shape not in ours:
                    ours[shape] = Counter(reported(usage_of(body, shape=shape)))
                for key in theirs | ours[shape]:
                    if theirs[key] != ours[shape][key]:
                        yield body, flavour, key, theirs[key], ours[shape][key]
    assert pairs == PAIRS


def reason(body, flavour, key):
    """Return why ours and theirs differ; these are the rows of the design page's table."""
    usage = body.get("usage", {})
    if any(item["type"] == "compaction" for item in usage.get("iterations", [])):
        return "compaction"
    if flavour == "x-ai/default":
        return "x-ai/default"
    if "promptTokenDetails" in body.get("usageMetadata", {}):
        return "gemini embeddings"
    if key == "cache_read_tokens" and "num_cached_tokens" in usage:
        return "num_cached_tokens"
    if key in NO_CHAT_READS and "prompt_tokens" in usage:
        return "chat modalities"
    if flavour in NOT_READ.get(key, ()):
        return "class not read"
    return f"unexplained: {flavour} {key}"


def test_every_difference_has_its_reason():
    found = Counter(reason(body, flavour, key) for body, flavour, key, _, _ in differences())
    assert found == {
        "compaction": 5 * 4 + 5 * 2,
        "x-ai/default": 198,
        "gemini embeddings": 11,
        "num_cached_tokens": 29 * 29,
        "chat modalities": 145,
        "class not read": 550,
    }


def test_every_reason_is_needed():
    """The tables above name no extractor that in truth reads the class."""
    seen = defaultdict(set)
    for body, flavour, key, _, _ in differences():
        if reason(body, flavour, key) == "class not read":
            seen[key].add(flavour)
    assert seen == NOT_READ


def test_ours_never_counts_less_and_totals_differ_only_where_tokens_were_left_out():
    totals = set()
    for body, flavour, key, theirs, ours in differences():
        assert ours > theirs, (body, flavour, key)
        if key in {"input_tokens", "output_tokens"}:
            totals.add(reason(body, flavour, key))
    assert totals == {"compaction", "x-ai/default"}


def test_a_price_differs_only_where_an_extractor_leaves_a_billed_class_out():
    """Priced with one price list, so that only the reading can differ (the recorded prices have aged since)."""
    reasons, priced = set(), 0
    for entry in bodies():
        for reading in entry["extracted"]:
            for extractor in reading["extractors"]:
                if "input_price" not in extractor:
                    continue
                flavour = f"{extractor['provider_id']}/{extractor['api_flavor']}"
                shape = SHAPES.get(flavour) or FLAVOURS[extractor["api_flavor"]]
                ours = reported(usage_of(entry["body"], shape=shape))
                bills = [bill(usage, entry["model"], extractor["provider_id"]) for usage in (ours, reading["usage"])]
                priced += 1
                if bills[0] != bills[1]:
                    extra = [key for key in ours if ours[key] != reading["usage"].get(key, 0)]
                    reasons |= {reason(entry["body"], flavour, key) for key in extra}
    assert priced > 3000
    assert reasons <= {"compaction", "num_cached_tokens", "class not read"}


def bill(usage, model, provider):
    price = genai_prices.calc_price(genai_prices.Usage(**usage), model_ref=model, provider_id=provider)
    return price.input_price, price.output_price


def test_told_shapes_read_as_named_ones_but_where_the_total_overrules():
    """With no shape named, Gemini's OpenAI door shows its hidden thoughts; nothing else changes."""
    changed = []
    for entry in bodies():
        told = reported(usage_of(entry["body"]))
        read = [Counter(reading["usage"]) for reading in entry["extracted"]]
        if not any(
            all(Counter(told)[key] == usage[key] for key in ("input_tokens", "output_tokens")) for usage in read
        ):
            changed.append(entry["body"]["usage"])
    hidden = [usage for usage in changed if "iterations" not in usage]
    assert [(usage["prompt_tokens"], usage["total_tokens"]) for usage in hidden] == [(35, 109), (66, 100)]
    assert len(changed) == 4


def test_every_body_is_complete_but_where_something_is_missing_or_billed_elsewhere():
    incomplete = Counter()
    for entry in bodies():
        body = entry["body"]
        if not usage_of(body).complete:
            usage = body.get("usage", {})
            advised = any(item["type"] == "advisor_message" for item in usage.get("iterations", []))
            incomplete["advised" if advised else "hidden" if "total_tokens" in usage else "no output"] += 1
    assert incomplete == {"advised": 3, "hidden": 2, "no output": 15}


def test_leaves_of_every_body_sum_to_its_total():
    for entry in bodies():
        usage = usage_of(entry["body"])
        split = leaves(usage)
        assert all(value > 0 for value in split.values())
        assert sum(split.values()) == (usage.input or 0) + (usage.output or 0), entry


def test_the_lattice_is_the_one_that_prices_are_quoted_for():
    from genai_prices.data_units import unit_data

    registry = UnitRegistry(unit_data)
    tokens = {key for key, unit in registry.units.items() if unit.dimensions["family"] == "tokens"}
    assert {key for keys in KEYS.values() for key in keys.values()} == tokens
    for direction, keys in KEYS.items():
        for (row, column), key in keys.items():
            dimensions = registry.units[key].dimensions
            assert (dimensions["direction"], dimensions.get("modality", "")) == (direction, column)
            held = {keys[cell] for cell in ((row, ""), ("", column), ("", "")) if cell != (row, column)}
            assert held <= registry.ancestor_usage_keys(key)


@pytest.mark.parametrize("entry", bodies()[::50], ids=lambda entry: entry["body"]["file"][-40:])
def test_what_is_reported_is_usage_that_genai_prices_takes(entry):
    found = reported(usage_of(entry["body"]))
    taken = genai_prices.Usage(**found)
    assert all(getattr(taken, key) == value for key, value in found.items())
