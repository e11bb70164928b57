import numpy as np
import pytest

from cput.errors import InputError
from cput.policy.recorded import Recorded


def table(n: int = 10) -> Recorded:
    quality = np.arange(2 * n, dtype=float).reshape(n, 2) / (2 * n)
    return Recorded(
        engines=("small", "large"),
        items=tuple(f"q{place}" for place in range(n)),
        prompts=tuple(f"prompt {place}" for place in range(n)),
        quality=quality,
        cost_usd=np.tile([1.0, 10.0], (n, 1)),
        tags={"subject": tuple("ab"[place % 2] for place in range(n))},
    )


def test_a_split_is_disjoint_whole_and_the_same_for_a_seed() -> None:
    """No prompt is lost, none is in both, and nothing but the seed decides."""
    train, test = table().split(0.3, seed=5)
    assert len(train) == 3
    assert sorted(train.items + test.items) == sorted(table().items)
    assert table().split(0.3, seed=5)[0].items == train.items
    assert table().split(0.3, seed=6)[0].items != train.items


def test_rows_carry_all_that_belongs_to_a_prompt() -> None:
    """Quality, cost and slices go with their prompt."""
    picked = table().rows([7, 2])
    assert picked.items == ("q7", "q2")
    assert picked.tags["subject"] == ("b", "a")
    assert picked.quality[0, 0] == table().quality[7, 0]


def test_engines_are_picked_by_name_in_the_order_given() -> None:
    """Columns follow their names."""
    turned = table().only(["large", "small"])
    assert turned.engines == ("large", "small")
    assert (turned.quality[:, 1] == table().quality[:, 0]).all()
    with pytest.raises(InputError, match=r"unknown recorded engine 'larg'; did you mean 'large'\?"):
        table().place("larg")


def test_a_record_with_a_missing_row_is_refused() -> None:
    """Shapes are held to one another where the record is made."""
    with pytest.raises(InputError, match=r"quality of a record has shape \(1, 2\); allowed: \(2, 2\)"):
        Recorded(
            engines=("a", "b"), items=("1", "2"), prompts=("x", "y"), quality=np.ones((1, 2)), cost_usd=np.ones((2, 2))
        )
    with pytest.raises(InputError, match="subject of a record has 1 values; allowed: 2"):
        Recorded(
            engines=("a",),
            items=("1", "2"),
            prompts=("x", "y"),
            quality=np.ones((2, 1)),
            cost_usd=np.ones((2, 1)),
            tags={"subject": ("a",)},
        )
