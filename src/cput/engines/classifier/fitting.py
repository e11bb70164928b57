"""Fits a student: learn the grams, a linear classifier, its calibration, and what to trust. Seconds on one core.

    student = fit(texts, labels, outside="oos", source="...", licence="...")

Calibration and trust are fitted out of fold, on answers to examples that their classifier had not seen; copies of one
text are always in one fold. The classifier that is kept then learns from all of them.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cput.engines.classifier.calibrate import (
    Calibrated,
    Doubles,
    Labels,
    calibrate,
    expected_calibration_error,
)
from cput.engines.classifier.examples import Examples
from cput.engines.classifier.grams import Features, Floats, Row, learn
from cput.engines.classifier.neighbours import invert
from cput.engines.classifier.student import NEVER, Student, StudentCard, scores_of
from cput.engines.classifier.thresholds import grid, keep_at
from cput.engines.classifier.trust import SCORES, Trust, fit_trust, signs_of
from cput.errors import InputError, unknown

FOLDS = 3
LEAST = 10
"""Fewest examples: with less nothing can be said of calibration."""


class _Taught(NamedTuple):
    """Examples as numbers."""

    rows: Sequence[Row]
    vectors: npt.NDArray[np.float32] | None
    y: Labels
    w: Doubles
    grams: int
    """How many grams are known."""
    labels: int
    """How many labels there are, whether these examples have them or not."""

    def some(self, at: Labels) -> "_Taught":
        rows = [self.rows[int(place)] for place in at]
        vectors = None if self.vectors is None else self.vectors[at]
        return self._replace(rows=rows, vectors=vectors, y=self.y[at], w=self.w[at])

    def matrix(self) -> Any:
        """Return grams and vectors side by side, sparse."""
        from scipy.sparse import csr_array, hstack

        ends = np.concatenate(([0], np.cumsum([len(row.places) for row in self.rows])))
        places = np.concatenate([row.places for row in self.rows])
        weights = np.concatenate([row.weights for row in self.rows])
        # LIBLINEAR takes 32-bit places alone
        sparse = csr_array((weights, places, ends.astype(np.int32)), shape=(len(self.rows), self.grams))
        sparse.sort_indices()
        return sparse if self.vectors is None else hstack([sparse, csr_array(self.vectors)], format="csr")


class _OutOfFold(NamedTuple):
    """What classifiers said of examples that they had not seen."""

    at: Labels
    """Which examples: all whose text's label occurs with another text as well."""
    margins: Doubles
    nearest: Doubles


