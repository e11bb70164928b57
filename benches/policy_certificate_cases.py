"""Populations whose truth is known, for the certificate bench: who is below the floor, and held-out draws.

Most have candidates that are below the floor by next to nothing, where a wrong method errs most.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from policy_drift_world import Flags, Floats, Truth, World, held_out, truth

from cput.workloads import Floor

CANDIDATES = 20
_LITTLE = 0.0003  # the world's truth is known to a fraction of it


class Draw(NamedTuple):
    """Held-out outcomes, as ``certify`` takes them."""

    quality: Floats
    cost_usd: Floats
    reference: Floats | None = None
    slices: dict[str, Flags] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One population."""

    name: str
    """What is particular about it."""
    floor: Floor
    """What must be kept."""
    draw: Callable[[np.random.Generator], Draw]
    """Draws held-out outcomes."""
    bad: frozenset[int] = field(default_factory=lambda: frozenset(range(CANDIDATES)))
    """Candidates that are below the floor, overall or on a slice."""


@cache
def world_truth() -> Truth:
    """Return the world's truth, once a process."""
    return truth(World())


def router(name: str, n: int, at: int, *, absolute: bool = False) -> Case:
    """A router's thresholds; from place ``at`` on they are below the floor, the first by nearly nothing."""
    known = world_truth()
    floor = float(known.candidates[at]) + _LITTLE
    given = Floor(useful_rate=floor) if absolute else Floor(share_of_baseline=floor / known.strong)

    def draw(rng: np.random.Generator) -> Draw:
        table = held_out(World().draw(rng, n), rng)
        return Draw(table.quality, table.cost_usd, None if absolute else table.reference)

    return Case(name=name, floor=given, draw=draw, bad=frozenset(range(at, len(known.candidates))))


def router_sliced(name: str, n: int, at: int) -> Case:
    """Likewise, where the floor is undercut on the slice of easy calls first."""
    quality, strong = world_truth().by_slice["easy"]
    floor = Floor(share_of_baseline=float(quality[at]) / strong + _LITTLE)

    def draw(rng: np.random.Generator) -> Draw:
        table = held_out(World().draw(rng, n), rng)
        return Draw(table.quality, table.cost_usd, table.reference, table.slices)

    return Case(name=name, floor=floor, draw=draw, bad=frozenset(range(at, len(quality))))


def none_good(name: str, n: int, rate: float) -> Case:
    """Candidates that have nothing to do with one another, each as good as the floor less next to nothing."""

    def draw(rng: np.random.Generator) -> Draw:
        return Draw((rng.random((n, CANDIDATES)) < rate - 1e-9).astype(float), _costs(n))

    return Case(name=name, floor=Floor(useful_rate=rate), draw=draw)


def none_good_paired(name: str, n: int, share: float) -> Case:
    """Likewise, against the best single engine on the same prompts."""

    def draw(rng: np.random.Generator) -> Draw:
        easy = rng.random(n)
        reference = (rng.random(n) < 0.6 + 0.4 * easy).astype(float)
        chance = share * (0.6 + 0.4 * easy) - 1e-9
        return Draw((rng.random((n, CANDIDATES)) < chance[:, None]).astype(float), _costs(n), reference)

    return Case(name=name, floor=Floor(share_of_baseline=share), draw=draw)


def none_good_graded(name: str, n: int, mean: float) -> Case:
    """Likewise, with scores between 0 and 1, most of them near 1."""

    def draw(rng: np.random.Generator) -> Draw:
        return Draw(rng.beta(2 * mean, 2 * (1 - mean), (n, CANDIDATES)) * (1 - 1e-9), _costs(n))

    return Case(name=name, floor=Floor(useful_rate=mean), draw=draw)


def one_slice_bad(name: str, n: int, rate: float) -> Case:
    """Candidates that are good overall and next to nothing below the floor on a tenth of the calls."""

    def draw(rng: np.random.Generator) -> Draw:
        few = np.arange(n) < n // 10
        chance = np.where(few, rate - 1e-9, 0.99)[:, None]
        quality = (rng.random((n, CANDIDATES)) < chance).astype(float)
        return Draw(quality, _costs(n), slices={"few": few, "most": ~few})

    return Case(name=name, floor=Floor(useful_rate=rate), draw=draw)


def every_other_bad(name: str, n: int, rate: float) -> Case:
    """Good and bad candidates in turn, in an order that has nothing to do with risk."""

    def draw(rng: np.random.Generator) -> Draw:
        chance = np.where(np.arange(CANDIDATES) % 2, rate - 1e-9, min(1.0, rate + 0.06))
        return Draw((rng.random((n, CANDIDATES)) < chance).astype(float), _costs(n))

    return Case(name=name, floor=Floor(useful_rate=rate), draw=draw, bad=frozenset(range(1, CANDIDATES, 2)))


def _costs(n: int) -> Floats:
    return np.tile(np.linspace(1.0, 0.1, CANDIDATES), (n, 1))


def cases() -> tuple[Case, ...]:
    """Return all cases."""
    return (
        router("router, share of the best, 1,000 prompts", 1000, 9),
        router("router, share of the best, 200 prompts", 200, 9),
        router("router, a number, 1,000 prompts", 1000, 9, absolute=True),
        router_sliced("router, undercut on a slice first, 1,000", 1000, 8),
        none_good("20 unlike candidates, a number, 300", 300, 0.9),
        none_good("20 unlike candidates, a number, 60", 60, 0.8),
        none_good_paired("20 unlike candidates, 95 % of the best, 300", 300, 0.95),
        none_good_paired("20 unlike candidates, as good as the best, 300", 300, 1.0),
        none_good_graded("20 unlike candidates, scores, 300", 300, 0.8),
        one_slice_bad("20 unlike candidates, bad on a tenth, 600", 600, 0.85),
        every_other_bad("good and bad in turn, a number, 400", 400, 0.85),
    )
