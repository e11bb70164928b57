"""Plan: cascade routing as one object, for one call and for a whole record: whom to ask first, whom next, when to stop.

    plans = plan_path(engines, expected, scores, quality, cost_usd)        # safest first, for ``certify``
    plan = plans[within(*columns_of(plans), budget_usd=0.002)]

``CascadeRouter`` runs one on live engines; both take each step by ``Plan.next``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Self

import numpy as np

from cput.errors import InputError, SetupError
from cput.policy.cascade.lookahead import STOP, by_index, by_sets
from cput.policy.cascade.spread import Spread
from cput.policy.estimates import Expected
from cput.policy.replayed import Flags, Floats, Ints, Replayed, ladder, paid, safest_first


class Lookahead(StrEnum):
    """How the next step is chosen; see ``lookahead``."""

    INDEX = "index"
    """By reservation values: optimal where the estimates are right and the engines independent."""
    SETS = "sets"
    """By the best set of engines, as published."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """When to ask whom, for one price of a dollar."""

    engines: tuple[str, ...]
    """Names, ``m``, in the order of all columns."""
    usd: float
    """How much quality (0 to 1) a dollar is worth."""
    spread: Spread
    """How far scores come to lie from what was expected."""
    lookahead: Lookahead = Lookahead.INDEX
    """How the next step is chosen."""

    def __post_init__(self) -> None:
        """Check the exchange rate.

        Raises:
            InputError: it is negative or no number.
        """
        if not 0 <= self.usd < float("inf"):
            raise InputError(f"a dollar is worth {self.usd} of quality here; allowed: 0 or more")

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            SetupError: the file can't be written there.
        """
        spread = {field.name: getattr(self.spread, field.name).tolist() for field in fields(Spread)}
        said = {"engines": self.engines, "usd": self.usd, "lookahead": self.lookahead.value, "spread": spread}
        try:
            path.write_text(json.dumps(said), encoding="utf-8")
        except OSError as error:
            raise SetupError(f"plan {path} can't be written ({error.strerror}); give another place") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one.

        Raises:
            InputError: there is none, or it does not read as one.
        """
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            engines = tuple(map(str, said["engines"]))
            spread = Spread(**{name: np.array(value, dtype=np.float64) for name, value in said["spread"].items()})
            spread.fits(len(engines))
            return cls(engines=engines, usd=float(said["usd"]), spread=spread, lookahead=Lookahead(said["lookahead"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path} holds no plan ({error}); `Plan.save` writes one") from error

    def next(self, expected: Expected, scores: Floats, seen: Flags, open_: Flags) -> Ints:
        """Return whom to ask next (n,), or ``STOP``.

        ``scores`` (n, m) are those of the engines ``seen`` (n, m), NaN where a rule could not tell; ``open_`` (n, m)
        may still be asked. An engine that failed is neither.
        """
        told = known_scores(expected, scores)
        outlook = self.spread.outlook(expected.quality, told, seen)
        best = np.where(seen, told, -np.inf).max(axis=1)
        step = by_index if self.lookahead is Lookahead.INDEX else by_sets
        return step(outlook, expected.cost_usd, self.usd, best, open_)

    def through(self, expected: Expected, scores: Floats, quality: Floats, cost_usd: Floats) -> Replayed:
        """Return what it gives and pays on recorded answers, all (n, m): of the answers seen the one scored best."""
        seen = np.zeros(quality.shape, np.bool_)
        going = np.arange(len(quality))
        for _ in self.engines:
            ahead = Expected(expected.quality[going], expected.cost_usd[going])
            next_ = self.next(ahead, scores[going], seen[going], ~seen[going])
            going, next_ = going[next_ != STOP], next_[next_ != STOP]
            if not len(going):
                break
            seen[going, next_] = True
        return paid(quality, cost_usd, seen, taken(expected, scores, seen))


def known_scores(expected: Expected, scores: Floats) -> Floats:
    """Return the scores (n, m); one that a rule could not tell is what was expected."""
    return np.where(np.isnan(scores), expected.quality, scores)


def taken(expected: Expected, scores: Floats, seen: Flags) -> Ints:
    """Return whose answer is given (n,): of those ``seen`` the best score, of two the first column."""
    first: Ints = np.where(seen, known_scores(expected, scores), -np.inf).argmax(axis=1)
    return first


def plan_path(
    engines: Sequence[str],
    expected: Expected,
    scores: Floats,
    quality: Floats,
    cost_usd: Floats,
    *,
    count: int = 24,
    linked: bool = True,
    lookaheads: Sequence[Lookahead] = (Lookahead.INDEX,),
) -> tuple[Plan, ...]:
    """Return plans from the safest to the riskiest, fitted on recorded answers; all arrays are (n, m).

    ``scores`` are what the stop rules say of the recorded answers, ``quality`` and ``cost_usd`` what they were worth
    and cost. One plan for each of ``count`` prices of a dollar and each of ``lookaheads``; those that another one beats
    on these prompts in cost and quality are left out.
    """
    spread = Spread.fit(expected.quality, scores, linked=linked)
    plans = [
        Plan(engines=tuple(engines), usd=float(usd), spread=spread, lookahead=lookahead)
        for usd in ladder(cost_usd, count)
        for lookahead in lookaheads
    ]
    each = [plan.through(expected, scores, quality, cost_usd) for plan in plans]
    kept = safest_first(np.column_stack([one.quality for one in each]), np.column_stack([one.cost_usd for one in each]))
    return tuple(plans[at] for at in kept)
