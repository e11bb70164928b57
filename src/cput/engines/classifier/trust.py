"""Trust: how probable it is that an answer is right, from four signs of doubt together.

The calibrated top probability, the lead over the second label, the energy and the nearest example each see something
that the others do not: a logistic regression weighs them, on answers to examples that the classifier had not seen.
Where out-of-scope examples are at hand they count as answered wrongly, so that it learns what strangers look like.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cput.engines.classifier.calibrate import Doubles, expit

SCORES = ("trust", "top", "margin", "energy", "nearest")
"""What an answer can be held back by; ``trust`` and ``top`` are probabilities, the others only rank."""
_EDGE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trust:
    """A logistic regression on the signs; all arrays have their length, 4."""

    mean: Doubles
    """Mean of each sign where it was fitted."""
    scale: Doubles
    """Standard deviation of each."""
    slopes: Doubles
    """Weight of each, in those units."""
    offset: float
    """Log-odds where all signs are at their mean."""

    def probability(self, signs: Doubles) -> Doubles:
        """Return the probability that each answer is right; ``signs`` is (n, 4)."""
        found: Doubles = expit((signs - self.mean) / self.scale @ self.slopes + self.offset)
        return found


def signs_of(probabilities: Doubles, energy: Doubles, nearest: Doubles) -> Doubles:
    """Return (n, 4): log-odds of the top label, its log lead over the second, energy, cosine of the nearest example."""
    first, second = top_two(probabilities)
    first, second = np.clip(first, _EDGE, 1 - _EDGE), np.clip(second, _EDGE, 1 - _EDGE)
    return np.stack([np.log(first / (1 - first)), np.log(first / second), energy, nearest], axis=1)


def top_two(probabilities: Doubles) -> tuple[Doubles, Doubles]:
    """Return the largest and the second largest of each row; the second is 0 where there is one label alone."""
    if probabilities.shape[1] == 1:
        return probabilities[:, 0], np.zeros(len(probabilities))
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return two[:, 1], two[:, 0]


def fit_trust(signs: Doubles, right: npt.NDArray[np.bool_], weights: Doubles) -> Trust:
    """Fit it on answers whose rightness is known; where all are right (or wrong), it says how many there were."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = signs.mean(axis=0), np.maximum(signs.std(axis=0), 1e-9)
    if right.all() or not right.any():
        share = (right.sum() + 1) / (len(right) + 2)  # Laplace's rule of succession
        return Trust(mean=mean, scale=scale, slopes=np.zeros(signs.shape[1]), offset=float(np.log(share / (1 - share))))
    fitted = LogisticRegression(max_iter=1000).fit((signs - mean) / scale, right, weights)
    return Trust(mean=mean, scale=scale, slopes=fitted.coef_[0], offset=float(fitted.intercept_[0]))
