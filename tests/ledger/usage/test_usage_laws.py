"""Laws of the token lattice and of normalising, for any counts."""

import contextlib
import doctest

import genai_prices
import pytest
from genai_prices.data_units import unit_data
from genai_prices.decompose import compute_leaf_values
from genai_prices.units import UnitRegistry
from hypothesis import given
from hypothesis import strategies as st

from cput.errors import InputError
from cput.ledger.usage import Shape, bill, lattice, leaves, merge, reported, service, usage_of
from cput.ledger.usage.lattice import KEYS, raised
from cput.ledger.usage.layouts import LAYOUTS
from cput.records import Usage

REGISTRY = UnitRegistry(unit_data)
COUNTS = st.integers(0, 10_000)
KEYS_OF = {direction: sorted(keys.values()) for direction, keys in KEYS.items()}
ALL_KEYS = sorted(key for keys in KEYS_OF.values() for key in keys)
PARTS = st.dictionaries(st.sampled_from(ALL_KEYS), COUNTS, max_size=8).map(
    lambda parts: {key: value for key, value in parts.items() if key not in CORE}
)
CORE = {"input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "output_reasoning_tokens"}
MAYBE = st.none() | COUNTS
USAGES = st.builds(
    Usage,
    input_uncached=MAYBE,
    input_cache_read=MAYBE,
    input_cache_write=MAYBE,
    output=MAYBE,
    reasoning=MAYBE,
    parts=PARTS,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def names_of(layout):
    return {
        step.name for places in layout.fields.values() for place in places for path in place.plus for step in path.steps
    }


NAMES = sorted({name for layout in LAYOUTS.values() for name in names_of(layout)} | {"usage", "total_tokens"})
BODIES = st.recursive(
    st.none() | COUNTS | st.sampled_from(["TEXT", "5m", -1, 1.5, True, "x"]),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=5) | st.lists(inner, max_size=2),
    max_leaves=15,
).filter(lambda body: isinstance(body, dict))


@given(USAGES)
def test_leaves_are_positive_and_sum_to_the_total(usage):
    split = leaves(usage)
    known = reported(usage)
    assert all(value > 0 for value in split.values())
    assert sum(split.values()) == known.get("input_tokens", 0) + known.get("output_tokens", 0)


@given(USAGES)
def test_no_leaf_is_larger_than_a_class_that_holds_it(usage):
    known, split = reported(usage), leaves(usage)
    for keys in KEYS.values():
        for (row, column), key in keys.items():
            for holder in (keys[row, ""], keys["", column]):
                if holder in known and row not in lattice.TTLS:
                    assert split.get(key, 0) <= known[holder]


@given(USAGES)
def test_leaves_add_up_to_every_reported_class_where_the_report_fits_one_table(usage):
    known, split = reported(usage), leaves(usage)
    for direction, keys in KEYS.items():
        if keys["", ""] not in known:
            continue
        for row in lattice.ROWS[direction]:
            within = [row, *(lattice.TTLS if row == "cache_write" else ())]
            if keys[row, ""] in known:
                cells = [keys[part, column] for part in within for column in lattice.COLUMNS]
                assert sum(split.get(key, 0) for key in cells) == known[keys[row, ""]]


@given(st.dictionaries(st.sampled_from(ALL_KEYS), COUNTS, max_size=10))
def test_raising_lowers_nothing_and_twice_is_once(amounts):
    mended, changed = raised(amounts)
    assert mended.keys() == amounts.keys()
    assert all(mended[key] >= value for key, value in amounts.items())
    assert changed == (mended != amounts)
    assert raised(mended) == (mended, False)


@given(USAGES, st.sets(st.sampled_from(ALL_KEYS), max_size=6))
def test_what_is_reported_can_be_priced_whatever_the_price_list_tells_apart(usage, priced):
    """genai-prices refuses a class below 0, and one whose overlap or whole is not said; nothing of that is left."""
    known = reported(usage)
    unknown = {"input_tokens", "output_tokens"} - known.keys()
    priced = closed({key for key in priced if not any(total in REGISTRY.ancestor_usage_keys(key) for total in unknown)})
    split = compute_leaf_values(priced - unknown, genai_prices.Usage(**known), REGISTRY.units)
    assert all(value >= 0 for value in split.values())
    for total in {"input_tokens", "output_tokens"} & priced - unknown:
        inside = {key for key in priced if key == total or total in REGISTRY.ancestor_usage_keys(key)}
        assert sum(split[key] for key in inside) == known[total]


def closed(priced):
    """Add the overlap of every two overlapping classes, as genai-prices wants of a price list."""
    while True:
        units = [REGISTRY.units[key] for key in priced]
        joins = {join.usage_key for a in units for b in units if (join := REGISTRY.find_join(a, b)) is not None}
        if joins <= priced:
            return priced
        priced = priced | joins


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.booleans())
def test_an_openai_body_round_trips(uncached, cached, shown, thoughts, with_total):
    body = {
        "prompt_tokens": uncached + cached,
        "completion_tokens": shown + thoughts,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }
    if with_total:
        body["total_tokens"] = uncached + cached + shown + thoughts
    usage = usage_of(body)
    assert (usage.input_uncached, usage.input_cache_read) == (uncached, cached)
    assert (usage.output, usage.reasoning, usage.complete) == (shown + thoughts, thoughts, True)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_an_anthropic_body_and_its_stream_say_the_same(uncached, read, write_5m, write_1h, output):
    usage = {
        "input_tokens": uncached,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write_5m + write_1h,
        "cache_creation": {"ephemeral_5m_input_tokens": write_5m, "ephemeral_1h_input_tokens": write_1h},
    }
    whole = usage_of({"type": "message", "usage": usage | {"output_tokens": output}})
    assert whole.input == uncached + read + write_5m + write_1h
    streamed = merge(
        [
            {"type": "message_start", "message": {"usage": usage | {"output_tokens": min(1, output)}}},
            {"type": "content_block_delta", "delta": {"text": "a"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": output}},
            {"type": "message_stop"},
        ]
    )
    assert streamed == whole
    assert whole.complete


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=5), COUNTS)
def test_merging_growing_counts_is_the_last_of_them(steps, prompt):
    """Gemini says all of it with every chunk."""
    chunks, candidates, thoughts = [], 0, 0
    for more, hidden in steps:
        candidates, thoughts = candidates + more, thoughts + hidden
        chunks.append(
            {
                "candidates": [{"content": {}}],
                "usageMetadata": {
                    "promptTokenCount": prompt,
                    "candidatesTokenCount": candidates,
                    "thoughtsTokenCount": thoughts,
                    "totalTokenCount": prompt + candidates + thoughts,
                },
            }
        )
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    assert merge(chunks) == usage_of(chunks[-1])
    assert merge([*chunks, *chunks]) == merge(chunks)
    assert not merge(chunks[:-1]).complete


@given(JSON, st.none() | st.sampled_from(list(Shape)))
def test_normalising_any_json_raises_nothing_but_input_errors(body, shape):
    with contextlib.suppress(InputError):
        assert isinstance(usage_of(body, shape=shape), Usage)


@given(BODIES, st.none() | st.sampled_from(list(Shape)))
def test_normalising_known_fields_in_any_place_raises_nothing_but_input_errors(body, shape):
    try:
        usage = usage_of(body, shape=shape)
        assert merge([body], shape=shape, ended=True).input == usage.input or "timings" in body
    except InputError:
        return
    counts = (usage.input_uncached, usage.input_cache_read, usage.input_cache_write, usage.output, usage.reasoning)
    assert all(count is None or count >= 0 for count in counts)
    assert sum(leaves(usage).values()) == (usage.input or 0) + (usage.output or 0)


@pytest.mark.parametrize("module", [bill, lattice, service])
def test_the_examples_in_the_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed
