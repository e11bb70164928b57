"""Confidence intervals. Each says which method it is and why.

A cost per useful token is a ratio of two sums over calls, C/U, where most U may be 0 and lengths are skewed. Its
interval is the wider, on each side, of two that are built on the logarithm:

* the *bootstrap-t* (Efron and Tibshirani 1993, ch. 12): calls are resampled jointly with their cost, and the
  studentized log ratio's own quantiles replace the normal's, second-order correct for skewed lengths, times Student's
  t over the normal quantile at (useful calls - 1) degrees of freedom;
* the *delta method* with that Student's t: with few useful calls a resample repeats the same few lengths, its standard
  error comes out too small, and the bootstrap alone covers 70 to 90 %. Long answers that were not seen would make the
  true cost lower than it looks, so that side reaches further, by the skewness that log-normal lengths would have.

``make bench-coverage`` simulates how often they cover; docs/benches/coverage.md has the figures. The coverage of the
percentile bootstrap falls to 79 %, of the bootstrap-t alone to 69 %, of the delta method with the normal's quantile to
85 %.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from cput.errors import InputError

TAIL = 0.025
NORMAL = float(special.ndtri(1 - TAIL))
MOST_CALLS = 5_000  # above this the delta interval stands alone: the two agree to the third digit
_CELLS = 2_000_000  # resampling weights held at once: 16 MB

Column = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A value with its 95 % interval; ``high`` may be infinite where too few calls were useful."""

    value: float | None
    low: float | None
    high: float | None


UNKNOWN_INTERVAL = Interval(None, None, None)


def ratio_interval(
    above: Sequence[Column], below: Sequence[Column], *, useful: int, seed: int, resamples: int
) -> Interval:
    """Return the interval of prod(sum(a) for a in above) / prod(sum(b) for b in below).

    Row i of every column is call i (or pair i). All sums must be positive. What only useful calls have stands last on
    its side; ``useful`` is the number of rows that carry the scarcest such sum. ``high`` is infinite when more than
    2.5 % of resamples have an empty sum below, ``low`` is 0 when more than 2.5 % have an empty sum above.
    """
    data = np.stack([*above, *below], axis=1)
    signs = np.array([1.0] * len(above) + [-1.0] * len(below))
    n = len(data)
    log_value = float(signs @ np.log(data.sum(axis=0)))
    value = float(np.exp(log_value))
    if n < 2:
        return Interval(value, 0.0, float("inf"))
    error = float(_errors(data.sum(axis=0)[None, :], _products(data).sum(axis=0)[None, :], signs, n)[0])
    low = log_value - _reach(error, useful, skewness_of(below[-1]))
    high = log_value + _reach(error, useful, skewness_of(above[-1]) if len(above) > 1 else 0.0)
    empty_below = float(np.exp(-useful))  # the chance that a repetition misses all useful rows
    empty_above = empty_below if len(above) > 1 else 0.0
    if n <= MOST_CALLS:
        sums, squares = _resample(data, seed, resamples)
        empty_above = float((sums[:, signs > 0] <= 0).any(axis=1).mean())
        empty_below = float((sums[:, signs < 0] <= 0).any(axis=1).mean())
        whole = (sums > 0).all(axis=1)
        if error > 0 and whole.any():
            t_low, t_high = _studentized(sums[whole], squares[whole], signs, n, log_value)
            wider = (
                error * _student(useful) / NORMAL
            )  # resamples repeat the few useful calls and know no more than they
            low, high = min(low, log_value - t_high * wider), max(high, log_value - t_low * wider)
    return Interval(
        value,
        0.0 if empty_above > TAIL else _exp(low),
        float("inf") if empty_below > TAIL else _exp(high),
    )


def delta_interval(value: float, error: float, *, useful: int, skewness: float) -> Interval:
    """Return the interval of a cost per something useful, from the standard error of its logarithm alone.

    ``useful`` is the number of useful calls, ``skewness`` that of their sum (see ``log_normal_skewness``). With so few
    that a repetition would miss all with more than 2.5 % (three or fewer), nothing bounds the cost from above.
    """
    low, high = value * _exp(-_reach(error, useful, skewness)), value * _exp(_reach(error, useful, 0.0))
    return Interval(value, low, float("inf") if float(np.exp(-useful)) > TAIL else high)


