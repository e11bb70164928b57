"""The intervals cover what they claim, also with few useful calls and skewed lengths."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cput.errors import InputError
from cput.ledger.interval import ratio_interval, share_interval


def draw(rng, calls, useful_rate, sigma, by_length):
    """Log-normal lengths around 100 tokens; cost grows with length; long answers may fail more often."""
    lengths = np.ceil(np.exp(rng.normal(0, sigma, calls)) * 100)
    chance = np.clip(useful_rate * (lengths / 100) ** by_length / np.exp((sigma * by_length) ** 2 / 2), 0, 1)
    costs = 18 + lengths * np.exp(rng.normal(0, 0.2, calls))
    return costs, np.where(rng.random(calls) < chance, lengths, 0.0)


@pytest.mark.parametrize(
    ("calls", "useful_rate", "sigma", "by_length", "trials"),
    [
        (50, 0.05, 0.6, 0.0, 400),
        (50, 0.1, 1.0, 0.0, 400),
        (50, 0.2, 1.0, -0.5, 400),
        (100, 0.05, 1.0, -0.5, 300),
        (100, 0.2, 0.6, 0.0, 300),
        (500, 0.05, 1.0, 0.0, 200),
        (500, 0.2, 1.0, -0.5, 200),
    ],
)
def test_the_95_percent_interval_covers_the_truth_at_least_93_percent_of_the_time(
    calls, useful_rate, sigma, by_length, trials
):
    costs, tokens = draw(np.random.default_rng(5), 1_000_000, useful_rate, sigma, by_length)
    truth = costs.mean() / tokens.mean()
    rng = np.random.default_rng(11)
    covered = total = 0
    for trial in range(trials):
        costs, tokens = draw(rng, calls, useful_rate, sigma, by_length)
        if not tokens.any():
            continue  # no value and no upper bound: says nothing, and is not counted as a success
        found = ratio_interval([costs], [tokens], useful=int((tokens > 0).sum()), seed=trial, resamples=400)
        covered += found.low <= truth <= found.high
        total += 1
    assert total > 0.85 * trials
    assert covered / total >= 0.93


def test_the_interval_is_not_needlessly_wide_with_many_calls():
    costs, tokens = draw(np.random.default_rng(1), 4000, 0.5, 0.6, 0.0)
    found = ratio_interval([costs], [tokens], useful=int((tokens > 0).sum()), seed=0, resamples=1000)
    assert 1.05 < found.high / found.low < 1.12  # the normal theory's width is 1.085 here


def test_with_very_many_calls_the_resampled_and_the_delta_interval_agree():
    costs, tokens = draw(np.random.default_rng(1), 5000, 0.5, 0.6, 0.0)
    useful = int((tokens > 0).sum())
    resampled = ratio_interval([costs], [tokens], useful=useful, seed=0, resamples=2000)
    delta = ratio_interval([np.tile(costs, 2)], [np.tile(tokens, 2)], useful=2 * useful, seed=0, resamples=2000)
    assert delta.value == pytest.approx(resampled.value)
    assert math.log(delta.high / delta.value) * math.sqrt(2) == pytest.approx(
        math.log(resampled.high / resampled.value), rel=0.08
    )


@pytest.mark.parametrize(("useful", "bounded"), [(1, False), (3, False), (5, True), (50, True)])
def test_high_is_infinite_where_resamples_miss_every_useful_call(useful, bounded):
    tokens = np.zeros(100)
    tokens[:useful] = 100.0
    found = ratio_interval([np.linspace(1, 2, 100)], [tokens], useful=useful, seed=0, resamples=2000)
    assert math.isfinite(found.high) == bounded
    assert 0 < found.low < found.value < found.high


def test_calls_that_are_all_alike_leave_no_doubt():
    found = ratio_interval([np.full(20, 2.0)], [np.full(20, 4.0)], useful=20, seed=0, resamples=200)
    assert found == pytest.approx((0.5, 0.5, 0.5))


def test_one_call_bounds_nothing():
    assert ratio_interval([np.array([2.0])], [np.array([4.0])], useful=1, seed=0, resamples=10) == (0.5, 0.0, math.inf)


def test_the_same_seed_gives_the_same_interval():
    costs, tokens = draw(np.random.default_rng(1), 60, 0.3, 0.6, 0.0)
    first, second, third = (
        ratio_interval([costs], [tokens], useful=int((tokens > 0).sum()), seed=seed, resamples=300)
        for seed in (1, 1, 2)
    )
    assert first == second
    assert first != third


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    money=st.floats(1e-9, 1e6),
    calls=st.integers(5, 60),
)
def test_the_interval_scales_with_the_unit_of_money(seed, money, calls):
    costs, tokens = draw(np.random.default_rng(seed), calls, 0.9, 0.6, 0.0)
    useful = int((tokens > 0).sum())
    plain = ratio_interval([costs], [tokens], useful=useful, seed=0, resamples=100)
    scaled = ratio_interval([costs * money], [tokens], useful=useful, seed=0, resamples=100)
    assert scaled == pytest.approx([bound * money for bound in plain], rel=1e-6)


@given(trials=st.integers(1, 2000), share=st.floats(0, 1))
def test_a_shares_bounds_are_where_the_binomial_tails_are_2_5_percent(trials, share):
    successes = round(trials * share)
    value, low, high = share_interval(successes, trials)
    assert value == successes / trials
    if successes:
        assert stats.binom.sf(successes - 1, trials, low) == pytest.approx(0.025, rel=1e-6)
    else:
        assert low == 0.0
    if successes < trials:
        assert stats.binom.cdf(successes, trials, high) == pytest.approx(0.025, rel=1e-6)
    else:
        assert high == 1.0


def test_a_share_of_nothing_is_unknown_and_nonsense_is_refused():
    assert share_interval(0, 0) == (None, None, None)
    with pytest.raises(InputError, match="3 successes of 2 trials"):
        share_interval(3, 2)
