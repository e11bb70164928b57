"""Certify: the cheapest candidate that provably keeps the quality floor, by Learn-then-Test.

Candidates are configurations of one policy (thresholds of a router, say), fitted on other prompts. Each is a hypothesis
"its quality is below the floor", tested on held-out outcomes; what is rejected is certified, and the error rate is
shared by testing in sequence (Angelopoulos, Bates, Candes, Jordan and Lei 2021, arXiv 2110.01052). A candidate must
hold the floor overall and on each declared slice, so that the largest of its p-values counts.

    found = certify(quality, cost_usd, floor=Floor(share_of_baseline=0.95), reference=strong, names=thresholds)
    serve = policies[found.choice] if found.choice is not None else strong_engine

The best single engine must be picked on the prompts that the policy was fitted on. Picked on these, it is the luckiest
here: the floor would be held against its luck.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt

from cput.errors import InputError
from cput.policy.guarantee.certificate import BEST, OVERALL, Candidate, Certificate, Held
from cput.policy.guarantee.claims import Claim, claims_of
from cput.policy.guarantee.levels import as_certified, levels_of
from cput.policy.guarantee.needed import cheapest_way, prompts_for
from cput.policy.guarantee.sequence import in_sequence, shares
from cput.workloads import Floor

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.bool_]

STARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """The choice, and what was shown of it."""

    choice: int | None
    """Column of the cheapest certified candidate; None: nothing is certified, serve the strong engine."""
    certificate: Certificate
    """The record, for the policy's file."""


def certify(
    quality: Floats,
    cost_usd: Floats,
    *,
    floor: Floor,
    reference: Floats | None = None,
    slices: Mapping[str, Places] | None = None,
    delta: float = 0.05,
    names: Sequence[str] = (),
    starts: int = STARTS,
    data: str = "",
    share_of: str = BEST,
    made_on: date | None = None,
) -> Certified:
    """Choose the cheapest of ``c`` candidates that keeps the floor with probability 1 - delta.

    Args:
        quality: (n, c), between 0 and 1, of each candidate on the same n held-out prompts. Columns stand in order from
            the safest (most expensive) to the riskiest: the order may not come from these outcomes.
        cost_usd: (n, c), what each candidate cost.
        floor: what must be kept; with both of its fields set, both must be.
        reference: (n,) quality of the best single engine on the same prompts; needed for ``floor.share_of_baseline``.
        slices: for each name (n,) whether a prompt belongs to it; each must keep the floor by itself.
        delta: probability with which anything below the floor may be certified.
        names: of the candidates.
        starts: points from which the sequence of tests starts; see ``sequence``.
        data: name or digest of the held-out outcomes.
        share_of: who ``reference`` is, in words.
        made_on: the certificate's date; today if None.

    Raises:
        InputError: shapes differ, a quality is unknown or outside [0, 1], a cost is unknown, a slice is empty, or the
            floor, delta or ``starts`` is not what it must be.
    """
    quality, cost_usd = np.asarray(quality, dtype=float), np.asarray(cost_usd, dtype=float)
    _check(quality, cost_usd, delta, names, starts)
    claims = claims_of(quality, floor, reference)
    within = {OVERALL: np.ones(len(quality), dtype=bool), **_checked(slices or {}, len(quality))}
    tried = _Tried(quality, claims, within)
    own = shares(quality.shape[1], delta=delta, starts=starts)
    verdicts = in_sequence(lambda place, level: bool(tried.p(level)[place] <= level), own)
    mean_cost = cost_usd.mean(axis=0)
    candidates = tuple(
        Candidate(
            name=str(names[place]) if names else str(place),
            quality=float(quality[:, place].mean()),
            cost_usd=float(mean_cost[place]),
            level=level,
            certified=passed,
            held=tried.held(place, level or own[0]),
        )
        for place, (level, passed) in enumerate(verdicts)
    )
    passed = [place for place, candidate in enumerate(candidates) if candidate.certified]
    choice = min(passed, key=lambda place: (mean_cost[place], place)) if passed else None
    saves = [bool(cost < mean_cost[0]) for cost in mean_cost]
    return Certified(
        choice=choice,
        certificate=Certificate(
            n=len(quality),
            slices={name: int(members.sum()) for name, members in within.items() if name != OVERALL},
            delta=delta,
            useful_rate=floor.useful_rate,
            share_of_baseline=floor.share_of_baseline,
            baseline_quality=None if reference is None else float(np.mean(reference)),
            levels=levels_of(floor, reference, within),
            as_certified={} if choice is None else as_certified(quality[:, choice], within),
            candidates=candidates,
            choice=choice,
            bound=None if choice is None else tried.bound(choice, delta),
            needed=0 if choice is not None and saves[choice] else tried.needed(own, saves),
            starts=starts,
            data=data,
            share_of=share_of,
            made_on=made_on or datetime.now(UTC).date(),
        ),
    )


