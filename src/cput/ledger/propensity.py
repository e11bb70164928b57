"""What another policy would have cost, from calls that a policy routed by chance and wrote down with which chance.

Only the routed arm's outcome is ever seen. A call that was sent to an arm with probability p, which the policy asked
about would choose with probability q, counts q / p times (inverse propensity score, Horvitz and Thompson 1952):

* *IPS* averages the weighted outcomes: unbiased, wide, and a rate may come out above 1;
* *self-normalised* (Hajek; Swaminathan and Joachims 2015) divides by the weights' own sum: hardly biased and narrower.
  A cost per something useful is a ratio of two weighted sums, so for it both are one;
* *doubly robust* (Dudik, Langford and Li 2011) adds the weighted errors of a model to its predictions: right where
  either the propensities or the model are, narrow where the model is good. The model must not have been fitted to the
  same outcomes (or be cross-fitted), else its errors look too small.

``clip`` bounds a call's weight: narrower, and biased towards the policy that was logged by an amount nobody knows, so
that what was clipped away is shown. The policy that was logged gets the figures that ``cput`` gives.

    small = off_policy(facts, always(model="small"))
    print(small.cput, small.effective_calls)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cput.errors import InputError, unknown
from cput.ledger.facts import Fact
from cput.ledger.interval import Column, Interval
from cput.ledger.reweighted import Figures, Logged, Method, figures_of
from cput.ledger.weighted import kish
from cput.records import Verdict

__all__ = ["Guess", "Guesses", "Method", "OffPolicy", "always", "off_policy"]

_ARMS = ("engine", "model", "policy")
_DOUBTFUL_ERRORS = 4.0  # standard errors by which the mean weight may miss 1


class Guess(NamedTuple):
    """What a model expects of one call under one way of routing it."""

    cost: float
    """Cost, in the unit of the facts'."""
    useful: float
    """Probability that its answer is useful."""
    useful_tokens: float
    """Expected useful tokens: probability times length."""


class Guesses(NamedTuple):
    """The two predictions that the doubly robust method needs of a call."""

    routed: Guess
    """For the arm that it was sent to."""
    target: Guess
    """For the policy asked about: the mean over its arms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPolicy:
    """What the policy asked about would have given on these calls."""

    method: Method
    """How the outcomes were put together."""
    useful_rate: Interval
    """Useful share of judged calls, with its 95 % interval."""
    cput: Interval
    """Cost per useful token; pending money counts and pending tokens do not yet, as in ``cput``."""
    cost_per_useful_answer: Interval
    """Cost per useful answer, likewise."""
    calls: int
    """Calls read."""
    matched: int
    """Calls with a weight above 0: those whose arm the policy asked about might have chosen."""
    coverage: float
    """Weighted share of calls with a verdict."""
    effective_calls: float
    """How many calls routed by that policy itself would say as much (Kish)."""
    mean_weight: float
    """Near 1 where the logged policy reached all that the other one would choose."""
    largest_weight: float
    """The heaviest call's, after clipping."""
    clipped: int
    """Calls whose weight was cut to ``clip``."""
    clipped_share: float
    """Share of all weight that was cut away: the bias's only witness."""
    notes: tuple[str, ...]
    """Sentences on what makes a figure unknown or doubtful; none where all is well."""


def always(**arm: str) -> Callable[[Fact], float]:
    """Return the policy that sends every call to one arm: ``always(model="small")``, by engine, model or policy.

    Raises:
        InputError: when a fact has no such field, or none is given.
    """
    if not arm:
        raise InputError(f"no arm was named; allowed: one or more of {', '.join(_ARMS)}, such as model='small'")
    for name in arm:
        if name not in _ARMS:
            raise unknown("arm", name, _ARMS)
    return lambda fact: float(all(getattr(fact, name) == value for name, value in arm.items()))


