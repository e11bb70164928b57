"""A slice of RouteLLM's MMLU file, and a record whose answers follow from the text."""

from pathlib import Path

import numpy as np
import pytest

from cput.policy.recorded import Recorded
from cput.policy.recordings import routellm_mmlu

DATA = Path(__file__).parents[3] / "benches" / "data" / "router"


@pytest.fixture(scope="session")
def mmlu() -> Recorded:
    table = routellm_mmlu(DATA / "routellm_mmlu.csv.gz")
    return table.rows(np.sort(np.random.default_rng(0).permutation(len(table))[:3000]))


@pytest.fixture(scope="session")
def easy() -> Recorded:
    """The small engine can do sums and no law; half of the prompts are each."""
    rng = np.random.default_rng(1)
    sums = rng.random(200) < 0.5
    words = ["what is the sum of", "who may sue under the statute of"]
    prompts = tuple(f"Answer.\n{words[0 if sum_ else 1]} {rng.integers(99)} {rng.integers(99)}?" for sum_ in sums)
    return Recorded(
        engines=("small", "large"),
        items=tuple(map(str, range(200))),
        prompts=prompts,
        quality=np.stack([sums, np.ones(200)], axis=1).astype(float),
        cost_usd=np.tile([0.001, 0.01], (200, 1)),
        tags={"kind": tuple("sum" if sum_ else "law" for sum_ in sums)},
    )
