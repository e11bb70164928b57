"""Margins to probabilities that mean what they say: of answers held to be right with 0.9, nine in ten are.

Three ways, fitted on margins of examples that the classifier had not seen; the one with the least log loss on a held-
out half stays. Temperature (Guo et al. 2017, arXiv 1706.04599) divides all margins by one number; sigmoid (Platt 1999)
fits a logistic curve a label; isotonic (Zadrozny and Elkan 2002) a rising staircase a label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
KINDS = ("temperature", "sigmoid", "isotonic")
_LEAST = 1e-6
"""No label's probability is less before they are made to add up to 1: a staircase's 0 would rule a label out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibrator:
    """How margins become probabilities."""

    kind: str
    """temperature, sigmoid or isotonic."""
    temperature: float
    """The best single temperature, whatever the kind; energies are read with it."""
    x: Doubles
    """sigmoid: (labels, 1) slopes. isotonic: (labels, steps) margins. temperature: empty."""
    y: Doubles
    """sigmoid: (labels, 1) offsets. isotonic: (labels, steps) probabilities. temperature: empty."""

    def probabilities(self, margins: Doubles) -> Doubles:
        """Return probabilities (n, labels) that add up to 1 in each row."""
        if self.kind == "temperature":
            found: Doubles = np.exp(log_softmax(margins / self.temperature))
            return found
        if self.kind == "sigmoid":
            raw = expit(margins * self.x[:, 0] + self.y[:, 0])
        else:
            columns = [np.interp(margins[:, at], self.x[at], self.y[at]) for at in range(margins.shape[1])]
            raw = np.stack(columns, axis=1)
        raw = np.maximum(raw, _LEAST)
        scaled: Doubles = raw / raw.sum(axis=1, keepdims=True)
        return scaled

    def energy(self, margins: Doubles) -> Doubles:
        """Return log-sum-exp of the tempered margins: how much the text excites any label (Liu et al. 2020)."""
        tempered = margins / self.temperature
        top: Doubles = tempered.max(axis=1)
        energy: Doubles = top + np.log(np.exp(tempered - top[:, None]).sum(axis=1))
        return energy


class Calibrated(NamedTuple):
    """A calibrator and how it was chosen."""

    calibrator: Calibrator
    log_loss: Mapping[str, float]
    """Held-out log loss by kind, in nats; the uncalibrated margins' as ``none``."""
    probabilities: Doubles
    """What the chosen kind says of each row when it is fitted on the other half: honest ones, for further fitting."""


def calibrate(margins: Doubles, labels: Labels, weights: Doubles, *, seed: int) -> Calibrated:
    """Return the kind with the least held-out log loss, fitted on all rows."""
    half = np.random.default_rng(seed).permutation(len(labels)) % 2
    tried: dict[str, Doubles] = {"none": np.exp(log_softmax(margins))}
    for kind in KINDS:
        tried[kind] = np.empty_like(margins)
        for side in (0, 1):
            fitted = fit_calibrator(kind, margins[half != side], labels[half != side], weights[half != side])
            tried[kind][half == side] = fitted.probabilities(margins[half == side])
    losses = {kind: log_loss(found, labels, weights) for kind, found in tried.items()}
    best = min(KINDS, key=losses.__getitem__)
    return Calibrated(fit_calibrator(best, margins, labels, weights), losses, tried[best])


