"""A made world of calls whose truth is known: two engines, three kinds of calls, a router that sees how hard one is.

It sees it nearly, of *easy* and *hard* calls. *Odd* ones look easy to it and are not: the strong engine answers nine in
ten of them, the weak one fewer than half.

    world = World()
    calls = world.draw(rng, 3000)
    quality, cost_usd = world.candidates(rng, calls)      # thresholds, from all calls to the strong engine to none
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

THRESHOLDS = np.linspace(1.2, 0.2, 21)
"""Of the estimated chance that the weak engine is right: below it, the strong one is asked."""
STRONG_USD, WEAK_USD = 0.010, 0.001


class Calls(NamedTuple):
    """Calls and what became of them; one row each."""

    kind: npt.NDArray[np.int64]
    """0 is easy, 1 hard, 2 odd."""
    strong: Floats
    """Chance that the strong engine's answer is useful."""
    weak: Floats
    """Chance that the weak engine's answer is useful."""
    score: Floats
    """What the router makes of the weak engine's chance."""

    def outcomes(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return whether the strong and the weak engine's answers turned out useful."""
        return (
            (rng.random(len(self.strong)) < self.strong).astype(float),
            (rng.random(len(self.weak)) < self.weak).astype(float),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where calls come from."""

    hard_share: float = 0.3
    """Share of hard calls."""
    odd_share: float = 0.03
    """Share of odd calls."""
    weak_drop: float = 0.0
    """By how much the weak engine's chances are lower than the router was taught."""
    strong_drop: float = 0.0
    """Likewise the strong engine's."""

    def after(self, **changes: float) -> "World":
        """Return the world after a drift."""
        return replace(self, **changes)

    def draw(self, rng: np.random.Generator, calls: int) -> Calls:
        """Draw calls."""
        at, depth = rng.random(calls), rng.random(calls)
        kind = np.where(at < self.odd_share, 2, np.where(at < self.odd_share + self.hard_share, 1, 0))
        strong = np.choose(kind, [0.98 - 0.04 * depth, 0.92 - 0.12 * depth, np.full(calls, 0.93)])
        weak = np.choose(kind, [0.97 - 0.12 * depth, 0.85 - 0.6 * depth, np.full(calls, 0.45)])
        score = np.where(kind == 2, 0.97 - 0.12 * depth, weak) + rng.normal(0, 0.08, calls)
        strong, weak = strong - self.strong_drop, np.clip(weak - self.weak_drop, 0, 1)
        return Calls(kind, strong, weak, score)


def to_strong(calls: Calls, threshold: float | Floats) -> Flags:
    """Return which calls a threshold sends to the strong engine; (n, c) for c thresholds."""
    score = calls.score if np.isscalar(threshold) else calls.score[:, None]
    return score < threshold


def mixed(sent: Flags, strong: Floats, weak: Floats) -> Floats:
    """Return what the policy gets where ``sent`` calls go to the strong engine."""
    return np.where(sent, strong, weak) if sent.ndim == 1 else np.where(sent, strong[:, None], weak[:, None])


def slices_of(calls: Calls) -> dict[str, Flags]:
    """Return the declared slices; nobody has thought of odd calls."""
    return {"easy": calls.kind == 0, "hard": calls.kind == 1}


class Table(NamedTuple):
    """Held-out outcomes, as ``certify`` takes them."""

    quality: Floats
    cost_usd: Floats
    reference: Floats
    slices: dict[str, Flags]


def held_out(calls: Calls, rng: np.random.Generator) -> Table:
    """Return the outcomes of all thresholds on the same calls; the reference is the strong engine."""
    strong, weak = calls.outcomes(rng)
    sent = to_strong(calls, THRESHOLDS)
    cost = np.where(sent, STRONG_USD, WEAK_USD)
    return Table(mixed(sent, strong, weak), cost, strong, slices_of(calls))


class Truth(NamedTuple):
    """True qualities in a world."""

    candidates: Floats
    """Of each threshold."""
    strong: float
    """Of the strong engine."""
    by_slice: dict[str, tuple[Floats, float]]
    """The same, on each slice."""


def truth(world: World, *, calls: int = 2_000_000) -> Truth:
    """Return true qualities, to some 0.0002: chances are averaged and not outcomes."""
    drawn = world.draw(np.random.default_rng(99), calls)
    each = [mixed(to_strong(drawn, float(t)), drawn.strong, drawn.weak) for t in THRESHOLDS]
    parts = slices_of(drawn)
    return Truth(
        np.array([quality.mean() for quality in each]),
        float(drawn.strong.mean()),
        {
            name: (np.array([quality[part].mean() for quality in each]), float(drawn.strong[part].mean()))
            for name, part in parts.items()
        },
    )