class _Tried:
    """All tests of all candidates: each claim on each slice, worked out once for a level."""

    def __init__(self, quality: Floats, claims: Sequence[Claim], within: Mapping[str, Places]) -> None:
        self._quality = quality
        self._parts = [(claim, name, members) for claim in claims for name, members in within.items()]
        self._at: dict[float, list[Floats]] = {}

    def p(self, level: float) -> Floats:
        """Return each candidate's largest p-value, of tests that aim at ``level``."""
        largest: Floats = np.max(self._each(level), axis=0)
        return largest

    def held(self, place: int, level: float) -> tuple[Held, ...]:
        """Return one candidate's tests."""
        return tuple(
            Held(
                slice=name,
                floor=claim.kind,
                n=int(members.sum()),
                quality=float(self._quality[members, place].mean()),
                p=float(p[place]),
                method=claim.method,
            )
            for (claim, name, members), p in zip(self._parts, self._each(level), strict=True)
        )

    def bound(self, place: int, level: float) -> float:
        """Return the largest floor of the last claim's kind that the candidate would have passed by itself."""
        kind = self._parts[-1][0].kind
        of_kind = [(claim, members) for claim, _, members in self._parts if claim.kind == kind]
        return min(claim.largest(place, members, level) for claim, members in of_kind)

    def needed(self, own: Sequence[float], saves: Sequence[bool]) -> int | None:
        """Return how many more prompts would show a saving; None where none is to be seen."""
        level = own[0]
        n = len(self._quality)
        needs = [
            max(
                prompts_for(claim.margins[members, place], lowest=claim.lowest, level=level) * n / members.sum()
                for claim, _, members in self._parts
            )
            for place in range(self._quality.shape[1])
        ]
        enough = cheapest_way(needs, own, saves)
        return None if np.isinf(enough) else max(1, int(np.ceil(enough)) - n)

    def _each(self, level: float) -> list[Floats]:
        if level not in self._at:
            self._at[level] = [claim.p(members, level) for claim, _, members in self._parts]
        return self._at[level]


def _check(quality: Floats, cost_usd: Floats, delta: float, names: Sequence[str], starts: int) -> None:
    if quality.ndim != 2 or not quality.size or quality.shape != cost_usd.shape:
        raise InputError(
            f"quality has shape {quality.shape} and cost_usd {cost_usd.shape}; allowed: one (prompts, candidates)"
        )
    if names and len(names) != quality.shape[1]:
        raise InputError(f"{len(names)} names were given; allowed: {quality.shape[1]}, one a candidate, or none")
    if np.isnan(cost_usd).any():
        raise InputError(f"{int(np.isnan(cost_usd).sum()):,} of the costs are unknown; allowed: none of them")
    if not 0 < delta < 1:
        raise InputError(f"delta is {delta}; allowed: a probability between 0 and 1, such as 0.05")
    if starts < 1:
        raise InputError(f"starts is {starts}; allowed: 1 or more")


def _checked(slices: Mapping[str, Places], n: int) -> Mapping[str, Places]:
    found: dict[str, Places] = {}
    for name, given in slices.items():
        members = np.asarray(given, dtype=bool)
        if members.shape != (n,) or not members.any() or name == OVERALL:
            raise InputError(
                f"slice '{name}' has shape {members.shape} and {int(members.sum())} prompts; allowed: ({n},) with at "
                f"least one prompt, by another name than '{OVERALL}'"
            )
        found[name] = members
    return found
