"""Confidence intervals. Each says which method it is and why.

A cost per useful token is a ratio of two sums over calls, C/U, where most U may be 0 and lengths are skewed. Its
interval is the wider, on each side, of two that are built on the logarithm:

* the *bootstrap-t* (Efron and Tibshirani 1993, ch. 12): calls are resampled jointly with their cost, and the
  studentized log ratio's own quantiles replace the normal's, second-order correct for skewed lengths, times Student's
  t over the normal quantile at (useful calls - 1) degrees of freedom;
* the *delta method* with that Student's t: with few useful calls a resample repeats
  the same few lengths, its standard error comes out too small, and the bootstrap alone covers 70 to 90 %.

Simulated coverage over 36 settings (n = 50, 100, 500; useful rates 5 to 50 %; log-normal lengths of sigma 0.6 and 1.0,
also where long answers fail more often) is 93 to 99 %, lowest at n = 500 with 25 useful answers of sigma 1.0; the
percentile bootstrap's falls to 79 %, the bootstrap-t's alone to 69 %.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from cput.errors import InputError

_TAIL = 0.025
_NORMAL = float(special.ndtri(1 - _TAIL))
_MOST_CALLS = 5_000  # above this the delta interval stands alone: the two agree to the third digit
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

    Row i of every column is call i (or pair i). All sums must be positive. ``useful`` is the number of rows that carry
    the scarcest sum. ``high`` is infinite when more than 2.5 % of resamples have an empty sum below, ``low`` is 0 when
    more than 2.5 % have an empty sum above.
    """
    data = np.stack([*above, *below], axis=1)
    signs = np.array([1.0] * len(above) + [-1.0] * len(below))
    n = len(data)
    log_value = float(signs @ np.log(data.sum(axis=0)))
    value = float(np.exp(log_value))
    if n < 2:
        return Interval(value, 0.0, float("inf"))
    error = float(_errors(data.sum(axis=0)[None, :], _products(data).sum(axis=0)[None, :], signs, n)[0])
    student = float(special.stdtrit(max(useful - 1, 1), 1 - _TAIL))
    low, high = log_value - student * error, log_value + student * error
    empty_above = empty_below = float(np.exp(-useful))  # the chance that a resample misses all useful rows
    if n <= _MOST_CALLS:
        sums, squares = _resample(data, seed, resamples)
        empty_above = float((sums[:, signs > 0] <= 0).any(axis=1).mean())
        empty_below = float((sums[:, signs < 0] <= 0).any(axis=1).mean())
        whole = (sums > 0).all(axis=1)
        if error > 0 and whole.any():
            t_low, t_high = _studentized(sums[whole], squares[whole], signs, n, log_value)
            wider = error * student / _NORMAL  # resamples repeat the few useful calls and know no more than they
            low, high = min(low, log_value - t_high * wider), max(high, log_value - t_low * wider)
    return Interval(
        value,
        0.0 if empty_above > _TAIL else _exp(low),
        float("inf") if empty_below > _TAIL else _exp(high),
    )


def share_interval(successes: int, trials: int) -> Interval:
    """Clopper-Pearson 95 % interval of a share: exact, its coverage is never below 95 % (Biometrika 26, 1934)."""
    if not 0 <= successes <= trials:
        raise InputError(f"{successes} successes of {trials} trials; allowed: 0 to the number of trials")
    if trials == 0:
        return UNKNOWN_INTERVAL
    failures = trials - successes
    low = float(special.betaincinv(successes, failures + 1, _TAIL)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, failures, 1 - _TAIL)) if failures else 1.0
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
    low, high = np.quantile(t, [_TAIL, 1 - _TAIL], method="inverted_cdf")  # takes infinities as they are
    return float(low), float(high)


def _exp(log_value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(log_value))
