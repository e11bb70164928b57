"""Certificates: nothing below the floor more often than delta, and honest words where nothing can be shown."""

import json
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))

from policy_certificate import errors
from policy_certificate_cases import every_other_bad, none_good, none_good_paired, one_slice_bad
from policy_drift_world import World, held_out

from cput.errors import InputError
from cput.policy.guarantee import Certificate, Level, certify, learn_then_test
from cput.policy.guarantee.mean_tests import betting, binomial, signs
from cput.policy.guarantee.sequence import in_sequence, shares
from cput.workloads import Floor

DRAWS = 150
MOST = binom.isf(0.001, DRAWS, 0.05)
"""Wrong certificates of DRAWS that a method with the stated 5 % exceeds once in a thousand."""
MANY = none_good("20 unlike", 150, 0.9)


def wrong(case, draws=DRAWS, seed=0, **options):
    return errors(case, draws, np.random.default_rng(seed), **options)[0]


def table(n, seed=0):
    rng = np.random.default_rng(seed)
    return held_out(World().draw(rng, n), rng)


def certified(n, seed=0, share=0.95, **options):
    drawn = table(n, seed)
    return certify(
        drawn.quality, drawn.cost_usd, floor=Floor(share_of_baseline=share), reference=drawn.reference, **options
    )


@pytest.mark.parametrize(
    "case",
    [MANY, every_other_bad("in turn", 300, 0.85), one_slice_bad("slice", 300, 0.85)],
    ids=lambda case: case.name,
)
def test_anything_below_the_floor_is_certified_at_most_in_5_of_100_draws(case):
    assert wrong(case) <= MOST


@pytest.mark.parametrize(
    "case",
    [
        none_good_paired("a share of the best", 60, 0.95),
        none_good_paired("as good as the best", 100, 1.0),
    ],
    ids=lambda case: case.name,
)
def test_so_it_is_with_bets_and_signs(case):
    assert wrong(case) <= MOST


def test_the_law_sees_a_method_without_correction_for_many_candidates(monkeypatch):
    """Each candidate at delta by itself: nearly every draw certifies something that is too bad."""
    monkeypatch.setattr(
        learn_then_test, "in_sequence", lambda passes, own: tuple((0.05, passes(place, 0.05)) for place in range(20))
    )
    assert wrong(MANY) > 2 * MOST


def test_the_law_sees_a_method_that_passes_over_slices(monkeypatch):
    monkeypatch.setattr(learn_then_test._Tried, "p", lambda self, level: self._each(level)[0])
    assert wrong(one_slice_bad("slice", 300, 0.85)) > 2 * MOST


@pytest.mark.parametrize(("high", "rate"), [(0.02, 0.98), (0.25, 0.8), (1.0, 0.5)])
def test_bets_on_a_mean_of_zero_win_at_most_as_often_as_their_level(high, rate):
    """Rare large losses and many small gains, as ``quality - 0.95 * reference`` has them; a z-test fails this."""
    lowest = high * rate / (1 - rate)
    margins = np.where(np.random.default_rng(0).random((80, 2000)) < rate, high, -lowest)
    p = betting(margins, lowest=lowest, level=0.05)
    most = binom.isf(0.001, 2000, 0.05)
    assert (p <= 0.05).sum() <= most
    assert (p >= 0.05).all()
    if rate > 0.9:
        z = margins.mean(axis=0) / (margins.std(axis=0) + 1e-12) * np.sqrt(80)
        assert (z > 1.645).sum() > most


def test_the_exact_tests_are_scipys():
    assert binomial(9, 10, 0.5) == pytest.approx(11 / 1024)
    assert signs(9, 1) == pytest.approx(11 / 1024)
    assert binomial(0, 10, 0.5) == 1


def test_bets_do_not_hang_on_the_rows_being_sorted():
    rows = np.sort(table(400).quality - 0.95 * table(400).reference[:, None], axis=0)
    shuffled = np.random.default_rng(3).permutation(rows)
    one, other = (betting(each, lowest=0.95, level=0.01) for each in (rows, shuffled))
    assert ((one <= 0.01) == (other <= 0.01)).mean() > 0.8


@given(
    candidates=st.integers(1, 40),
    starts=st.integers(1, 6),
    p=st.lists(st.floats(0, 1), min_size=40, max_size=40),
)
def test_a_sequence_never_spends_more_than_delta(candidates, starts, p):
    """What is still unspent and what the failed ones had add up to delta: a run hands its whole level on."""
    own = shares(candidates, delta=0.05, starts=starts)
    assert sum(own) == pytest.approx(0.05)
    found = in_sequence(lambda place, level: p[place] <= level, own)
    lost = [level for level, passed in found if not passed]
    last = found[-1][0] if found[-1][1] else 0.0
    assert sum(lost) + last == pytest.approx(0.05)


def test_a_bad_neighbour_does_not_end_it():
    own = shares(9, delta=0.05, starts=3)
    found = in_sequence(lambda place, _: place != 1, own)
    assert [passed for _, passed in found] == [True, False, False, True, True, True, True, True, True]


