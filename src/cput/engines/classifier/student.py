"""A student: a small calibrated classifier that answers from a closed set of labels, and knows when it is not sure.

    student = fit(texts, labels)
    found = student.predict(["where is my card?"])
    found.labels[0], found.confidence[0]        # "card_arrival", 0.97: right 97 times in 100
    save(student, folder)

One text takes some hundred microseconds on one core, without a tokenizer, a network or scikit-learn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cput.engines.classifier.calibrate import Calibrator, Doubles
from cput.engines.classifier.grams import Floats, Row, Vocabulary
from cput.engines.classifier.neighbours import Neighbours
from cput.engines.classifier.trust import SCORES, Trust, signs_of, top_two
from cput.errors import InputError, unknown

NEVER = -np.inf
"""Confidence in an answer that is never given: the label that stands for out of scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentCard:
    """What is known of a student: what it may say, what it was taught and how well it did. All of it is JSON."""

    labels: tuple[str, ...]
    """What it can answer, in the order of its probabilities."""
    outside: str | None = None
    """The label that means "none of these": where it is on top, the student abstains. None where there is none."""
    score: str = "trust"
    """What is held against the threshold: trust or top, both probabilities that the answer is right."""
    threshold: float | None = None
    """Least score of an answer that is given; None where nobody chose one yet."""
    label_tokens: Mapping[str, int] = field(default_factory=dict)
    """Output tokens of a label as an answer, where somebody counted them: its reference length."""
    tokens_by: str | None = None
    """Whose tokens those are: a tokenizer's name, or the ledger's recorded answers."""
    examples: Mapping[str, int] = field(default_factory=dict)
    """Examples it was taught, by label."""
    data_sha256: str = ""
    """Digest of texts, labels and weights, in their order."""
    source: str = "unknown"
    """Where the examples come from."""
    licence: str = "unknown"
    """Their licence."""
    made: str = ""
    """When it was fitted, ISO 8601 in UTC."""
    seed: int = 0
    """Seed of the folds."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Out of fold: accuracy, calibration error, log loss by kind, area under risk and coverage by score, slices."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of what made it."""
    certificate: Mapping[str, Any] | None = None
    """What was proven of ``threshold``, where it was."""


class Predictions(NamedTuple):
    """What a student says of ``n`` texts."""

    labels: tuple[str, ...]
    """The most probable label of each."""
    probabilities: Doubles
    """(n, labels): calibrated, each row adds up to 1; 0 for a label that was not allowed."""
    confidence: Doubles
    """(n,): the card's score; ``-inf`` where the answer is "none of these" and is never given."""
    scores: Mapping[str, Doubles]
    """(n,) by name: every score of ``SCORES``, for comparing them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Student:
    """See the module for an example."""

    card: StudentCard
    """What is known of it."""
    vocabulary: Vocabulary
    """What it reads of a text."""
    weights: Floats
    """(grams + vector length, labels): a linear classifier."""
    bias: Floats
    """(labels,)."""
    calibrator: Calibrator
    """Margins to probabilities."""
    trust: Trust
    """Signs of doubt to the probability of being right."""
    neighbours: Neighbours
    """What it was taught, for what is unlike all of it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can answer."""
        return self.card.labels

    def predict(
        self,
        texts: Sequence[str],
        *,
        vectors: npt.NDArray[np.float32] | None = None,
        allowed: Sequence[int] | None = None,
    ) -> Predictions:
        """Return the most probable label of each text, among ``allowed`` places of ``labels`` where given.

        ``vectors`` are the texts' embeddings, for a student that reads them (``card``'s features name the model).

        Raises:
            InputError: one text in the place of a list, vectors missing or of another shape, or nothing is allowed.
        """
        if isinstance(texts, str):
            raise InputError("predict() takes a list of texts; for one text give [text]")
        rows = [self.vocabulary.row(text) for text in texts]
        margins = self._margins(rows, vectors)
        nearest = np.array([self.neighbours.nearest(row) for row in rows])
        return self._read(margins, nearest, self._allowed(allowed))

    def _margins(self, rows: Sequence[Row], vectors: npt.NDArray[np.float32] | None) -> Doubles:
        grams = len(self.vocabulary.grams)
        length = len(self.weights) - grams
        shape = (len(rows), length)
        if length and (vectors is None or vectors.shape != shape):
            seen = "none" if vectors is None else str(vectors.shape)
            model = self.vocabulary.features.embedder
            raise InputError(f"this student reads vectors of {model}: shape {shape} is needed, and {seen} was given")
        margins = np.array([row.weights @ self.weights[row.places] for row in rows], np.float64)
        margins = margins.reshape(len(rows), len(self.labels)) + self.bias
        return margins + vectors @ self.weights[grams:] if length and vectors is not None else margins

    def _allowed(self, places: Sequence[int] | None) -> npt.NDArray[np.int64]:
        if places is None:
            return np.arange(len(self.labels))
        if not places:
            raise InputError(f"none of this student's {len(self.labels)} labels is allowed; allow one or more")
        return np.array(sorted(set(places)), np.int64)

    def _read(self, margins: Doubles, nearest: Doubles, allowed: npt.NDArray[np.int64]) -> Predictions:
        probabilities = np.zeros_like(margins)
        some = self.calibrator.probabilities(margins)[:, allowed]
        some /= np.maximum(some.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        probabilities[:, allowed] = some
        best = allowed[some.argmax(axis=1)]
        scores = scores_of(some, self.calibrator.energy(margins[:, allowed]), nearest, self.trust)
        if self.card.score not in SCORES[:2]:
            raise unknown("score", self.card.score, SCORES[:2])
        outside = np.array([label == self.card.outside for label in self.labels])
        confidence = np.where(outside[best], NEVER, scores[self.card.score])
        return Predictions(tuple(self.labels[at] for at in best), probabilities, confidence, scores)


def scores_of(probabilities: Doubles, energy: Doubles, nearest: Doubles, trust: Trust) -> dict[str, Doubles]:
    """Return every score of answers whose probabilities (n, labels), energies and nearest cosines are known."""
    first, second = top_two(probabilities)
    sure = trust.probability(signs_of(probabilities, energy, nearest))
    return {"trust": sure, "top": first, "margin": first - second, "energy": energy, "nearest": nearest}
