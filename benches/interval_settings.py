"""The rows of the coverage bench: ``trial`` draws a window of calls and returns the interval that cput gives of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from interval_calls import ANSWER, CPUT, RATE, TRUTH_CALLS, Calls, Population, figure, truth

from cput.ledger.interval import Column, Interval
from cput.ledger.moments import Moments, cput_of
from cput.ledger.poststratified import Columns, cost_interval, useful_total_interval
from cput.ledger.reweighted import Logged, Method, figures_of
from cput.ledger.weighted import weighted_cost_interval, weighted_share_interval

_RESAMPLES = 400  # of the bootstrap; the metric's own 4,000 only smooth its ends


class Trial(NamedTuple):
    """One window's interval, and what its trusted sample alone would have said."""

    found: Interval
    alone: Callable[[], Interval] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the card."""

    family: str
    """Which interval is tried."""
    name: str
    """What is particular about the calls."""
    what: str
    """The figure."""
    scarce: bool
    """Few useful calls, or few on which the check errs: the interval may cover more than 97 %, never less than 93."""
    truth: Callable[[], float]
    """The population's figure."""
    trial: Callable[[np.random.Generator, int], Trial]
    """Draws a window and returns its interval; the number seeds the bootstrap."""


def all_judged(name: str, population: Population, calls: int, *, scarce: bool = False) -> Setting:
    """CPUT where every call has its verdict: the bootstrap-t and delta interval."""

    def trial(rng: np.random.Generator, seed: int) -> Trial:
        drawn = population.draw(rng, calls)
        everyone = np.ones(calls)
        found = weighted_cost_interval(
            everyone, drawn.cost, drawn.tokens * drawn.useful, possible=drawn.tokens, seed=seed, resamples=_RESAMPLES
        )
        return Trial(found)

    return _setting("all judged", name, CPUT, population, trial, scarce=scarce)


def from_sums(name: str, population: Population, calls: int, *, scarce: bool = False) -> Setting:
    """CPUT from sums alone: the delta interval, as a database query gives it."""

    def trial(rng: np.random.Generator, _: int) -> Trial:
        cost, tokens, _, useful, _ = population.draw(rng, calls)
        gained = tokens * useful
        sums = (
            float(cost.sum()),
            float(gained.sum()),
            float(cost @ cost),
            float(gained @ gained),
            float(cost @ gained),
        )
        return Trial(cput_of(Moments(calls, calls, int(useful.sum()), *sums, float(tokens.sum()), 0)))

    return _setting("sums", name, CPUT, population, trial, scarce=scarce)


def powered(
    name: str,
    population: Population,
    calls: int,
    judged: int,
    what: str,
    *,
    unequal: bool = False,
    scarce: bool = False,
) -> Setting:
    """A trusted sample of ``judged`` calls and a check of all; ``unequal``: it draws four times as many failed ones."""

    def trial(rng: np.random.Generator, seed: int) -> Trial:
        drawn = population.draw(rng, calls)
        weight = _weights(rng, drawn, judged, unequal=unequal)
        columns = Columns(
            cost=np.zeros(calls) if what == RATE else drawn.cost,
            size=drawn.tokens if what == CPUT else np.ones(calls),
            label=drawn.label,
            weight=weight,
            useful=drawn.useful * (weight > 0),
        )
        if what == RATE:
            found = Interval(*(bound / calls for bound in useful_total_interval(columns) if bound is not None))
        else:
            found = cost_interval(columns)
        return Trial(found, lambda: _alone(columns, what, seed))

    return _setting("prediction-powered", name, what, population, trial, scarce=scarce)


def rerouted(
    name: str,
    method: Method,
    what: str,
    calls: int,
    *,
    log: tuple[float, float] = (0.3, 0.7),
    scarce: bool = False,
) -> Setting:
    """A policy that sends easy and hard calls to the large model with 0.1 and 0.5; the ``log`` did so with others."""
    easy, hard = Population(rate=0.8, sigma=0.6), Population(rate=0.3, sigma=0.6)
    wanted = (0.1, 0.5)

    def trial(rng: np.random.Generator, seed: int) -> Trial:
        is_hard = rng.random(calls) < 0.4
        to_large = np.where(is_hard, log[1], log[0])
        large = rng.random(calls) < to_large
        logged = np.where(large, to_large, 1 - to_large)
        chosen = np.where(is_hard, wanted[1], wanted[0])
        drawn = _by_arm(easy, hard, is_hard, large, rng)
        columns = Logged(
            weight=np.where(large, chosen, 1 - chosen) / logged,
            cost=drawn.cost,
            useful=drawn.useful,
            tokens=drawn.tokens * drawn.useful,
            output=drawn.tokens,
            judged=np.ones(calls),
        )
        guesses = _rough_guesses(large, chosen) if method is Method.DOUBLY_ROBUST else None
        figures = figures_of(columns, guesses, method, seed=seed, resamples=_RESAMPLES)
        return Trial({RATE: figures.useful_rate, CPUT: figures.cput, ANSWER: figures.cost_per_useful_answer}[what])

    def known() -> float:
        rng = np.random.default_rng(99)
        is_hard = rng.random(TRUTH_CALLS) < 0.4
        large = rng.random(TRUTH_CALLS) < np.where(is_hard, wanted[1], wanted[0])
        drawn = _by_arm(easy, hard, is_hard, large, rng)
        return figure(drawn, what)

    return Setting(family=f"rerouted, {method}", name=name, what=what, scarce=scarce, truth=known, trial=trial)


