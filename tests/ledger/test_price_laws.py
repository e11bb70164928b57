"""Laws of prices that hold for every usage."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from cput.ledger.price import PriceBook, avoided_charge, hosted
from cput.ledger.price.fx import Exchange
from cput.ledger.price.model import parse_models
from cput.records import Attempt, Charge, CountedBy, Finish, Usage

AT = datetime(2026, 11, 1, tzinfo=UTC)
COUNTS = st.integers(min_value=0, max_value=400_000)
HEAD = '[[model]]\nmodel = "m"\nvalid_from = 2026-01-01\nterms = "t"\nsource = "s"\n'
CENTS = st.decimals(min_value="0.01", max_value=30, places=2)


@st.composite
def usages(draw) -> Usage:
    output = draw(COUNTS)
    return Usage(
        input_uncached=draw(COUNTS),
        input_cache_read=draw(COUNTS),
        input_cache_write=draw(COUNTS),
        output=output,
        reasoning=draw(st.integers(min_value=0, max_value=output)),
        complete=True,
        counted_by=CountedBy.PROVIDER,
    )


@st.composite
def prices(draw) -> tuple[PriceBook, bool]:
    """A book of one model, and whether a cached token costs at most what an uncached one does, in each tier."""
    base = {key: draw(CENTS) for key in ("input", "cache_read", "cache_write", "output")}
    upper = {key: draw(CENTS) for key in base}
    tier = f"[[model.tier]]\n{draw(st.sampled_from(['above', 'from']))} = {draw(st.integers(1, 900_000))}\n"
    text = HEAD + _written(base) + tier + _written(upper)
    cheap = all(each["cache_read"] <= each["input"] for each in (base, upper))
    return PriceBook([parse_models(text, "f", Exchange())], hosted_models=False), cheap


def _written(rates: dict[str, Decimal]) -> str:
    return "".join(f'{key} = "{rate}"\n' for key, rate in rates.items())


@given(prices(), usages())
def test_the_lines_add_up_to_the_price_and_their_tokens_to_the_usage(priced, usage):
    found = priced[0].price(usage, model="m", at=AT)
    assert sum(line.usd for line in found.lines) == found.usd
    assert sum(line.amount for line in found.lines) == (usage.input or 0) + (usage.output or 0)
    assert all(line.amount > 0 and line.usd >= 0 for line in found.lines)


@given(prices(), usages(), st.integers(min_value=0, max_value=400_000))
def test_a_hotter_cache_never_costs_more_where_a_cached_token_is_not_the_dearer_one(priced, usage, more):
    book, cheap = priced
    assert usage.input_uncached is not None
    assert usage.input_cache_read is not None
    moved = min(more, usage.input_uncached)
    hotter = replace(
        usage, input_uncached=usage.input_uncached - moved, input_cache_read=usage.input_cache_read + moved
    )
    before, after = (book.price(each, model="m", at=AT).usd for each in (usage, hotter))
    assert before is not None
    assert after is not None
    if cheap:
        assert after <= before
    assert hotter.input == usage.input


@given(prices(), usages())
def test_one_more_output_token_costs_no_less(priced, usage):
    longer = replace(usage, output=(usage.output or 0) + 1)
    assert priced[0].price(longer, model="m", at=AT).usd >= priced[0].price(usage, model="m", at=AT).usd


ATTEMPTS = st.lists(
    st.tuples(
        usages(),
        st.sampled_from([("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro")]),
        st.sampled_from("abc"),
    ),
    min_size=1,
    max_size=12,
)


@given(ATTEMPTS)
@settings(deadline=None)  # the first example loads genai-prices
def test_charges_add_up_whatever_the_grouping(drawn):
    book = PriceBook()
    charges: list[tuple[tuple[str, ...], Charge]] = []
    for seq, (usage, (provider, model), workload) in enumerate(drawn):
        attempt = Attempt(
            call_id="c",
            seq=seq,
            engine="e",
            model=model,
            provider=provider,
            usage=usage,
            started_s=AT.timestamp(),
            finish=Finish.STOP,
        )
        charge = book.charge(attempt)
        assert charge is not None
        assert charge.incremental_nano_usd is not None
        charges.append(((provider, model, workload), charge))
    total = sum(charge.incremental_nano_usd or 0 for _, charge in charges)
    exact = sum(
        book.price(usage, model=model, provider=provider, at=AT).usd or 0 for usage, (provider, model), _ in drawn
    )
    assert abs(total - exact * 10**9) <= Decimal("0.5") * len(drawn)
    for keys in ((0,), (1,), (2,), (0, 2), (0, 1, 2)):
        groups: defaultdict[tuple[str, ...], int] = defaultdict(int)
        for names, charge in charges:
            groups[tuple(names[key] for key in keys)] += charge.incremental_nano_usd or 0
        assert sum(groups.values()) == total


@given(st.one_of(st.none(), st.integers(min_value=0, max_value=10**15)), st.integers(min_value=0, max_value=10**9))
def test_a_cache_hit_costs_its_look_up_and_avoids_what_the_original_cost(cost, lookup):
    original = Charge(call_id="a", seq=0, incremental_nano_usd=cost, price_version="v", basis="usage")
    hit = avoided_charge("b", 1, original, lookup_nano_usd=lookup)
    assert (hit.call_id, hit.seq, hit.incremental_nano_usd, hit.basis) == ("b", 1, lookup, "flat")
    assert (hit.avoided_nano_usd, hit.price_version) == (
        (0, "avoided unpriced") if cost is None else (cost, "avoided v")
    )


def test_a_plain_usage_costs_the_same_by_the_short_way_at_every_hosted_model():
    counts = [(0, 0), (1, 0), (0, 7), (86, 300), (200_001, 3), (400_000, 400_000)]
    usages = [Usage(input_uncached=asked, output=said, complete=True) for asked, said in counts]
    short = 0
    for found in hosted.every():
        card = found.card(AT, None)
        short += card.plain is not None
        for usage in usages:
            assert card.bill(usage) == replace(card, plain=None).bill(usage), (found.name, usage)
    assert short > 500
