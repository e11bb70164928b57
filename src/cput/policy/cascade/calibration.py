"""Calibration: turns what an answer says of itself into the probability that it is useful, on a workload's outcomes.

    calibration = Calibration.fit(scores, useful, kind=Kind.ISOTONIC)
    calibration(np.array([0.2, 0.97]))      # P(useful), (n,)

Platt, Probabilistic outputs for support vector machines, 1999, here on the log-odds of the score, with his smoothed
targets. Zadrozny and Elkan, Transforming classifier scores into accurate multiclass probability estimates, KDD 2002
(isotonic). Neither changes an order: a better score never has a worse probability.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from cput.errors import InputError, SetupError

Floats = npt.NDArray[np.float64]
LEAST = 10
"""Fewest outcomes that anything is fitted on."""
_EDGE = 1e-6


class Kind(StrEnum):
    """How a calibration is fitted."""

    PLATT = "platt"
    """Two numbers; for a few hundred outcomes."""
    ISOTONIC = "isotonic"
    """Any curve that does not fall; for a thousand or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A curve from scores in [0, 1] to probabilities."""

    kind: Kind
    """How it was fitted."""
    slope: float = 1.0
    """Of the log-odds, 0 or more (Platt)."""
    offset: float = 0.0
    """Of the log-odds (Platt)."""
    scores: tuple[float, ...] = ()
    """Where the curve has its corners (isotonic), rising."""
    probabilities: tuple[float, ...] = ()
    """Its height there; between them it is straight."""
    outcomes: int = 0
    """How many outcomes it was fitted on."""

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """Return the probability for each score; NaN stays NaN."""
        given = np.asarray(scores, dtype=np.float64)
        if self.kind is Kind.ISOTONIC:
            known = np.interp(given, self.scores, self.probabilities)
            return np.where(np.isnan(given), np.nan, known)
        return _sigmoid(self.slope * _logit(given) + self.offset)

    @classmethod
    def fit(cls, scores: npt.ArrayLike, useful: npt.ArrayLike, *, kind: Kind = Kind.PLATT) -> Self:
        """Fit on ``scores`` (n,) in [0, 1] and what became of the answers, ``useful`` (n,) in [0, 1].

        Rows where either is NaN are left out.

        Raises:
            InputError: too few outcomes, or a score that is not in [0, 1].
        """
        given, came = np.asarray(scores, dtype=np.float64), np.asarray(useful, dtype=np.float64)
        known = ~(np.isnan(given) | np.isnan(came))
        given, came = given[known], came[known]
        if len(given) < LEAST:
            raise InputError(f"{len(given)} outcomes with a score are given to calibrate on; allowed: {LEAST} or more")
        if given.min() < 0 or given.max() > 1:
            raise InputError(f"scores lie in [{given.min():g}, {given.max():g}]; allowed: 0 to 1")
        return cls._platt(given, came) if kind is Kind.PLATT else cls._isotonic(given, came)

    @classmethod
    def _platt(cls, given: Floats, came: Floats) -> Self:
        from sklearn.linear_model import LogisticRegression

        positive = came.sum()
        high, low = (positive + 1) / (positive + 2), 1 / (len(came) - positive + 2)
        target = came * high + (1 - came) * low
        rows = np.concatenate([_logit(given), _logit(given)])[:, None]
        labels = np.repeat([1, 0], len(given))
        model = LogisticRegression(C=1e4).fit(rows, labels, sample_weight=np.concatenate([target, 1 - target]))
        slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
        if slope < 0:  # the score says nothing here: everybody has the mean
            slope, offset = 0.0, float(_logit(np.array(target.mean())))
        return cls(kind=Kind.PLATT, slope=slope, offset=offset, outcomes=len(given))

    @classmethod
    def _isotonic(cls, given: Floats, came: Floats) -> Self:
        from sklearn.isotonic import IsotonicRegression

        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(given, came)
        corners = tuple(float(each) for each in model.X_thresholds_)
        heights = tuple(float(each) for each in model.y_thresholds_)
        return cls(kind=Kind.ISOTONIC, scores=corners, probabilities=heights, outcomes=len(given))

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            SetupError: the file can't be written there.
        """
        try:
            path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        except OSError as error:
            raise SetupError(f"calibration {path} can't be written ({error.strerror}); give another place") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one.

        Raises:
            InputError: there is none, or it does not read as one.
        """
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} holds no calibration ({error}); `Calibration.save` writes one") from error

    @classmethod
    def of(cls, said: dict[str, object]) -> Self:
        """Return what ``asdict`` of one says; raises KeyError, TypeError or ValueError where it is none."""
        made = cls(**{**said, "kind": Kind(str(said["kind"]))})  # type: ignore[arg-type]
        curve = (tuple(map(float, made.scores)), tuple(map(float, made.probabilities)))
        if len(curve[0]) != len(curve[1]) or (made.kind is Kind.ISOTONIC and not curve[0]):
            raise ValueError("its curve has not as many heights as corners")
        return cls(
            kind=made.kind,
            slope=float(made.slope),
            offset=float(made.offset),
            scores=curve[0],
            probabilities=curve[1],
            outcomes=int(made.outcomes),
        )


def _logit(scores: Floats) -> Floats:
    kept = np.clip(scores, _EDGE, 1 - _EDGE)
    odds: Floats = np.log(kept) - np.log1p(-kept)
    return odds


def _sigmoid(odds: Floats) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -60, 60)))
    return found