def fit(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    tags: Mapping[str, Sequence[str]] | None = None,
    weights: Sequence[float] | None = None,
    seed: int = 0,
    features: Features | None = None,
    vectors: npt.NDArray[np.float32] | None = None,
    outside: str | None = None,
    score: str = "trust",
    strength: float = 1.0,
    right_share: float = 0.99,
    label_tokens: Mapping[str, int] | None = None,
    tokens_by: str | None = None,
    source: str = "unknown",
    licence: str = "unknown",
) -> Student:
    """Return a student of these examples.

    Args:
        texts: what was asked, ``n``.
        labels: the right answer to each.
        tags: slices: for each dimension a value for every text; the card says how well each slice does.
        weights: how much each counts (inverse propensities); 1 each where not given.
        seed: of the folds.
        features: what is read of a text.
        vectors: (n, d) embeddings of the texts, where ``features.embedder`` names their model.
        outside: the label that means "none of the others"; its texts are always passed on.
        score: trust or top: what the threshold is held against.
        strength: C of the linear classifier; larger trusts the examples more.
        right_share: the threshold that is suggested keeps answers of which this share is right out of fold.
        label_tokens: output tokens of a label as an answer.
        tokens_by: who counted them.
        source: where the examples come from.
        licence: their licence.

    Raises:
        InputError: too few examples or labels, lengths that differ, an unknown score or ``outside``.
    """
    told = Examples(
        texts=tuple(texts),
        labels=tuple(labels),
        tags={name: tuple(values) for name, values in (tags or {}).items()},
        weights=tuple(map(float, weights)) if weights is not None else (),
    )
    features = features or Features()
    names = _check(told, features, vectors, outside, score)
    y = np.array([names.index(label) for label in told.labels], np.int64)
    w = np.array(told.weights or (1.0,) * len(told), np.float64)
    vocabulary = learn(told.texts, features)
    rows = [vocabulary.row(text) for text in told.texts]
    taught = _Taught(rows, vectors, y, w, len(vocabulary.grams), len(names))
    apart = _out_of_fold(told.texts, taught, strength, seed)
    seen, mass = y[apart.at], w[apart.at]
    calibrated = calibrate(apart.margins, seen, mass, seed=seed)
    trust, scores = _trust(calibrated, apart, seen, mass, seed)
    best = calibrated.probabilities.argmax(axis=1)
    right = best == seen
    inside = np.ones(len(best), np.bool_) if outside is None else best != names.index(outside)
    confidence = np.where(inside, scores[score], NEVER)
    matrix, bias = _linear(taught, strength)
    card = StudentCard(
        labels=names,
        outside=outside,
        score=score,
        threshold=keep_at(confidence, right, right_share),
        label_tokens=dict(label_tokens or {}),
        tokens_by=tokens_by,
        examples=told.counts,
        data_sha256=told.sha256,
        source=source,
        licence=licence,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        figures=_figures(calibrated, scores, right, inside, confidence)
        | {"slices": _slices(told.tags, apart.at, right, scores[score])},
        versions={name: version(name) for name in ("cput", "scikit-learn", "numpy")},
    )
    return Student(
        card=card,
        vocabulary=vocabulary,
        weights=matrix,
        bias=bias,
        calibrator=calibrated.calibrator,
        trust=trust,
        neighbours=invert(rows, len(vocabulary.grams)),
    )


def _check(
    told: Examples, features: Features, vectors: npt.NDArray[np.float32] | None, outside: str | None, score: str
) -> tuple[str, ...]:
    names = tuple(sorted(set(told.labels)))
    if len(told) < LEAST or len(names) < 2:
        raise InputError(
            f"there are {len(told)} examples of {len(names)} label{'' if len(names) == 1 else 's'}; "
            f"allowed: {LEAST} examples or more, of 2 labels or more"
        )
    if outside is not None and outside not in names:
        raise unknown("label for out of scope", outside, names)
    if score not in SCORES[:2]:
        raise unknown("score", score, SCORES[:2])
    if (features.embedder is None) != (vectors is None):
        raise InputError(f"features.embedder is {features.embedder!r}; give vectors of it, or neither of the two")
    if vectors is not None and (vectors.ndim != 2 or len(vectors) != len(told)):
        raise InputError(f"vectors have shape {vectors.shape}; allowed: ({len(told)}, any length), one row a text")
    if told.weights and not all(np.isfinite(value) and value > 0 for value in told.weights):
        raise InputError(f"the least weight is {min(told.weights)}; allowed: finite numbers above 0")
    return names


def _out_of_fold(texts: Sequence[str], all_of: _Taught, strength: float, seed: int) -> _OutOfFold:
    fold = folds_of(texts, all_of.y, seed)
    margins = np.zeros((len(all_of.y), all_of.labels))
    nearest = np.zeros(len(all_of.y))
    for held in range(FOLDS):
        asked = np.flatnonzero(fold == held)
        if not len(asked):
            continue
        taught, left_out = all_of.some(np.flatnonzero(fold != held)), all_of.some(asked)
        matrix, bias = _linear(taught, strength)
        margins[asked] = left_out.matrix() @ matrix + bias
        near = invert(taught.rows, all_of.grams)
        nearest[asked] = [near.nearest(row) for row in left_out.rows]
    at = np.flatnonzero(fold >= 0)
    if len(at) < LEAST:
        raise InputError(f"only {len(at)} examples share their label with another text; allowed: {LEAST} or more")
    return _OutOfFold(at, margins[at], nearest[at])


