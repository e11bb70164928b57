"""Curves, hulls and the figures that are read off them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.errors import InputError
from cput.policy.choice import choose, dial
from cput.policy.frontier import Point, aiq, cost_at, hull_of, quality_at, random_share, strong_share

POINTS = st.lists(
    st.builds(Point, st.integers(0, 1000).map(float), st.integers(0, 1000).map(lambda n: n / 1000)), min_size=1
)
SHARES = st.integers(0, 1000).map(lambda n: n / 1000)


@settings(deadline=None)
@given(POINTS)
def test_the_hull_rises_bends_down_and_no_point_lies_above_it(points):
    """Costs and qualities rise, slopes fall, and every point is on or below the hull."""
    hull = hull_of(points)
    steps = list(pairwise(hull))
    slopes = [(b.quality - a.quality) / (b.cost_usd - a.cost_usd) for a, b in steps]
    assert all(a.cost_usd < b.cost_usd and a.quality < b.quality for a, b in steps)
    assert all(first > second for first, second in pairwise(slopes))
    assert all(point.quality <= quality_at(hull, point.cost_usd) + 1e-9 for point in points)


@settings(deadline=None)
@given(POINTS, POINTS)
def test_more_points_never_lower_aiq(points, more):
    """A router that can do more is worth no less; a constant quality is its own AIQ."""
    assert aiq(points, least_usd=0, most_usd=1000) <= aiq(points + more, least_usd=0, most_usd=1000) + 1e-9
    assert aiq([Point(0, 0.7)], least_usd=0, most_usd=3) == pytest.approx(0.7)


def test_aiq_of_two_points_is_their_mean():
    """RouterBench's area over the range of costs: a straight mix of 0.6 and 0.8 is worth 0.7."""
    assert aiq([Point(1, 0.6), Point(3, 0.8), Point(2, 0.65)], least_usd=1, most_usd=3) == pytest.approx(0.7)
    assert cost_at(hull_of([Point(1, 0.6), Point(3, 0.8)]), 0.7) == pytest.approx(2)
    assert cost_at(hull_of([Point(1, 0.6)]), 0.7) is None
    with pytest.raises(InputError, match=r"costs from 2 to 2 are no range"):
        aiq([], least_usd=2, most_usd=2)


def test_strong_calls_are_counted_in_the_order_of_the_gain():
    """Of four prompts the strong engine is better at two; who knows which asks it for those alone."""
    weak, strong = np.array([1.0, 0, 1, 0]), np.array([1.0, 1, 1, 1])
    assert strong_share(strong - weak, weak, strong, share=1) == 0.5
    assert strong_share(weak - strong, weak, strong, share=1) == 1.0
    assert strong_share(strong - weak, weak, strong, share=0.5, within=True) == 0.25
    assert random_share(weak, strong, share=1) == 1
    assert random_share(strong, weak, share=0.9) == 0
    assert strong_share(weak, weak, weak, share=1.5) is None


@settings(deadline=None)
@given(st.lists(st.tuples(SHARES, SHARES, SHARES, SHARES), min_size=1, max_size=20))
def test_turning_the_dial_up_never_costs_less(rows):
    """The mean estimated cost rises with what a useful answer is worth, and so does the estimated quality."""
    table = np.array(rows)
    quality, cost = table[:, :2], table[:, 2:]
    at = np.arange(len(rows))
    chosen = [choose(quality, cost, mark) for mark in [*dial(quality, cost), np.inf]]
    costs = [cost[at, each].mean() for each in chosen]
    qualities = [quality[at, each].mean() for each in chosen]
    assert all(a <= b + 1e-6 for a, b in pairwise(costs))
    assert all(a <= b + 1e-6 for a, b in pairwise(qualities))
    assert costs[0] == pytest.approx(cost.min(axis=1).mean())