def _by_arm(easy: Population, hard: Population, is_hard: Column, large: Column, rng: np.random.Generator) -> Calls:
    """Return calls of either kind; the large model costs five times as much and is right more often."""
    kinds = easy.draw(rng, len(large)), hard.draw(rng, len(large))
    cost, tokens, chance, _, label = (
        np.where(is_hard, of_hard, of_easy) for of_easy, of_hard in zip(*kinds, strict=True)
    )
    chance = np.where(large, 1 - (1 - chance) / 3, chance)
    return Calls(
        np.where(large, 5 * cost, cost), tokens, chance, (rng.random(len(large)) < chance).astype(float), label
    )


def _rough_guesses(large: Column, chosen: Column) -> tuple[Column, Column]:
    """Return what a model expects that knows the arm and not how hard a call is: cost, useful, useful tokens."""
    of_small, of_large = np.array([130.0, 0.6, 70.0]), np.array([600.0, 0.8, 95.0])
    routed = np.where(large[:, None], of_large, of_small)
    return routed, chosen[:, None] * of_large + (1 - chosen[:, None]) * of_small


def _weights(rng: np.random.Generator, calls: Calls, judged: int, *, unequal: bool) -> Column:
    """Return 1 / probability of the calls drawn for the trusted source, 0 elsewhere."""
    n = len(calls.cost)
    if not unequal:
        weight = np.zeros(n)
        weight[rng.choice(n, judged, replace=False)] = n / judged
        return weight
    inclusion = np.where(calls.label == 1, 0.4, 1.6) * judged / n
    return np.where(rng.random(n) < inclusion, 1 / inclusion, 0.0)


def _alone(columns: Columns, what: str, seed: int) -> Interval:
    drawn = columns.weight > 0
    weight, useful, size = columns.weight[drawn], columns.useful[drawn], columns.size[drawn]
    if what == RATE:
        return weighted_share_interval(weight, useful)
    return weighted_cost_interval(
        weight, columns.cost[drawn], size * useful, possible=size, seed=seed, resamples=_RESAMPLES
    )


def _setting(
    family: str,
    name: str,
    what: str,
    population: Population,
    trial: Callable[[np.random.Generator, int], Trial],
    *,
    scarce: bool,
) -> Setting:
    return Setting(
        family=family, name=name, what=what, scarce=scarce, truth=lambda: truth(population, what), trial=trial
    )


SHORT = Population(rate=0.3)
LONG_FAIL = Population(rate=0.3, sigma=1.0, by_length=-0.5)
SKEWED = Population(rate=0.05, sigma=1.0)
SURE = Population(rate=0.3, sensitivity=0.98, specificity=0.98)
BLIND = Population(rate=0.3, sensitivity=0.5, specificity=0.5)

SETTINGS = (
    all_judged("200 calls, 30 % useful", SHORT, 200),
    all_judged("200 calls, 30 % useful, long ones fail", LONG_FAIL, 200),
    all_judged("500 calls, 5 % useful, skewed", SKEWED, 500, scarce=True),
    all_judged("50 calls, 10 % useful, skewed", Population(rate=0.1, sigma=1.0), 50, scarce=True),
    all_judged("50 calls, 5 % useful", Population(rate=0.05), 50, scarce=True),
    from_sums("20,000 calls, 10 % useful", Population(rate=0.1), 20_000),
    from_sums("20,000 calls, 10 % useful, skewed", Population(rate=0.1, sigma=1.0, by_length=-0.5), 20_000),
    from_sums("20,000 calls, 25 useful, skewed", Population(rate=0.00125, sigma=1.0), 20_000, scarce=True),
    from_sums("20,000 calls, 8 useful, skewed", Population(rate=0.0004, sigma=1.0), 20_000, scarce=True),
    *(powered("200 of 2,000 judged", SHORT, 2000, 200, what) for what in (RATE, CPUT, ANSWER)),
    *(powered("200 of 2,000, long ones fail", LONG_FAIL, 2000, 200, what) for what in (RATE, CPUT, ANSWER)),
    *(powered("200 of 2,000, drawn unequally", LONG_FAIL, 2000, 200, what, unequal=True) for what in (RATE, CPUT)),
    *(
        powered("200 of 2,000, check silent on half", replace(SHORT, silent=0.5), 2000, 200, what)
        for what in (RATE, CPUT)
    ),
    *(powered("200 of 2,000, the check knows nothing", BLIND, 2000, 200, what) for what in (RATE, CPUT, ANSWER)),
    *(powered("200 of 200 judged", LONG_FAIL, 200, 200, what) for what in (RATE, CPUT)),
    *(powered("100 of 2,000, check 98 % right", SURE, 2000, 100, what, scarce=True) for what in (RATE, CPUT)),
    powered("100 of 2,000, 5 % useful, skewed", SKEWED, 2000, 100, CPUT, scarce=True),
    powered("30 of 1,000, 10 % useful, skewed", Population(rate=0.1, sigma=1.0), 1000, 30, CPUT, scarce=True),
    powered("12 of 500", SHORT, 500, 12, CPUT, scarce=True),
    powered("12 of 500, long ones fail", LONG_FAIL, 500, 12, CPUT, scarce=True),
    powered("12 of 500", SHORT, 500, 12, RATE, scarce=True),
    *(rerouted("400 calls", method, RATE, 400) for method in Method),
    *(rerouted("400 calls", method, CPUT, 400) for method in (Method.SELF_NORMALISED, Method.DOUBLY_ROBUST)),
    *(rerouted("300 calls, weights to 17", method, RATE, 300, log=(0.9, 0.97), scarce=True) for method in Method),
    rerouted("300 calls, weights to 17", Method.SELF_NORMALISED, CPUT, 300, log=(0.9, 0.97), scarce=True),
)
"""All rows of the card."""
