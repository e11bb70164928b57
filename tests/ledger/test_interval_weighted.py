"""Weighted calls are worth fewer equally weighted ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cput.ledger.interval import ratio_interval, share_interval
from cput.ledger.weighted import kish, told_by, weighted_cost_interval, weighted_share_interval


@given(hits=st.integers(2, 100), misses=st.integers(2, 100), weight=st.floats(1e-3, 1e3))
def test_equal_weights_give_jeffreys_interval_within_the_exact_one(hits, misses, weight):
    hit = np.array([1.0] * hits + [0.0] * misses)
    value, low, high = weighted_share_interval(np.full(len(hit), weight), hit)
    assert value == pytest.approx(hits / len(hit))
    posterior = stats.beta(hits + 0.5, misses + 0.5)
    assert (low, high) == pytest.approx((posterior.ppf(0.025), posterior.ppf(0.975)))
    exact = share_interval(hits, len(hit))
    assert exact.low < low < high < exact.high


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (0, 20), (1, 20), (20, 20), (19, 20)])
def test_at_the_edge_the_bound_is_the_exact_one(hits, trials):
    found = weighted_share_interval(np.ones(trials), np.arange(trials) < hits)
    exact = share_interval(hits, trials)
    if hits <= 1:
        assert found.low == pytest.approx(exact.low)
    if hits == 0:
        assert found.high == pytest.approx(exact.high)
    if trials - hits <= 1:
        assert found.high == pytest.approx(exact.high)


@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=30), data=st.data())
def test_a_shares_interval_holds_it_and_mirrors(weights, data):
    hit = np.array(data.draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights))), dtype=float)
    value, low, high = weighted_share_interval(np.array(weights), hit)
    mirrored = weighted_share_interval(np.array(weights), 1 - hit)
    assert 0 <= low <= value + 1e-12
    assert value - 1e-12 <= high <= 1
    assert mirrored == pytest.approx((1 - value, 1 - high, 1 - low), abs=1e-9)


def test_unequal_weights_widen():
    hit = np.arange(40) % 2 == 0
    even = weighted_share_interval(np.ones(40), hit.astype(float))
    uneven = weighted_share_interval(np.where(np.arange(40) < 20, 1.0, 9.0), hit.astype(float))
    assert uneven.value == even.value
    assert uneven.low < even.low < even.high < uneven.high


@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=30))
def test_no_weights_are_worth_more_calls_than_there_are(weights):
    assert 1 - 1e-9 <= kish(np.array(weights)) <= len(weights) + 1e-9
    assert 1 <= told_by(np.array(weights)) <= kish(np.array(weights)) + 1e-6
    assert (kish(np.zeros(3)), told_by(np.zeros(3))) == (0.0, 1)


@given(calls=st.integers(1, 50), weight=st.floats(1e-200, 1e200))
def test_equal_weights_are_worth_the_calls_there_are(calls, weight):
    assert told_by(np.full(calls, weight)) == calls


def cost(weight, costs, gained, possible=None):
    columns = [np.array(column, dtype=float) for column in (weight, costs, gained, possible or gained)]
    weight, costs, gained, possible = columns
    return weighted_cost_interval(weight, costs, gained, possible=possible, seed=0, resamples=200)


def test_equal_weights_give_the_plain_interval_of_the_ratio():
    costs, gained = np.linspace(1, 2, 30), np.arange(30) % 3 * 10.0
    plain = ratio_interval([costs], [gained], useful=20, seed=0, resamples=200)
    assert cost(np.full(30, 7.0), costs, gained.tolist()) == pytest.approx(plain)


def test_a_weight_of_two_counts_as_two_calls_in_the_value():
    assert cost([2, 1], [3, 1], [10, 0]).value == pytest.approx(7 / 20)


def test_without_gain_or_cost_or_knowledge():
    assert cost([1, 1], [1, 1], [0, 0], [10, 10]) == pytest.approx((None, 2 / (20 * (1 - math.sqrt(0.025))), math.inf))
    assert cost([1, 1], [1, 1], [0, 0], [10, math.nan]) == (None, None, math.inf)
    assert cost([1, 1], [0, 0], [5, 0]) == (0.0, 0.0, 0.0)
    assert cost([1, 1], [math.nan, 0], [5, 0]) == (None, None, None)
    assert cost([1, 1], [1, 0], [math.nan, 0]) == (None, None, None)
    assert cost([], [], []) == (None, None, None)