def folds_of(texts: Sequence[str], y: Labels, seed: int) -> Labels:
    """Return each example's fold, spread evenly within each label; -1 is never held out.

    Copies of a text share a fold, and a label's only text is never held out: nobody could answer with it then.
    """
    groups: dict[str, list[int]] = {}
    for at, text in enumerate(texts):
        groups.setdefault(" ".join(text.casefold().split()), []).append(at)
    by_label: dict[int, list[list[int]]] = {}
    for members in groups.values():
        by_label.setdefault(int(y[members[0]]), []).append(members)
    rng = np.random.default_rng(seed)
    fold = np.full(len(y), -1, np.int64)
    turn = 0
    for label in sorted(by_label):
        owned = by_label[label]
        if len(owned) < 2:
            continue
        for number in rng.permutation(len(owned)):
            fold[owned[number]] = turn % FOLDS
            turn += 1
    return fold


def _linear(taught: _Taught, strength: float) -> tuple[Floats, Floats]:
    """Return weights (grams + vector length, labels) and bias of one linear SVM a label (Fan et al. 2008, LIBLINEAR).

    A label that these rows do not have gets the lowest margin there is.
    """
    from sklearn.svm import LinearSVC

    fitted = LinearSVC(C=strength, random_state=0).fit(taught.matrix(), taught.y, taught.w)
    slopes, offsets = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # one margin stands for both
        slopes, offsets = np.concatenate((-slopes, slopes)), np.concatenate((-offsets, offsets))
    matrix = np.zeros((slopes.shape[1], taught.labels), np.float32)
    bias = np.full(taught.labels, -1.0, np.float32)
    matrix[:, fitted.classes_], bias[fitted.classes_] = slopes.T, offsets
    return matrix, bias


def _trust(
    calibrated: Calibrated, apart: _OutOfFold, y: Labels, w: Doubles, seed: int
) -> tuple[Trust, dict[str, Doubles]]:
    """Return trust fitted on all rows, and every score of each row by a trust that was fitted on the other half."""
    energy = calibrated.calibrator.energy(apart.margins)
    signs = signs_of(calibrated.probabilities, energy, apart.nearest)
    right = calibrated.probabilities.argmax(axis=1) == y
    trust = fit_trust(signs, right, w)
    scores = scores_of(calibrated.probabilities, energy, apart.nearest, trust)
    half = np.random.default_rng([seed, 1]).permutation(len(y)) % 2
    for side in (0, 1):
        other = fit_trust(signs[half != side], right[half != side], w[half != side])
        scores["trust"][half == side] = other.probability(signs[half == side])
    return trust, scores


def _figures(
    calibrated: Calibrated,
    scores: Mapping[str, Doubles],
    right: npt.NDArray[np.bool_],
    inside: npt.NDArray[np.bool_],
    confidence: Doubles,
) -> dict[str, Any]:
    return {
        "examples": len(right),
        "folds": FOLDS,
        "accuracy": float(right.mean()),
        "calibration": calibrated.calibrator.kind,
        "log_loss": dict(calibrated.log_loss),
        "ece": {name: expected_calibration_error(scores[name][inside], right[inside]) for name in SCORES[:2]},
        "aurc": {name: aurc(np.where(inside, found, NEVER), right) for name, found in scores.items()},
        "grid": [float(at) for at in grid(confidence)[1:]],
    }


def aurc(confidence: Doubles, right: npt.NDArray[np.bool_]) -> float:
    """Return the area under risk and coverage: mean error rate of the k surest answers, over all k. Less is better.

    Geifman and El-Yaniv 2017, arXiv 1705.08500.
    """
    wrong = ~right[np.argsort(-confidence, kind="stable")]
    return float(np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1)))


def _slices(
    tags: Mapping[str, Sequence[str]], at: Labels, right: npt.NDArray[np.bool_], score: Doubles
) -> dict[str, dict[str, Any]]:
    """Return how well each slice does out of fold."""
    found = {}
    for name, values in tags.items():
        own = np.array([values[place] for place in at])
        for value in sorted(set(own)):
            mine = own == value
            found[f"{name}={value}"] = {
                "examples": int(mine.sum()),
                "accuracy": float(right[mine].mean()),
                "ece": expected_calibration_error(score[mine], right[mine]),
            }
    return found
