"""Sums alone give what the facts give."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.ledger.cput import Fact, cost_per_useful_answer, coverage, cput, useful_rate
from cput.ledger.moments import (
    NO_CALLS,
    Moments,
    cost_per_useful_answer_of,
    coverage_of,
    cput_of,
    moments_of,
    useful_rate_of,
)
from cput.records import Verdict


def fact(cost=1.0, tokens=10, verdict=Verdict.USEFUL, output=None) -> Fact:
    useful = {Verdict.USEFUL: tokens, Verdict.USELESS: 0, Verdict.PENDING: None}[verdict]
    output = (tokens or 0) + 2 if output is None else output
    return Fact(id="c", cost=cost, output_tokens=output, useful_tokens=useful, verdict=verdict)


def drawn(calls, useful_rate=0.5, seed=0, unit=1.0) -> list[Fact]:
    rng = np.random.default_rng(seed)
    tokens = np.ceil(np.exp(rng.normal(0, 0.6, calls)) * 100).astype(int)
    kinds = rng.choice(
        [Verdict.USEFUL, Verdict.USELESS, Verdict.PENDING], calls, p=[useful_rate, 0.9 - useful_rate, 0.1]
    )
    costs = (18 + tokens) * rng.uniform(0.8, 1.2, calls) * unit
    return [fact(float(c), int(t), Verdict(v)) for c, t, v in zip(costs, tokens, kinds, strict=True)]


facts_lists = st.lists(
    st.builds(fact, st.floats(0, 100) | st.none(), st.integers(0, 500) | st.none(), st.sampled_from(list(Verdict))),
    max_size=30,
)


@given(one=facts_lists, other=facts_lists)
def test_merging_groups_gives_the_sums_of_all_their_calls(one, other):
    merged, whole = moments_of(one) + moments_of(other), moments_of([*one, *other])
    counts = ("n", "judged", "useful", "useful_tokens", "output_tokens", "unpriced", "uncounted")
    assert [getattr(merged, name) for name in counts] == [getattr(whole, name) for name in counts]
    for name in ("cost", "cost2", "useful_tokens2", "cross", "useful_cost"):
        assert getattr(merged, name) == pytest.approx(getattr(whole, name))


def test_merging_keeps_what_is_unknown_unknown():
    known = moments_of([fact()])
    assert (known + Moments(1, 1, 1, 1, 10, 1, 100, 10, None, 0)).output_tokens is None
    assert (known + Moments(1, 1, 1, 1, 10, 1, 100, 10, 12, 0)).useful_cost is None
    assert known + NO_CALLS == known


@pytest.mark.parametrize("useful_rate_", [0.5, 0.002])
def test_above_5000_calls_the_sums_give_the_metrics_own_interval(useful_rate_):
    facts = drawn(6000, useful_rate_)
    assert cput_of(moments_of(facts)) == pytest.approx(cput(facts), rel=1e-9)
    assert cost_per_useful_answer_of(moments_of(facts)) == pytest.approx(cost_per_useful_answer(facts), rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), calls=st.integers(20, 200))
def test_below_it_the_metrics_own_interval_is_the_wider_one(seed, calls):
    facts = drawn(calls, 0.5, seed)
    ours, sums = cput(facts, resamples=200), cput_of(moments_of(facts))
    assert sums.value == pytest.approx(ours.value)
    assert ours.low <= sums.low * (1 + 1e-9)
    assert ours.high >= sums.high * (1 - 1e-9)


@settings(max_examples=50, deadline=None)
@given(facts=facts_lists)
def test_the_values_coverage_and_useful_rate_are_those_of_the_facts(facts):
    sums = moments_of(facts)
    assert coverage_of(sums) == coverage(facts)
    assert useful_rate_of(sums) == useful_rate(facts)
    for of_sums, of_facts in ((cput_of, cput), (cost_per_useful_answer_of, cost_per_useful_answer)):
        assert of_sums(sums).value == pytest.approx(of_facts(facts, resamples=20).value)


def test_a_cost_whose_square_is_too_small_for_a_float_is_still_a_cost():
    facts = [fact(cost=4e-298), fact(cost=4e-298)]
    assert cost_per_useful_answer_of(moments_of(facts)).value == pytest.approx(4e-298)


def test_without_a_useful_call_the_sums_give_the_same_lower_bound():
    facts = [fact(verdict=Verdict.USELESS) for _ in range(20)]
    assert cput_of(moments_of(facts)) == pytest.approx(cput(facts))
    assert cost_per_useful_answer_of(moments_of(facts)) == pytest.approx(cost_per_useful_answer(facts))
    pending = [fact(verdict=Verdict.PENDING)]
    assert cput_of(moments_of(pending)) == (None, None, math.inf)


def test_an_unpriced_call_or_an_uncounted_answer_makes_it_unknown_and_not_zero():
    unpriced, uncounted = moments_of([fact(), fact(cost=None)]), moments_of([fact(), fact(tokens=None)])
    assert (unpriced.unpriced, uncounted.uncounted) == (1, 1)
    assert cput_of(unpriced) == cost_per_useful_answer_of(unpriced) == cput_of(uncounted) == (None, None, None)
    assert cost_per_useful_answer_of(uncounted).value == 1.0
    assert cput_of(NO_CALLS) == (None, None, None)


def test_without_the_useful_calls_own_cost_the_interval_is_wider_and_never_narrower():
    facts = drawn(1000)
    sums = moments_of(facts)
    without = Moments(*(getattr(sums, name) for name in Moments.__slots__[:10]))
    assert without.useful_cost is None
    exact, loose = cost_per_useful_answer_of(sums), cost_per_useful_answer_of(without)
    assert loose.low < exact.low < exact.high < loose.high


def test_integer_nano_dollars_stay_exact_and_scale_the_interval():
    dollars = drawn(300, unit=1e-6)
    sums = moments_of(dollars)
    nano = sum(
        (moments_of([fact(round(f.cost * 1e9), f.useful_tokens, f.verdict, f.output_tokens)]) for f in dollars),
        NO_CALLS,
    )
    assert isinstance(nano.cost, int)
    assert cput_of(nano) == pytest.approx([bound * 1e9 for bound in cput_of(sums)], rel=1e-4)


def test_calls_that_are_all_alike_leave_no_doubt_and_one_call_bounds_nothing():
    assert cput_of(moments_of([fact(0.1, 7)] * 20)) == pytest.approx((0.1 / 7,) * 3)
    assert cput_of(moments_of([fact(2.0, 4)])) == (0.5, 0.0, math.inf)
    assert cput_of(moments_of([fact(0.0, 4)] * 3)) == (0.0, 0.0, 0.0)
