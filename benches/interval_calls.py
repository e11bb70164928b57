"""Made-up populations of calls whose true figures are known, for the coverage bench.

Lengths are log-normal around 100 tokens, costs grow with length, long answers may fail more often, and a cheap check
errs both ways.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from cput.ledger.interval import Column

RATE, CPUT, ANSWER = "useful rate", "cput", "cost per useful answer"
TRUTH_CALLS = 1_000_000


class Calls(NamedTuple):
    """Calls of a window, one row each."""

    cost: Column
    tokens: Column
    chance: Column
    useful: Column
    label: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Where calls come from."""

    rate: float
    """Useful rate, about: clipping and ``by_length`` move it a little."""
    sigma: float = 0.6
    """Standard deviation of the logarithm of lengths."""
    by_length: float = 0.0
    """Exponent with which the useful rate follows the length; below 0 long answers fail more often."""
    sensitivity: float = 0.9
    """Share of useful answers that the check passes."""
    specificity: float = 0.9
    """Share of useless answers that it fails."""
    silent: float = 0.0
    """Share of calls of which the check says nothing."""

    def draw(self, rng: np.random.Generator, calls: int) -> Calls:
        """Return that many calls."""
        tokens = np.ceil(np.exp(rng.normal(0, self.sigma, calls)) * 100)
        mean = np.exp((self.sigma * self.by_length) ** 2 / 2)
        chance = np.clip(self.rate * (tokens / 100) ** self.by_length / mean, 0, 1)
        useful = rng.random(calls) < chance
        passed = rng.random(calls) < np.where(useful, self.sensitivity, 1 - self.specificity)
        label = np.where(rng.random(calls) < self.silent, 2, passed)
        return Calls(18 + tokens * np.exp(rng.normal(0, 0.2, calls)), tokens, chance, useful.astype(float), label)


@cache
def truth(population: Population, what: str) -> float:
    """Return the population's figure, from the chances of many calls."""
    return figure(population.draw(np.random.default_rng(99), TRUTH_CALLS), what)


def figure(calls: Calls, what: str) -> float:
    """Return what the chances of many calls come to."""
    useful = calls.chance * calls.tokens if what == CPUT else calls.chance
    return float(useful.mean() if what == RATE else calls.cost.mean() / useful.mean())