def off_policy(
    facts: Sequence[Fact],
    target: Callable[[Fact], float],
    *,
    method: Method = Method.SELF_NORMALISED,
    predict: Callable[[Fact], Guesses] | None = None,
    clip: float | None = None,
    least_effective: float = 10.0,
    seed: int = 0,
    resamples: int = 4000,
) -> OffPolicy:
    """Return what a policy would have given that chooses each call's logged arm with probability ``target(fact)``.

    ``predict`` is needed by, and only by, the doubly robust method.

    Raises:
        InputError: when a propensity is missing or not in (0, 1], when fewer than ``least_effective`` effective calls
            are left, or when an argument is not what it must be.
    """
    if (predict is not None) != (method is Method.DOUBLY_ROBUST):
        raise InputError(
            f"method is '{method}' and predict is {'given' if predict else 'missing'}; allowed: predict with"
            f" '{Method.DOUBLY_ROBUST}' and only with it"
        )
    if clip is not None and not clip > 0:
        raise InputError(f"clip is {clip}; allowed: a weight above 0, such as 20, or none")
    if not least_effective >= 2:
        raise InputError(f"least_effective is {least_effective}; allowed: 2 or more calls")
    whole = _weights(facts, target)
    weight = whole if clip is None else np.minimum(whole, clip)
    if kish(weight) < least_effective:
        raise InputError(
            f"{len(facts):,} calls are worth {kish(weight):.1f} calls of the policy asked about; allowed: at"
            f" least {least_effective:g}; log more calls, route more by chance, or ask about a policy nearer to it"
        )
    logged = _logged(facts, weight)
    guesses = None if predict is None else _guesses(facts, predict)
    figures = figures_of(logged, guesses, method, seed=seed, resamples=resamples)
    return OffPolicy(
        method=method,
        useful_rate=figures.useful_rate,
        cput=figures.cput,
        cost_per_useful_answer=figures.cost_per_useful_answer,
        calls=len(facts),
        matched=int(np.count_nonzero(weight)),
        coverage=float(weight @ logged.judged / weight.sum()),
        effective_calls=kish(weight),
        mean_weight=float(whole.mean()),
        largest_weight=float(weight.max()),
        clipped=int((whole > weight).sum()),
        clipped_share=float(1 - weight.sum() / whole.sum()),
        notes=(*_notes(logged, whole), *_outweighed(logged, figures)),
    )


def _weights(facts: Sequence[Fact], target: Callable[[Fact], float]) -> Column:
    missing = [fact.id for fact in facts if fact.propensity is None]
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(facts):,} calls have no propensity, the first is '{missing[0]}'; allowed: the"
            " probability, above 0 up to 1, with which the policy chose the engine (Attempt.propensity)"
        )
    return np.array([_weight(fact, target(fact)) for fact in facts], dtype=float)


def _weight(fact: Fact, chosen: float) -> float:
    if fact.propensity is None or not 0 < fact.propensity <= 1:
        raise InputError(f"the propensity of call '{fact.id}' is {fact.propensity}; allowed: above 0 up to 1")
    if not 0 <= chosen <= 1:
        raise InputError(f"the target policy's probability for call '{fact.id}' is {chosen}; allowed: 0 to 1")
    return chosen / fact.propensity


def _logged(facts: Sequence[Fact], weight: Column) -> Logged:
    """Return one row per call; unknown figures are NaN where the call has weight, and 0 where it has none."""

    def column(read: Callable[[Fact], float | None]) -> Column:
        values = np.array([read(fact) for fact in facts], dtype=float)  # None becomes NaN
        return np.where(weight > 0, values, 0.0)

    return Logged(
        weight=weight,
        cost=column(lambda fact: fact.cost),
        useful=column(lambda fact: float(fact.verdict is Verdict.USEFUL)),
        tokens=column(lambda fact: fact.useful_tokens if fact.verdict is Verdict.USEFUL else 0.0),
        output=column(lambda fact: fact.output_tokens),
        judged=np.array([float(fact.verdict is not Verdict.PENDING) for fact in facts], dtype=float),
    )


def _guesses(facts: Sequence[Fact], predict: Callable[[Fact], Guesses]) -> tuple[Column, Column]:
    """Return what is predicted for the routed arm and for the target policy, one row per call."""
    made = [predict(fact) for fact in facts]
    for fact, guesses in zip(facts, made, strict=True):
        if not np.isfinite([*guesses.routed, *guesses.target]).all():
            raise InputError(f"the prediction for call '{fact.id}' is {guesses}; allowed: finite numbers")
    routed = np.array([guesses.routed for guesses in made], dtype=float)
    return routed, np.array([guesses.target for guesses in made], dtype=float)


def _outweighed(logged: Logged, figures: Figures) -> tuple[str, ...]:
    """Say where a model's errors drove a sum below 0, so that a figure is unknown though all is known."""
    rate, per_token, per_answer = figures
    known = not (np.isnan(logged.cost).any() or np.isnan(logged.tokens).any()) and logged.judged.any()
    if not known or None not in (rate.low, per_token.high, per_answer.high):
        return ()
    return ("the model's errors outweigh what was seen: a figure is unknown; log more calls or mend the model",)


def _notes(logged: Logged, whole: Column) -> list[str]:
    uncounted = int(np.isnan(logged.tokens).sum())
    unpriced = int(np.isnan(logged.cost).sum())
    notes = []
    if unpriced:
        notes.append(f"the cost of {unpriced:,} matched calls is unknown")
    if uncounted:
        notes.append(f"the tokens of {uncounted:,} matched useful answers are unknown")
    error = float(whole.std(ddof=1)) / math.sqrt(len(whole))
    if abs(whole.mean() - 1) > _DOUBTFUL_ERRORS * error + 1e-9:
        notes.append(
            f"the weights average {whole.mean():.3g} and not 1: the logged policy did not reach all that the policy"
            " asked about would choose, or its propensities are wrong"
        )
    return notes