def log_normal_skewness(total: float, squares: float, count: int) -> float:
    """Return the skewness of a sum of a Poisson number of log-normal amounts, from what ``count`` of them add up to.

    For such amounts E[x^3] / E[x^2]^1.5 = (1 + cv^2)^1.5. A few calls show their second moment badly and their third
    not at all, so it is inferred rather than measured.
    """
    return float((count * squares / total**2) ** 1.5 / math.sqrt(count))


def skewness_of(gained: Column) -> float:
    """Return ``log_normal_skewness`` of the rows of a column that are not 0."""
    return log_normal_skewness(float(gained.sum()), float(gained @ gained), int(np.count_nonzero(gained)))


def low_without_useful(cost: float, possible: float | None, judged: int) -> float | None:
    """Return the least that a useful token can cost where none was seen: at the exact 97.5 % bound of the useful rate.

    ``possible`` is what would be useful if all calls were; None or 0, or no judged call, leaves the bound unknown.
    """
    if not judged or not possible:
        return None
    return cost / ((1.0 - math.pow(TAIL, 1 / judged)) * possible)


def share_interval(successes: int, trials: int) -> Interval:
    """Clopper-Pearson 95 % interval of a share: exact, its coverage is never below 95 % (Biometrika 26, 1934)."""
    if not 0 <= successes <= trials:
        raise InputError(f"{successes} successes of {trials} trials; allowed: 0 to the number of trials")
    if trials == 0:
        return UNKNOWN_INTERVAL
    failures = trials - successes
    low = float(special.betaincinv(successes, failures + 1, TAIL)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, failures, 1 - TAIL)) if failures else 1.0
    return Interval(successes / trials, low, high)


def _products(data: Column) -> Column:
    """Return the products of all pairs of columns i <= j, in the order of ``np.triu_indices``."""
    i, j = np.triu_indices(data.shape[1])
    return data[:, i] * data[:, j]


def _errors(sums: Column, squares: Column, signs: Column, n: int) -> Column:
    """Return the delta method's standard error of the signed log sums, for each row of sums.

    The influence of call i is sum_j s_j x_ij / X_j; its mean is 0 up to a constant that the correction removes.
    """
    i, j = np.triu_indices(len(signs))
    weight = np.where(i == j, 1.0, 2.0) * signs[i] * signs[j]
    second = (squares * weight / (sums[:, i] * sums[:, j])).sum(axis=1)
    mean = float(signs.sum()) / n
    variance: Column = np.maximum(second - n * mean**2, 0.0) * n / (n - 1)
    floor = 1e-12 * np.abs(squares * weight / (sums[:, i] * sums[:, j])).sum(axis=1)  # cancellation
    return np.sqrt(np.where(variance > floor, variance, 0.0))


def _resample(data: Column, seed: int, resamples: int) -> tuple[Column, Column]:
    """Return the sums of the columns and of their products in each resample of the rows."""
    rng = np.random.default_rng(seed)
    n, width = data.shape
    both = np.concatenate([data, _products(data)], axis=1)
    step = max(1, _CELLS // n)
    parts = [_counts(rng, min(step, resamples - start), n) @ both for start in range(0, resamples, step)]
    sums: Any = np.concatenate(parts)
    return sums[:, :width], sums[:, width:]


def _counts(rng: np.random.Generator, resamples: int, n: int) -> Column:
    """Return how often each resample of n rows takes each row."""
    taken = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(taken.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)


def _studentized(sums: Column, squares: Column, signs: Column, n: int, log_value: float) -> tuple[float, float]:
    errors = _errors(sums, squares, signs, n)
    away = np.log(sums) @ signs - log_value
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(np.abs(away) < 1e-12, 0.0, away / errors)
    low, high = np.quantile(t, [TAIL, 1 - TAIL], method="inverted_cdf")  # takes infinities as they are
    return float(low), float(high)


def _reach(error: float, useful: int, skewness: float) -> float:
    """Return how far the logarithm reaches, on the side where long useful answers that were not seen would move it.

    Student's t, and beyond it the skewness term of the studentized mean's Cornish-Fisher expansion, less what the
    logarithm has already put right (Hall 1992, sec. 2.6); never less than Student's t.
    """
    t = _student(useful)
    return error * (t + max(0.0, skewness * (2 * t**2 + 1) / 6 - error * t**2 / 2))


def _student(useful: int) -> float:
    return float(special.stdtrit(max(useful - 1, 1), 1 - TAIL))


def _exp(log_value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(log_value))
