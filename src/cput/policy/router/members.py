"""Members of a stacked router: each estimates every engine's quality from the features, in its own way.

A member is fitted together with what it says of each training prompt when it has not seen that prompt: from that the
stack learns how far to believe it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from cput.policy.router.features import Features
from cput.policy.router.ridge import Ridge, Scales
from cput.policy.router.text import Matrix


class Lesson(NamedTuple):
    """What members learn from."""

    features: Features
    """Of ``n`` prompts."""
    quality: Matrix
    """(n, m), all known."""
    alike: Matrix
    """(n, n): how many words two prompts share (``gram_of_words``)."""
    labels: tuple[str, ...] | None
    """A category of each prompt, where the record has one; at serving time nobody needs it."""
    seed: int
    """Of draws."""


class Member(Protocol):
    """One way to estimate."""

    kind: ClassVar[str]

    def predict(self, features: Features) -> Matrix:
        """Return (n, m)."""
        ...

    def arrays(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Ridge regression of the qualities on words, vectors and style."""

    kind: ClassVar[str] = "linear"
    ridge: Ridge
    """One target for each engine."""

    @classmethod
    def fit(cls, lesson: Lesson, *, penalty: float) -> tuple[Self, Matrix]:
        """Return the member and what it says of the prompts it has not seen."""
        ridge, left_out = Ridge.fit(lesson.features, lesson.alike, lesson.quality, penalty=penalty)
        return cls(ridge=ridge), left_out

    def predict(self, features: Features) -> Matrix:
        """Return (n, m)."""
        return self.ridge.predict(features)

    def arrays(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        return self.ridge.arrays()

    @classmethod
    def of_arrays(cls, kept: dict[str, Any]) -> Self:
        """Read what ``arrays`` gave."""
        return cls(ridge=Ridge.of_arrays(kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """The by-category table, of a category that is guessed from the text."""

    kind: ClassVar[str] = "topic"
    ridge: Ridge
    """One target for each category."""
    table: Matrix
    """(categories, m): mean quality, drawn towards the overall one."""

    WEIGHT: ClassVar[float] = 20.0
    """How many prompts of the overall quality every category is given."""
    SHARPNESS: ClassVar[float] = 8.0
    """Ridge scores to probabilities: softmax of so many times the score."""

    @classmethod
    def fit(cls, lesson: Lesson, *, penalty: float = 1.0) -> tuple[Self, Matrix]:
        """Return the member and what it says of the prompts it has not seen."""
        assert lesson.labels is not None, "a topic is learned from categories"
        names, places = np.unique(np.array(lesson.labels), return_inverse=True)
        held = np.eye(len(names), dtype=np.float32)[places]
        ridge, left_out = Ridge.fit(
            lesson.features, lesson.alike, held, penalty=penalty, scales=Scales(vectors=1.0, style=0.0)
        )
        overall = lesson.quality.mean(axis=0)
        counts = held.sum(axis=0)[:, None] + cls.WEIGHT
        table = (held.T @ lesson.quality + cls.WEIGHT * overall) / counts
        shares = _softmax(left_out, cls.SHARPNESS)
        own = np.sum(shares * held, axis=1, keepdims=True)  # how much of its own category's row it reads
        without = (table[places] - lesson.quality) / (counts[places] - 1)
        fit = cls(ridge=ridge, table=np.asarray(table, np.float32))
        return fit, np.asarray(shares @ table + own * without, np.float32)

    def predict(self, features: Features) -> Matrix:
        """Return (n, m)."""
        return np.asarray(_softmax(self.ridge.predict(features), self.SHARPNESS) @ self.table, np.float32)

    def arrays(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        return {**self.ridge.arrays(), "table": self.table}

    @classmethod
    def of_arrays(cls, kept: dict[str, Any]) -> Self:
        """Read what ``arrays`` gave."""
        return cls(ridge=Ridge.of_arrays(kept), table=kept["table"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Mean quality of the nearest training prompts, by their words and vectors together.

    It keeps the training prompts' features: hashed words and vectors, and no text.
    """

    kind: ClassVar[str] = "neighbours"
    words: Any
    """Sparse (n, places) of the training prompts."""
    vectors: Matrix
    """(n, d) of the same."""
    quality: Matrix
    """(n, m) of their answers."""
    count: int
    """How many are asked."""

    @classmethod
    def fit(cls, lesson: Lesson, *, count: int = 60) -> tuple[Self, Matrix]:
        """Return the member and what it says of the prompts it has not seen."""
        words, vectors = lesson.features.words, lesson.features.vectors
        count = min(count, max(1, len(vectors) - 1))
        fit = cls(words=words, vectors=vectors, quality=lesson.quality, count=count)
        near = lesson.alike + vectors @ vectors.T
        np.fill_diagonal(near, -np.inf)
        return fit, fit._mean(near)

    def predict(self, features: Features) -> Matrix:
        """Return (n, m)."""
        shared = np.asarray((features.words @ self.words.T).toarray(), np.float32)
        return self._mean(shared + features.vectors @ self.vectors.T)

    def arrays(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        return {"words": self.words, "vectors": self.vectors, "quality": self.quality, "count": self.count}

    @classmethod
    def of_arrays(cls, kept: dict[str, Any]) -> Self:
        """Read what ``arrays`` gave."""
        return cls(**kept)

    def _mean(self, near: Matrix) -> Matrix:
        nearest = np.argpartition(-near, self.count - 1, axis=1)[:, : self.count]
        return np.asarray(self.quality[nearest].mean(axis=1), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Estimators of scikit-learn over vectors and style, one for all engines or one for each."""

    kind: ClassVar[str] = "learned"
    models: tuple[Any, ...]
    """Fitted regressors; their columns side by side are the engines."""

    @classmethod
    def fit(cls, lesson: Lesson, make: Callable[[int], Any], *, each: bool, folds: int = 3) -> tuple[Self, Matrix]:
        """Return the member and what it says of prompts that were held out, a fold at a time."""
        from sklearn.model_selection import KFold

        given = lesson.features.dense
        out = np.zeros_like(lesson.quality)
        for seen, held in KFold(min(folds, len(given)), shuffle=True, random_state=lesson.seed).split(given):
            part = _models(given[seen], lesson.quality[seen], make, lesson.seed, each=each)
            out[held] = _columns(part, given[held])
        return cls(models=_models(given, lesson.quality, make, lesson.seed, each=each)), out

    def predict(self, features: Features) -> Matrix:
        """Return (n, m)."""
        return _columns(self.models, features.dense)

    def arrays(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        return {"models": list(self.models)}

    @classmethod
    def of_arrays(cls, kept: dict[str, Any]) -> Self:
        """Read what ``arrays`` gave."""
        return cls(models=tuple(kept["models"]))


def boosted(seed: int) -> Any:
    """Return an unfitted gradient boosting of shallow trees."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=100,
        learning_rate=0.05,
        max_leaf_nodes=8,
        min_samples_leaf=40,
        l2_regularization=10.0,
        max_features=0.2,
        random_state=seed,
    )


def perceptron(seed: int) -> Any:
    """Return an unfitted small neural network, as RouterBench compares with."""
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(hidden_layer_sizes=(64,), alpha=1e-2, early_stopping=True, max_iter=500, random_state=seed)


def fit_linear(lesson: Lesson) -> tuple[Member, Matrix]:
    """Fit a ``Linear`` with a penalty that its own left-out error chooses; on many prompts, where it hardly matters,
    with the middle one: each costs a Cholesky factor.
    """
    penalties = PENALTIES if len(lesson.quality) <= MANY else PENALTIES[1:2]
    tried = [Linear.fit(lesson, penalty=penalty) for penalty in penalties]
    return min(tried, key=lambda each: float(np.mean((each[1] - lesson.quality) ** 2)))


PENALTIES: Sequence[float] = (10.0, 50.0, 250.0)
MANY = 2500
FITS: Mapping[str, Callable[[Lesson], tuple[Member, Matrix]]] = {
    "linear": fit_linear,
    "topic": Topic.fit,
    "neighbours": Neighbours.fit,
    "boosted": lambda lesson: Learned.fit(lesson, boosted, each=True),
    "perceptron": lambda lesson: Learned.fit(lesson, perceptron, each=False),
}
"""How each kind of member is fitted."""
KINDS: Mapping[str, Callable[[dict[str, Any]], Member]] = {
    "linear": Linear.of_arrays,
    "topic": Topic.of_arrays,
    "neighbours": Neighbours.of_arrays,
    "boosted": Learned.of_arrays,
    "perceptron": Learned.of_arrays,
}
"""How each is read from disk."""


def _models(given: Matrix, quality: Matrix, make: Callable[[int], Any], seed: int, *, each: bool) -> tuple[Any, ...]:
    targets = [quality[:, place] for place in range(quality.shape[1])] if each else [quality]
    return tuple(make(seed).fit(given, target) for target in targets)


def _columns(models: Sequence[Any], given: Matrix) -> Matrix:
    return np.column_stack([model.predict(given) for model in models]).astype(np.float32)


def _softmax(scores: Matrix, sharpness: float) -> npt.NDArray[np.float32]:
    from scipy.special import softmax

    return np.asarray(softmax(sharpness * scores, axis=1), np.float32)
