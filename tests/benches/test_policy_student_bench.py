"""The student's bench on the shipped samples: a seed's figures hang together, with no model but the student."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

from policy_student_data import Labeller, Money, references, task
from policy_student_run import SHARE, run


@pytest.fixture(scope="module")
def cold():
    """360 comments; a labeller that errs on one in ten, and one that never does, both at a price of 1 a call."""
    found = task("cold", quick=True)
    answers = found.test.labels.copy()
    wrong = np.arange(0, len(answers), 10)
    answers[wrong] = np.where(answers[wrong] == "safe", "offensive", "safe")
    n = len(found.test)
    money = Money(hosted_usd={"ensemble": np.ones(n), "references": np.ones(n)}, tokens=np.full(n, 2))
    return run(found, [Labeller(name="ensemble", answers=answers, engine_s=None), references(found)], money, 0)


def test_every_labeller_and_score_has_a_row_and_slices_one_of_their_own(cold):
    kinds = {(row.labeller, row.score, row.slices) for row in cold["rows"]}
    assert len(kinds) == len(cold["rows"]) == 8
    assert {("ensemble", "trust", True), ("references", "trust", True), ("ensemble", "nearest", False)} <= kinds


def test_a_labeller_that_is_alone_costs_what_it_costs(cold):
    """Where nothing is certified the labeller answers all, and student and labeller differ in nothing."""
    for row in cold["rows"]:
        if row.threshold is None:
            assert (row.kept, row.cost_ratio_hosted, row.quality) == (0, 1, row.labeller_quality)
            assert row.holds
        assert row.holds == (row.least_share >= SHARE)
        assert row.cost_ratio_device is None


def test_what_is_kept_is_paid_for_by_the_student_alone(cold):
    for row in cold["rows"]:
        useful = row.quality / row.labeller_quality
        assert row.answer_ratio_hosted == pytest.approx((1 - row.kept) / useful, rel=1e-6)


def test_few_outcomes_certify_nothing_and_ask_for_more(cold):
    """90 comments, 30 a topic, cannot show 99 % of anything: a bound from 90 clean ones alone is 3 points wide."""
    sliced = next(row for row in cold["rows"] if row.slices and row.labeller == "references")
    assert sliced.threshold is None
    assert sliced.needed is None or sliced.needed > 90
    assert set(sliced.by_slice) == {"overall", "gender", "race", "region"}


def test_the_whole_sets_are_read_with_their_splits():
    found = task("clinc150")
    assert (len(found.train), len(found.test)) == (18_200, 5_500)
    assert found.outside == "oos"
    assert (found.test.labels == "oos").sum() == 1_000
    assert task("cold").slices == ("gender", "race", "region")