def test_the_cheapest_certified_threshold_is_chosen():
    found = certified(2000, names=[f"t{place}" for place in range(21)], data="made up", made_on=date(2026, 1, 2))
    certificate = found.certificate
    passed = [one for one in certificate.candidates if one.certified]
    assert found.choice == certificate.choice
    assert certificate.candidates[found.choice].cost_usd == min(one.cost_usd for one in passed)
    assert certificate.needed == 0
    assert 0.2 < certificate.saving < 0.7
    assert 0.95 <= certificate.bound < 1
    for part in ("With 95 % confidence", f"'t{found.choice}'", "2,000", "made up", "2026-01-02", "exchangeable"):
        assert part in certificate.words


def test_every_slice_must_hold_and_is_written_down():
    """Odd calls look easy to the router, and the weak engine fails on most of them: a slice that nobody may overlook."""
    slices = table(2000).slices
    slices["odd"] = ~slices["easy"] & ~slices["hard"]
    found = certified(2000, slices=slices).certificate
    assert found.saving < certified(2000).certificate.saving - 0.1
    assert found.slices == {name: int(members.sum()) for name, members in slices.items()}
    held = [(each.slice, each.n) for each in found.candidates[0].held]
    assert held == [("overall", 2000), *found.slices.items()]
    assert set(found.levels) == {"overall", *slices}


def test_too_small_a_sample_says_how_many_more_and_they_do():
    small = certified(40).certificate
    assert small.choice is None
    assert 0 < small.needed < 500
    assert f"about {small.needed:,} more outcomes" in small.words
    enough = [certified(40 + small.needed, seed).certificate.needed == 0 for seed in range(1, 11)]
    assert sum(enough) >= 7


def test_where_no_saving_is_to_be_seen_nobody_knows_how_many_more():
    rng = np.random.default_rng(0)
    strong = np.ones(300)
    quality = np.stack([strong, (rng.random(300) < 0.5).astype(float)], axis=1)
    cost = np.tile([1.0, 0.1], (300, 1))
    found = certify(quality, cost, floor=Floor(share_of_baseline=0.95), reference=strong).certificate
    assert found.needed is None
    assert found.saving == 0
    assert "unknown" in found.words


def test_a_cheaper_engine_that_is_better_is_certified_at_the_whole_of_the_best_ones_quality():
    rng = np.random.default_rng(0)
    strong = (rng.random(400) < 0.7).astype(float)
    better = np.maximum(strong, rng.random(400) < 0.3)
    found = certify(
        np.stack([strong, better], axis=1),
        np.tile([1.0, 0.2], (400, 1)),
        floor=Floor(share_of_baseline=1.0),
        reference=strong,
    )
    assert found.choice == 1
    assert found.certificate.candidates[1].held[0].method == "signs"
    assert found.certificate.saving == pytest.approx(0.8)


def test_both_floors_must_hold():
    drawn = table(2000)
    both = certify(
        drawn.quality,
        drawn.cost_usd,
        floor=Floor(useful_rate=0.9, share_of_baseline=0.9),
        reference=drawn.reference,
    ).certificate
    each = [certified(2000, share=0.9).certificate.saving]
    each.append(certify(drawn.quality, drawn.cost_usd, floor=Floor(useful_rate=0.9)).certificate.saving)
    assert both.saving <= min(each) + 1e-12
    assert {held.method for held in both.candidates[0].held} == {"binomial", "betting"}


def test_a_certificate_is_its_json():
    found = certified(300, slices=table(300).slices).certificate
    assert Certificate.from_json(json.loads(json.dumps(found.as_json()))) == found
    with pytest.raises(InputError, match=r"Certificate\.as_json"):
        Certificate.from_json({"n": 3})


def test_a_level_is_its_json():
    level = Level(value=0.9, steps=((0.9, 1.0), (0.89, 3.0)))
    assert Level.from_json(json.loads(json.dumps(level.as_json()))) == level


def given_to(**changes):
    drawn = table(50)
    fields = {
        "quality": drawn.quality,
        "cost_usd": drawn.cost_usd,
        "floor": Floor(share_of_baseline=0.95),
        "reference": drawn.reference,
    } | changes
    return certify(fields.pop("quality"), fields.pop("cost_usd"), **fields)


UNKNOWN = np.where(np.arange(50)[:, None] == 3, np.nan, table(50).quality)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"floor": Floor()}, "asks nothing"),
        ({"floor": Floor(useful_rate=1.0)}, "useful_rate is 1.0"),
        ({"floor": Floor(share_of_baseline=-1.0)}, "share_of_baseline is -1.0"),
        ({"reference": None}, "give that as reference"),
        ({"reference": np.ones(3)}, r"shape \(3,\)"),
        ({"quality": UNKNOWN}, "21 values of quality are unknown"),
        ({"quality": 2 * table(50).quality}, "allowed: 0 to 1"),
        ({"cost_usd": UNKNOWN}, "21 of the costs are unknown"),
        ({"cost_usd": np.ones((50, 2))}, "allowed: one"),
        ({"names": ["a"]}, "1 names were given; allowed: 21"),
        ({"delta": 0.0}, "delta is 0.0"),
        ({"starts": 0}, "starts is 0"),
        ({"slices": {"none": np.zeros(50, dtype=bool)}}, "slice 'none'"),
        ({"slices": {"overall": np.ones(50, dtype=bool)}}, "slice 'overall'"),
    ],
)
def test_a_mistake_is_one_sentence(changes, words):
    with pytest.raises(InputError, match=words):
        given_to(**changes)
