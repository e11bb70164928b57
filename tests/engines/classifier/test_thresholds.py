"""Candidates go from the safest to the riskiest: who answers, what it is worth, and what it costs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.engines.classifier import candidates, grid
from cput.engines.classifier.thresholds import keep_at
from cput.errors import InputError
from cput.policy.guarantee import certify
from cput.workloads import Floor

sures = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@given(sures, st.data())
def test_every_prompt_gets_the_student_s_answer_or_the_labeller_s(sure, data):
    n = len(sure)
    bits = st.lists(st.integers(0, 1), min_size=n, max_size=n)
    mine, theirs = data.draw(bits), data.draw(bits)
    found = candidates(sure, mine, theirs, student_cost_usd=1.0, labeller_cost_usd=10.0, thresholds=grid(sure, 5))
    assert np.isinf(found.thresholds[0])
    assert not found.kept[:, 0].any()
    assert (np.diff(found.kept.sum(axis=0)) >= 0).all(), "a lower threshold keeps no less"
    assert found.kept[:, -1].all()
    assert (found.quality[:, 0] == theirs).all()
    assert (found.quality == np.where(found.kept, np.array(mine)[:, None], np.array(theirs)[:, None])).all()
    assert (found.cost_usd[:, 0] == 10).all()
    assert (found.cost_usd[:, 1:] == np.where(found.kept[:, 1:], 1, 11)).all(), "an abstention is paid for too"


@given(st.lists(st.one_of(st.floats(0, 1), st.just(-np.inf)), max_size=60), st.integers(1, 20))
def test_a_grid_falls_from_infinity_to_the_least_finite_confidence(sure, steps):
    laid = grid(sure, steps)
    assert np.isinf(laid[0])
    assert (np.diff(laid) < 0).all()
    assert len(laid) <= steps + 1
    finite = [value for value in sure if np.isfinite(value)]
    assert not finite or laid[-1] == min(finite)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.floats(0.5, 1))
def test_the_suggested_threshold_keeps_the_share_and_no_lower_one_does(pairs, share):
    sure, right = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    found = keep_at(sure, right, share)
    good = [at for at in sure if right[sure >= at].sum() >= share * (sure >= at).sum()]
    assert found == (min(good) if good else None)


def test_what_is_never_given_is_never_kept():
    found = candidates([-np.inf, 0.5], [1, 1], [0, 0], student_cost_usd=0, labeller_cost_usd=1, thresholds=[np.inf, 0])
    assert found.kept.tolist() == [[False, False], [False, True]]


def test_a_student_that_is_right_when_sure_is_certified_to_answer_then():
    """1,000 prompts; the student is right on the surer half and wrong on the rest, the labeller nearly always right."""
    sure = np.linspace(0, 1, 1000)
    theirs = np.ones(1000)
    theirs[::50] = 0
    found = candidates(
        sure, sure > 0.5, theirs, student_cost_usd=1e-6, labeller_cost_usd=1e-3, thresholds=grid(np.linspace(0, 1, 100))
    )
    certified = certify(
        found.quality, found.cost_usd, floor=Floor(share_of_baseline=0.99), reference=theirs, names=found.names
    )
    assert certified.choice is not None
    assert 0.45 < found.kept[:, certified.choice].mean() <= 0.52
    assert certified.certificate.candidates[certified.choice].name.startswith("student from 0.")


@pytest.mark.parametrize("laid", [[0.5, 0.9], [], [np.nan], [0.5, 0.5]])
def test_thresholds_that_do_not_fall_are_refused(laid):
    with pytest.raises(InputError, match="from the safest to the riskiest"):
        candidates([0.5], [1], [1], student_cost_usd=0, labeller_cost_usd=1, thresholds=laid)


def test_lengths_that_differ_are_refused():
    with pytest.raises(InputError, match=r"have shapes \(2,\), \(1,\) and \(1,\)"):
        candidates([0.5, 0.1], [1], [1], student_cost_usd=0, labeller_cost_usd=1, thresholds=[np.inf])
