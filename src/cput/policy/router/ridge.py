"""Ridge regression on words, vectors and style together, with exact leave-one-out predictions.

Solved in the dual, where n training prompts cost one Cholesky factor of an n x n matrix for any number of targets and
features. The prediction for a training prompt by a model that never saw it follows in closed form (Allen's PRESS):
``y - dual / diag(inverse)``. The weights are then kept in the primal, so that serving is one product.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from cput.policy.router.features import Features
from cput.policy.router.text import Matrix


class Scales(NamedTuple):
    """How much each family of features weighs against a row of words of length 1."""

    vectors: float = 0.3
    """Of the sentence embedding: words say more of who is right, and the vectors more of the topic."""
    style: float = 0.1
    """Of all figures of style together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Linear in the features: (n, k) of ``k`` targets."""

    words: Matrix
    """(places, k) weights of the words."""
    dense: Matrix
    """(d + s, k) weights of vectors and style, scales included."""
    base: Matrix
    """(k,): means of the targets."""

    @classmethod
    def fit(
        cls, features: Features, alike: Matrix, targets: Matrix, *, penalty: float, scales: Scales | None = None
    ) -> tuple[Self, Matrix]:
        """Return the fit and (n, k) what it says of each training prompt when that one is left out.

        ``alike`` is ``gram_of_words(features)``, which several fits share.
        """
        scaled = _scaled(features, scales or Scales())
        base = targets.mean(axis=0)
        dual, left_out = _solve(alike + scaled @ scaled.T, targets - base, penalty)
        factors = np.sqrt(_factors(features, scales or Scales()))
        fit = cls(
            words=np.asarray(features.words.T @ dual, np.float32),
            dense=np.asarray((scaled.T @ dual) * factors[:, None], np.float32),
            base=np.asarray(base, np.float32),
        )
        return fit, left_out + base

    def predict(self, features: Features) -> Matrix:
        """Return (n, k)."""
        return np.asarray(features.words @ self.words + features.dense @ self.dense + self.base, np.float32)

    def arrays(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        used = np.flatnonzero(np.abs(self.words).sum(axis=1) > 0)
        return {
            "used": used,
            "words": self.words[used],
            "places": len(self.words),
            "dense": self.dense,
            "base": self.base,
        }

    @classmethod
    def of_arrays(cls, kept: dict[str, Any]) -> Self:
        """Read what ``arrays`` gave."""
        words = np.zeros((kept["places"], kept["words"].shape[1]), np.float32)
        words[kept["used"]] = kept["words"]
        return cls(words=words, dense=kept["dense"], base=kept["base"])


def gram_of_words(features: Features) -> Matrix:
    """Return (n, n) how many words two prompts share, weighed: 1 with itself."""
    return np.asarray((features.words @ features.words.T).toarray(), np.float32)


def _factors(features: Features, scales: Scales) -> Matrix:
    each_style = scales.style / max(1, features.style.shape[1])
    sizes = (features.vectors.shape[1], features.style.shape[1])
    return np.repeat(np.array([scales.vectors, each_style], np.float32), sizes)


def _scaled(features: Features, scales: Scales) -> Matrix:
    return np.asarray(features.dense * np.sqrt(_factors(features, scales)), np.float32)


def _solve(gram: Matrix, targets: Matrix, penalty: float) -> tuple[Matrix, Matrix]:
    """Return the dual weights and the leave-one-out predictions."""
    from scipy.linalg.lapack import spotrf, spotri

    gram[np.diag_indices(len(gram))] += penalty
    factor, failed = spotrf(gram.T, lower=True, overwrite_a=True)
    assert not failed, "a gram matrix with a penalty is positive definite"
    inverse, _ = spotri(factor, lower=True, overwrite_c=True)
    lower = np.tril(inverse, -1)
    diagonal = np.diag(inverse).copy()
    y = np.asarray(targets, np.float32)
    dual = lower @ y + lower.T @ y + diagonal[:, None] * y
    return dual, y - dual / diagonal[:, None]
