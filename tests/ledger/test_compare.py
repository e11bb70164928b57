"""A comparison is paired, and padding an answer never makes it look cheaper."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cput.errors import InputError
from cput.ledger.compare import compare, tango_bound
from cput.ledger.cput import Fact
from cput.records import Verdict


def fact(item, useful=True, cost=1.0, tokens=10) -> Fact:
    verdict = Verdict.PENDING if useful is None else Verdict.USEFUL if useful else Verdict.USELESS
    return Fact(
        id=f"call of {item}",
        item=str(item),
        cost=cost,
        output_tokens=tokens,
        useful_tokens={Verdict.USEFUL: tokens, Verdict.USELESS: 0, Verdict.PENDING: None}[verdict],
        verdict=verdict,
    )


def test_padding_an_answer_does_not_make_it_look_cheaper():
    baseline = [fact(i, cost=1.0, tokens=10) for i in range(30)]
    padded = [fact(i, cost=2.0, tokens=100) for i in range(30)]
    assert compare(baseline, padded).ratio.value == pytest.approx(2.0)
    assert compare(baseline, padded, {str(i): 7 for i in range(30)}).ratio.value == pytest.approx(2.0)


def test_each_side_gains_the_reference_length_of_the_items_it_got_right():
    baseline = [fact(1, True, 1.0, 10), fact(2, False, 1.0, 99), fact(3, True, 1.0, 30)]
    candidate = [fact(1, True, 1.0, 50), fact(2, True, 2.0, 20), fact(3, False, 1.0, 1)]
    found = compare(baseline, candidate)
    assert found.ratio.value == pytest.approx((4 / (10 + 20)) / (3 / (10 + 30)))
    given_lengths = compare(baseline, candidate, {"1": 1, "2": 2, "3": 3})
    assert given_lengths.ratio.value == pytest.approx((4 / 3) / (3 / 4))


def test_only_items_that_both_answered_and_that_are_judged_for_both_count():
    found = compare([fact(1), fact(2), fact(3), fact(4)], [fact(2), fact(3, None), fact(4, False), fact(5)])
    assert (found.items, found.baseline_useful, found.candidate_useful) == (2, 2, 1)
    assert (found.only_baseline, found.only_candidate) == (1, 0)


def test_an_item_that_occurs_twice_is_refused():
    with pytest.raises(InputError, match="item '1' occurs twice in the candidate"):
        compare([fact(1)], [fact(1), fact(1)])
    with pytest.raises(InputError, match=r"the margin is 2.* allowed: 0 up to 1"):
        compare([fact(1)], [fact(1)], margin=2.0)


def test_nothing_in_common_is_unknown():
    found = compare([fact(1)], [fact(2)])
    assert (found.items, found.ratio.value, found.difference.value, found.not_lower) == (0, None, None, False)


def test_sides_without_useful_tokens_or_cost_have_no_ratio():
    assert compare([fact(1, False)], [fact(1)]).ratio == (None, None, None)
    assert compare([fact(1)], [fact(1, False)]).ratio == (None, None, float("inf"))
    assert compare([fact(1, cost=None)], [fact(1)]).ratio == (None, None, None)
    assert compare([fact(1)], [fact(1, cost=0.0)]).ratio == (0.0, 0.0, 0.0)


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(3)
    costs = np.exp(rng.normal(0, 1, 200))
    baseline = [fact(i, cost=cost) for i, cost in enumerate(costs)]
    same = [fact(i, cost=cost / 5) for i, cost in enumerate(costs * np.exp(rng.normal(0, 0.05, 200)))]
    shuffled = [fact(i, cost=cost / 5) for i, cost in enumerate(rng.permutation(costs))]
    paired, unpaired = compare(baseline, same).ratio, compare(baseline, shuffled).ratio
    assert paired.high / paired.low < 1.05 < unpaired.high / unpaired.low
    assert paired.low < 0.2 < paired.high


def test_the_ratios_interval_covers_the_truth():
    rng, trials, covered = np.random.default_rng(4), 150, 0
    for trial in range(trials):
        lengths = np.ceil(np.exp(rng.normal(0, 0.8, 80)) * 100)
        right = rng.random((2, 80)) < [[0.3], [0.4]]
        costs = lengths * np.exp(rng.normal(0, 0.3, (2, 80)))
        sides = [
            [fact(i, bool(right[s, i]), costs[s, i] * (1, 0.2)[s], int(lengths[i])) for i in range(80)] for s in (0, 1)
        ]
        found = compare(*sides, {str(i): int(lengths[i]) for i in range(80)}, seed=trial, resamples=300).ratio
        covered += found.low <= 0.2 * 0.3 / 0.4 <= found.high
    assert covered / trials >= 0.93


@pytest.mark.parametrize(("gained", "lost", "n"), [(0, 0, 50), (5, 12, 44), (1, 0, 10), (30, 10, 541), (0, 5, 100)])
def test_tangos_bound_solves_the_score_equation(gained, lost, n):
    """The restricted likelihood is maximized numerically here, and in closed form there."""
    z = 1.959964
    bound = tango_bound(gained, lost, n, z)
    shares = np.linspace(max(0.0, -bound), min(1.0, (1 - bound) / 2), 400_001)[1:-1]  # of lost pairs
    likelihood = (
        gained * np.log(shares + bound) + lost * np.log(shares)
        if gained and lost
        else ((gained * np.log(shares + bound) if gained else 0.0) + (lost * np.log(shares) if lost else 0.0))
    )
    likelihood = likelihood + (n - gained - lost) * np.log(1 - 2 * shares - bound)
    q = shares[np.argmax(likelihood)]
    score = (gained - lost - n * bound) / np.sqrt(n * (2 * q + bound * (1 - bound)))
    assert score == pytest.approx(z, abs=2e-3)


@settings(max_examples=60, deadline=None)
@given(gained=st.integers(0, 40), lost=st.integers(0, 40), concordant=st.integers(1, 400))
def test_the_difference_is_inside_its_interval_and_mirrors(gained, lost, concordant):
    pairs = [(True, False)] * lost + [(False, True)] * gained + [(True, True)] * concordant
    baseline = [fact(i, b) for i, (b, _) in enumerate(pairs)]
    candidate = [fact(i, c) for i, (_, c) in enumerate(pairs)]
    one, other = compare(baseline, candidate, resamples=20), compare(candidate, baseline, resamples=20)
    assert -1 <= one.difference.low <= one.difference.value <= one.difference.high <= 1
    assert one.difference.low == pytest.approx(-other.difference.high)
    assert one.difference.low <= one.lower_bound + 1e-12
    assert one.p_lower == pytest.approx(
        stats.binomtest(gained, gained + lost, alternative="less").pvalue if gained + lost else 1.0
    )


def test_not_lower_is_proven_and_not_merely_not_refuted():
    def sides(n, gained, lost):
        pairs = [(True, False)] * lost + [(False, True)] * gained + [(True, True)] * (n - gained - lost)
        return [fact(i, b) for i, (b, _) in enumerate(pairs)], [fact(i, c) for i, (_, c) in enumerate(pairs)]

    few, many = sides(10, 0, 0), sides(1000, 0, 0)
    assert not compare(*few, margin=0.02).not_lower
    assert compare(*many, margin=0.02).not_lower
    assert not compare(*many).not_lower
    assert compare(*sides(200, 20, 2)).not_lower
    assert not compare(*sides(200, 2, 20), margin=0.02).not_lower


def test_the_one_sided_bound_is_right_95_percent_of_the_time():
    rng, z = np.random.default_rng(8), stats.norm.ppf(0.95)
    for n, (p_gained, p_lost) in itertools.product((60, 300), ((0.05, 0.05), (0.02, 0.1), (0.2, 0.1))):
        drawn = rng.multinomial(n, [p_gained, p_lost, 1 - p_gained - p_lost], size=1500)
        tables, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
        held = sum(
            t * (tango_bound(int(g), int(lost), n, z) <= p_gained - p_lost)
            for (g, lost), t in zip(tables, times, strict=True)
        )
        assert held / 1500 >= 0.93
