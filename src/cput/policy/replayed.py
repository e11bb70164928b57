"""Replayed: what a policy would have given and paid on recorded answers, decided exactly as the live engine decides.

    quality, cost_usd, legs, given = replayed(cascade, table)
    quality, cost_usd = columns(candidates, table)      # (n, c) each, for ``certify``

Nothing is asked and nothing is paid. A leg that the live engine hangs up early is counted with its whole cost.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cput.policy.recorded import Recorded

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Replayed(NamedTuple):
    """One policy on ``n`` prompts and ``m`` engines (the policy's, in its order)."""

    quality: Floats
    """(n,): of the answer that is given; NaN is unknown."""
    cost_usd: Floats
    """(n,): of all legs; NaN is unknown."""
    legs: Flags
    """(n, m): who is asked."""
    given: Ints
    """(n,): whose answer is given."""


class Replayable(Protocol):
    """A policy that can say what it would have done."""

    def replayed(self, table: Recorded) -> Replayed:
        """Return what it gives and pays on recorded answers.

        Raises:
            InputError: the record lacks an engine, or what a stop rule reads.
        """
        ...


def replayed(policy: Replayable, table: Recorded) -> Replayed:
    """Return what a cascade, a router or a cascade router gives and pays on recorded answers; see ``Replayable``."""
    return policy.replayed(table)


def columns(policies: Sequence[Replayable], table: Recorded) -> tuple[Floats, Floats]:
    """Return quality and cost (n, c) of each policy on the same prompts, in their order."""
    each = [policy.replayed(table) for policy in policies]
    return np.column_stack([one.quality for one in each]), np.column_stack([one.cost_usd for one in each])


def paid(quality: Floats, cost_usd: Floats, legs: Flags, given: Ints) -> Replayed:
    """Return what was given and paid, by who is asked (n, m) and whose answer is given (n,)."""
    rows = np.arange(len(given))
    return Replayed(quality[rows, given], np.where(legs, cost_usd, 0.0).sum(axis=1), legs, given)


def safest_first(quality: Floats, cost_usd: Floats) -> list[int]:
    """Return the candidates that are worth a look, by column, from the safest (most expensive) to the riskiest.

    Left out is whichever costs as much as another one, or more, and gives no better quality. ``quality`` and
    ``cost_usd`` are (n, c); their means decide, over the prompts where both are known.
    """
    quality_mean, cost_mean = np.nanmean(quality, axis=0), np.nanmean(cost_usd, axis=0)
    kept: list[int] = []
    for at in np.lexsort((-quality_mean, cost_mean)):
        if not kept or quality_mean[at] > quality_mean[kept[-1]]:
            kept.append(int(at))
    return kept[::-1]


def within(quality: Floats, cost_usd: Floats, budget_usd: float) -> int | None:
    """Return the candidate (n, c) with the best mean quality whose mean cost a call is at most ``budget_usd``.

    Of two the cheaper. None where none is so cheap.
    """
    quality_mean, cost_mean = np.nanmean(quality, axis=0), np.nanmean(cost_usd, axis=0)
    fits = np.flatnonzero(cost_mean <= budget_usd)
    return int(fits[np.lexsort((cost_mean[fits], -quality_mean[fits]))[0]]) if len(fits) else None


def above(quality: Floats, cost_usd: Floats, floor: float) -> int | None:
    """Return the cheapest candidate (n, c) whose mean quality is at least ``floor``; None where none is.

    On the record it was fitted on this is a hope and no proof: ``certify`` proves on other prompts.
    """
    quality_mean, cost_mean = np.nanmean(quality, axis=0), np.nanmean(cost_usd, axis=0)
    fits = np.flatnonzero(quality_mean >= floor)
    return int(fits[np.lexsort((-quality_mean[fits], cost_mean[fits]))[0]]) if len(fits) else None


def ladder(cost_usd: Floats, count: int) -> Floats:
    """Return ``count`` prices of a dollar in quality, rising from 0, that fit recorded costs (n, m).

    Between them lies every trade from "the best whatever it costs" to "the cheapest whatever it gives": a step of the
    cheapest to the dearest engine is worth from a thousandth of an answer to ten.
    """
    mean = np.nanmean(cost_usd, axis=0)
    step = float(mean.max() - mean.min())
    scale = 1.0 / step if step > 0 else 1.0
    return np.concatenate([[0.0], scale * np.geomspace(1e-3, 10.0, count - 1)])
