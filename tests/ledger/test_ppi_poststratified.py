"""The arithmetic under prediction-powered inference."""

import numpy as np
import pytest

from cput.ledger import poststratified
from cput.ledger.interval import Interval
from cput.ledger.poststratified import LEAST_DRAWN, Columns, cost_interval, told_apart, useful_total
from cput.ledger.weighted import weighted_cost_interval


def columns(calls=400, judged=100, *, seed=0, cost=None, rate=0.4, by_length=0.0, sigma=0.6) -> Columns:
    """A check that knows nothing; the first calls were judged."""
    rng = np.random.default_rng(seed)
    size = np.ceil(np.exp(rng.normal(0, sigma, calls)) * 100)
    useful = rng.random(calls) < np.clip(rate * (size / 100) ** by_length, 0, 1)
    drawn = np.arange(calls) < judged
    return Columns(
        cost=18 + size if cost is None else cost,
        size=size,
        label=rng.integers(0, 2, calls),
        weight=np.where(drawn, calls / judged, 0.0),
        useful=useful * drawn * 1.0,
    )


def labels(*counts_drawn_and_not: tuple[int, int]) -> Columns:
    label = np.concatenate([np.full(sum(counts), i) for i, counts in enumerate(counts_drawn_and_not)])
    weight = np.concatenate([np.repeat([1.0, 0.0], counts) for counts in counts_drawn_and_not])
    ones = np.ones(len(label))
    return Columns(cost=ones, size=ones, label=label, weight=weight, useful=weight * 0)


@pytest.mark.parametrize(
    ("drawn", "groups"),
    [
        ((LEAST_DRAWN, LEAST_DRAWN, LEAST_DRAWN), 3),
        ((LEAST_DRAWN, LEAST_DRAWN, LEAST_DRAWN - 1), 2),
        ((0, 3, 100), 1),
        ((3, 3, 100), 2),
        ((2, 2), 1),
        ((0,), 1),
    ],
)
def test_classes_with_too_few_drawn_calls_are_put_together(drawn, groups):
    assert len(np.unique(told_apart(labels(*((count, 50) for count in drawn))))) == groups


def test_a_class_of_empty_answers_joins_another():
    made = labels((10, 5), (10, 5))
    empty = Columns(
        cost=made.cost, size=made.size * (made.label == 0), label=made.label, weight=made.weight, useful=made.useful
    )
    assert len(np.unique(told_apart(empty))) == 1
    assert cost_interval(empty).high == np.inf


def test_what_is_predicted_sums_to_the_total_and_what_is_missed_to_nothing():
    found = useful_total(columns(by_length=-0.7, sigma=1.0))
    assert found.predicted.sum() == pytest.approx(found.value)
    assert found.missed.sum() == pytest.approx(0.0, abs=1e-6 * found.value)
    assert 0 < found.below < found.value
    assert found.above > 0


def test_cost_is_used_where_it_tells_usefulness_and_only_there():
    """Answers useful in inverse proportion to their length, at a fixed price: every call gains as much on average."""
    telling = useful_total(columns(4000, 1000, by_length=-1.0, sigma=1.0, cost=np.full(4000, 50.0)))
    assert telling.tuning > 0
    idle = [useful_total(columns(seed=seed, cost=np.random.default_rng(seed).uniform(1, 2, 400))) for seed in range(30)]
    assert np.mean([found.tuning != 0 for found in idle]) < 0.3


def test_where_cost_tells_usefulness_it_is_hardly_wider_than_the_sample_alone(monkeypatch):
    """The sample's own ratio profits from a cost that tells usefulness: here all it can, at a fixed price per call."""
    made = [columns(2000, 200, seed=seed, by_length=-1.0, sigma=1.0, cost=np.full(2000, 50.0)) for seed in range(20)]
    alone = [width(of_the_drawn(each)) for each in made]
    tuned = np.median([width(cost_interval(each)) for each in made] / np.array(alone))
    monkeypatch.setattr(poststratified, "_LEAST_F", np.inf)
    plain = np.median([width(cost_interval(each)) for each in made] / np.array(alone))
    assert tuned < 1.06
    assert plain > tuned + 0.05


def of_the_drawn(made: Columns) -> Interval:
    drawn = made.weight > 0
    weight, cost, size, useful = made.weight[drawn], made.cost[drawn], made.size[drawn], made.useful[drawn]
    return weighted_cost_interval(weight, cost, size * useful, possible=size, seed=0, resamples=200)


def width(interval: Interval) -> float:
    return interval.high - interval.low


def test_a_dearer_window_costs_more_for_the_same_answers():
    made = columns()
    dearer = Columns(cost=made.cost * 2, size=made.size, label=made.label, weight=made.weight, useful=made.useful)
    assert cost_interval(dearer) == pytest.approx([bound * 2 for bound in cost_interval(made)])