def fit_calibrator(kind: str, margins: Doubles, labels: Labels, weights: Doubles) -> Calibrator:
    """Fit one kind on margins (n, labels) of rows whose right label is known."""
    from sklearn.isotonic import IsotonicRegression

    temperature = _temperature(margins, labels, weights)
    none = np.empty((0, 0))
    if kind == "temperature":
        return Calibrator(kind=kind, temperature=temperature, x=none, y=none)
    hits = labels[:, None] == np.arange(margins.shape[1])
    if kind == "sigmoid":
        slopes, offsets = _sigmoids(margins, hits, weights)
        return Calibrator(kind=kind, temperature=temperature, x=slopes[:, None], y=offsets[:, None])
    x, y = [], []
    for at, right in enumerate(hits.T):
        if right.all() or not right.any():  # nothing to learn a curve from: the temperature's
            x.append(np.array([-1.0, 1.0]))
            y.append(expit(np.array([-1.0, 1.0]) / temperature))
            continue
        stairs = IsotonicRegression(out_of_bounds="clip").fit(margins[:, at], right, weights)
        x.append(stairs.X_thresholds_)
        y.append(stairs.y_thresholds_)
    longest = max(map(len, x))
    pad = [(0, longest - len(row)) for row in x]
    return Calibrator(
        kind=kind,
        temperature=temperature,
        x=np.stack([np.pad(row, width, mode="edge") for row, width in zip(x, pad, strict=True)]).astype(np.float64),
        y=np.stack([np.pad(row, width, mode="edge") for row, width in zip(y, pad, strict=True)]).astype(np.float64),
    )


def _sigmoids(
    margins: Doubles, hits: npt.NDArray[np.bool_], weights: Doubles, rounds: int = 50
) -> tuple[Doubles, Doubles]:
    """Return slope and offset of a logistic curve a label, all fitted at once by Newton's method with small slopes.

    scikit-learn fits one at a time, at 50 ms each: most of the time of a student with 150 labels.
    """
    slopes, offsets = np.ones(margins.shape[1]), np.zeros(margins.shape[1])
    targets = np.where(hits, 1 - 1 / (hits.sum(axis=0) + 2), 1 / ((~hits).sum(axis=0) + 2))  # Platt's, against 0 and 1
    for _ in range(rounds):
        said = expit(margins * slopes + offsets)
        off, spread = weights[:, None] * (said - targets), weights[:, None] * np.maximum(said * (1 - said), 1e-9)
        grad_slope, grad_offset = (off * margins).sum(axis=0) + slopes, off.sum(axis=0)
        ss, so, oo = (spread * margins**2).sum(axis=0) + 1, (spread * margins).sum(axis=0), spread.sum(axis=0) + 1e-9
        scale = ss * oo - so**2
        step_slope, step_offset = (
            (oo * grad_slope - so * grad_offset) / scale,
            (ss * grad_offset - so * grad_slope) / scale,
        )
        size = np.maximum(1.0, np.abs(np.stack((step_slope, step_offset))).max(axis=0) / 2)  # no leap into flat parts
        slopes, offsets = slopes - step_slope / size, offsets - step_offset / size
        if max(np.abs(step_slope).max(), np.abs(step_offset).max()) < 1e-6:
            break
    return slopes, offsets


def log_softmax(values: Doubles) -> Doubles:
    """Return log-probabilities in proportion to the exponentials of each row; scipy's takes 20 times as long a row."""
    moved = values - values.max(axis=1, keepdims=True)
    found: Doubles = moved - np.log(np.exp(moved).sum(axis=1, keepdims=True))
    return found


def expit(values: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-values)) without overflow."""
    found: Doubles = 0.5 * (1 + np.tanh(0.5 * values))
    return found


def log_loss(probabilities: Doubles, labels: Labels, weights: Doubles) -> float:
    """Return the mean negative log-probability of the right label, in nats."""
    right = probabilities[np.arange(len(labels)), labels]
    return float(np.average(-np.log(np.maximum(right, 1e-12)), weights=weights))


def expected_calibration_error(confidence: Doubles, right: npt.NDArray[np.bool_], bins: int = 15) -> float:
    """Return the mean distance between confidence and accuracy over bins of equally many answers.

    Bins of equal width are mostly empty where nearly all answers are sure (Nixon et al. 2019, arXiv 1904.01685).
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts) / len(order))


def _temperature(margins: Doubles, labels: Labels, weights: Doubles) -> float:
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        said = log_softmax(margins / np.exp(log_temperature))[np.arange(len(labels)), labels]
        return float(np.average(-said, weights=weights))

    return float(np.exp(minimize_scalar(loss, bounds=(-6.0, 4.0), method="bounded").x))
