"""Baselines are chosen on the training answers and paid for on the others."""

import numpy as np
import pytest

from cput.errors import InputError
from cput.policy.baselines import baselines, category_scores, singles
from cput.policy.recorded import Recorded


def record(quality, cost, tags=None) -> Recorded:
    quality = np.array(quality, dtype=float)
    n, m = quality.shape
    return Recorded(
        engines=tuple("abcdef"[:m]),
        items=tuple(map(str, range(n))),
        prompts=("p",) * n,
        quality=quality,
        cost_usd=np.tile(np.array(cost, dtype=float), (n, 1)),
        tags=tags or {},
    )


def test_singles_are_found_on_the_training_answers():
    """Best, cheapest within a point, and cheapest that is not shown to be worse are three different questions."""
    rng = np.random.default_rng(0)
    strong = rng.random(400) < 0.9
    near = strong.copy()
    near[:3] ^= True
    middling = strong & (rng.random(400) > 0.03)
    poor = rng.random(400) < 0.3
    found = singles(record(np.stack([strong, near, middling, poor], axis=1), [9, 5, 3, 1]))
    assert found.best in {0, 1}
    assert found.cheapest_near == 1
    assert found.cheapest_not_worse == 1
    few = record(np.stack([strong, poor], axis=1)[:4], [9, 1])
    assert singles(few).cheapest_not_worse == 1  # four prompts show nothing


def test_of_equal_engines_the_cheaper_is_the_best():
    """A model at 1/28 of the price that equals the strongest is found by itself."""
    assert singles(record([[1, 1, 0], [0, 0, 0], [1, 1, 0]], [28, 1, 0.1])).best == 1


def test_no_figure_of_the_test_answers_chooses():
    """Turning every test quality around changes what is measured, and not who was chosen."""
    train = record([[1, 0]] * 9 + [[0, 1]], [2, 1])
    for quality in ([[1, 0]] * 4, [[0, 1]] * 4):
        best = baselines(train, record(quality, [2, 1]))[0]
        assert (best.name, best.engine) == ("best_single", "a")
        assert best.point.quality == quality[0][0]


def test_every_baseline_stands_beside_the_others():
    """The oracle is above all, the table above the singles where categories matter, the mix between the singles."""
    labels = ("x", "y") * 20
    quality = [[1, 0], [0, 1]] * 20
    table = record(quality, [1, 2], {"kind": labels})
    found = {each.name: each for each in baselines(table, table, tag="kind")}
    assert list(found) == ["best_single", "cheapest_within_1_point", "by_category", "random_mix", "oracle"]
    assert found["oracle"].point == found["by_category"].point == (1.5, 1.0)
    assert found["best_single"].point == (1.0, 0.5)
    assert all(point.quality == 0.5 for point in found["random_mix"].points)


def test_a_category_that_was_never_seen_has_the_overall_mean():
    """And a small one is drawn towards it."""
    train = record([[1, 0], [1, 0], [0, 1], [0, 1]], [1, 2], {"kind": ("x", "x", "y", "y")})
    asked = record([[1, 1]] * 2, [1, 2], {"kind": ("x", "z")})
    scores = category_scores(train, asked, "kind", weight=2)
    assert scores.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    with pytest.raises(InputError, match=r"unknown tag 'topic'; allowed: kind"):
        category_scores(train, asked, "topic")


def test_without_quality_or_cost_there_is_no_baseline():
    with pytest.raises(InputError, match="no recorded engine has both quality and cost"):
        singles(record([[np.nan, 1], [np.nan, 1]], [1, np.nan]))
