"""Two policies on one workload, item by item, charged against the same useful tokens.

Each item has one reference length. A policy whose answer to it is useful gains that length, whatever its own answer's
length, so that padding an answer never makes it look cheaper.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from cput.errors import InputError
from cput.ledger.facts import Fact
from cput.ledger.interval import UNKNOWN_INTERVAL, Interval, ratio_interval
from cput.records import Verdict

_Z_TWO_SIDED = float(special.ndtri(0.975))
_Z_ONE_SIDED = float(special.ndtri(0.95))
_HALVINGS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A candidate against a baseline, over the items that both answered and that are judged for both."""

    items: int
    """Pairs compared."""
    ratio: Interval
    """Candidate CPUT / baseline CPUT, paired by item; below 1 the candidate is cheaper."""
    baseline_useful: int
    """Items on which the baseline was useful."""
    candidate_useful: int
    """Items on which the candidate was useful."""
    only_baseline: int
    """Items on which only the baseline was useful."""
    only_candidate: int
    """Items on which only the candidate was useful."""
    difference: Interval
    """Candidate useful rate minus baseline useful rate, Tango's paired score interval, 95 % two-sided."""
    lower_bound: float | None
    """95 % one-sided lower bound of that difference."""
    p_lower: float | None
    """Exact one-sided McNemar p: how likely this few candidate-only items are if the candidate is not worse."""
    margin: float
    """How much lower a useful rate is still called not lower."""
    not_lower: bool
    """Whether ``lower_bound`` is at least -``margin``: proven with 95 % confidence, not merely not refuted."""


def compare(
    baseline: Sequence[Fact],
    candidate: Sequence[Fact],
    reference_tokens: Mapping[str, int] | None = None,
    *,
    margin: float = 0.0,
    seed: int = 0,
    resamples: int = 4000,
) -> Comparison:
    """Compare by item (by call id where there is no item).

    ``reference_tokens`` gives an item's reference length; elsewhere it is the length of the baseline's useful answer,
    or of the candidate's where the baseline's was useless.

    Raises:
        InputError: when an item occurs twice on one side, or the margin is not in 0..1.
    """
    if not 0 <= margin < 1:
        raise InputError(f"the margin is {margin}; allowed: 0 up to 1, such as 0.02 for two percentage points")
    pairs = _pairs(baseline, candidate)
    wins = [(_useful(b), _useful(c)) for b, c in pairs]
    only_b, only_c = wins.count((True, False)), wins.count((False, True))
    lower = tango_bound(only_c, only_b, len(pairs), _Z_ONE_SIDED) if pairs else None
    return Comparison(
        items=len(pairs),
        ratio=_ratio(pairs, reference_tokens or {}, seed, resamples),
        baseline_useful=sum(b for b, _ in wins),
        candidate_useful=sum(c for _, c in wins),
        only_baseline=only_b,
        only_candidate=only_c,
        difference=_difference(only_c, only_b, len(pairs)),
        lower_bound=lower,
        p_lower=float(special.bdtr(only_c, only_b + only_c, 0.5)) if pairs else None,
        margin=margin,
        not_lower=lower is not None and lower >= -margin,
    )


def tango_bound(gained: int, lost: int, n: int, z: float) -> float:
    """Return the lower score bound of (gained - lost) / n for paired answers (Tango, Stat. Med. 17, 1998, 891-908).

    ``gained`` and ``lost`` are the discordant pairs; ``z`` is the normal quantile.
    """
    return _bisect(lambda delta: _score(gained, lost, n, delta) > z, -1.0, (gained - lost) / n)


def _difference(gained: int, lost: int, n: int) -> Interval:
    if n == 0:
        return UNKNOWN_INTERVAL
    low = tango_bound(gained, lost, n, _Z_TWO_SIDED)
    high = -tango_bound(lost, gained, n, _Z_TWO_SIDED)
    return Interval((gained - lost) / n, low, high)


def _score(gained: int, lost: int, n: int, delta: float) -> float:
    """Return Tango's statistic: (gained - lost - n delta) over its error at the restricted maximum likelihood."""
    linear = -gained - lost + (2 * n - gained + lost) * delta
    constant = -lost * delta * (1 - delta)
    q = (sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    away = gained - lost - n * delta
    return away / sqrt(variance) if variance > 0 else float("inf") if away > 0 else 0.0


def _bisect(too_low: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_low(middle) else (low, middle)
    return low


def _pairs(baseline: Sequence[Fact], candidate: Sequence[Fact]) -> list[tuple[Fact, Fact]]:
    theirs = _by_item("candidate", candidate)
    pairs = [(fact, theirs[key]) for key, fact in _by_item("baseline", baseline).items() if key in theirs]
    return [pair for pair in pairs if all(fact.verdict is not Verdict.PENDING for fact in pair)]


def _by_item(side: str, facts: Sequence[Fact]) -> dict[str, Fact]:
    found: dict[str, Fact] = {}
    for fact in facts:
        key = fact.item if fact.item is not None else fact.id
        if key in found:
            raise InputError(f"item '{key}' occurs twice in the {side}; allowed: each item once per side")
        found[key] = fact
    return found


def _ratio(pairs: Sequence[tuple[Fact, Fact]], given: Mapping[str, int], seed: int, resamples: int) -> Interval:
    """Return CPUT ratio: (cost_c / tokens_c) / (cost_b / tokens_b), both in reference tokens."""
    costs = [(b.cost, c.cost) for b, c in pairs]
    lengths = [_reference(b, c, given) for b, c in pairs]
    if not pairs or None in lengths or any(None in pair for pair in costs):
        return UNKNOWN_INTERVAL
    cost, length = np.array(costs, float), np.array(lengths, float)
    gain_b = length * [_useful(b) for b, _ in pairs]
    gain_c = length * [_useful(c) for _, c in pairs]
    useful = min(int((gain_b > 0).sum()), int((gain_c > 0).sum()))
    if not gain_b.any() or not cost[:, 0].any():
        return UNKNOWN_INTERVAL  # the baseline has no useful token, or cost nothing: there is nothing to divide by
    if not gain_c.any():
        return Interval(None, None, float("inf"))
    if not cost[:, 1].any():
        return Interval(0.0, 0.0, 0.0)
    return ratio_interval([cost[:, 1], gain_b], [cost[:, 0], gain_c], useful=useful, seed=seed, resamples=resamples)


def _reference(baseline: Fact, candidate: Fact, given: Mapping[str, int]) -> int | None:
    key = baseline.item if baseline.item is not None else baseline.id
    if key in given:
        return given[key]
    if _useful(baseline):
        return baseline.useful_tokens
    return candidate.useful_tokens if _useful(candidate) else 0


def _useful(fact: Fact) -> bool:
    return fact.verdict is Verdict.USEFUL
