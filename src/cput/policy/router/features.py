"""Features: what every member of a router reads of a list of prompts, made once and shared.

reader, features = Reader.fit(train.prompts, embedding)
features = reader.of(["..."])

``Raw`` is what needs no training prompts: read once, it serves any number of splits of the same prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from cput.policy.router.embedding import Embedding
from cput.policy.router.text import Matrix, Template, Words, counted, style

Progress = Callable[[int], None]
"""Told how many prompts have their vector."""


class Raw(NamedTuple):
    """``n`` prompts as numbers that depend on nothing but themselves."""

    counts: Any
    """Sparse (n, places): how often each hashed word is there."""
    vectors: Matrix
    """(n, d): sentence embeddings; d is 0 where no model is asked."""
    style: Matrix
    """(n, s): figures of style as they are."""

    def rows(self, places: npt.NDArray[Any]) -> "Raw":
        """Return those of some of the prompts."""
        return Raw(self.counts[places], self.vectors[places], self.style[places])


class Features(NamedTuple):
    """``n`` prompts as numbers."""

    words: Any
    """Sparse (n, places): TF-IDF of words and word pairs, rows of length 1."""
    vectors: Matrix
    """(n, d): sentence embeddings, rows of length 1; d is 0 where no model is asked."""
    style: Matrix
    """(n, s): how the prompt is built, each figure standardised on the training prompts."""

    def rows(self, places: npt.NDArray[Any]) -> "Features":
        """Return the features of some of the prompts."""
        return Features(self.words[places], self.vectors[places], self.style[places])

    @property
    def dense(self) -> Matrix:
        """Vectors and style side by side."""
        return np.hstack([self.vectors, self.style])


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads prompts as it learned to on the training prompts."""

    template: Template
    """The beginning that all of them share, which is dropped."""
    words: Words
    """How rare each word is."""
    mean: Matrix
    """Mean of each figure of style."""
    scale: Matrix
    """Its standard deviation; 1 where it never differs."""
    embedding: Embedding | None = field(default=None)
    """Who makes the vectors; None goes without."""

    @classmethod
    def fit(
        cls, prompts: Sequence[str], embedding: Embedding | None, *, progress: Progress = lambda _: None
    ) -> tuple[Self, Features]:
        """Learn from training prompts; return the reader and what it reads in them."""
        template = Template.of(prompts)
        raw = raw_of([template.rest(prompt) for prompt in prompts], embedding, progress=progress)
        reader = cls.learn(raw, template=template, embedding=embedding)
        return reader, reader.weigh(raw)

    @classmethod
    def learn(cls, raw: Raw, *, template: Template | None = None, embedding: Embedding | None = None) -> Self:
        """Learn from training prompts that were read already."""
        spread = raw.style.std(axis=0)
        return cls(
            template=template or Template(),
            words=Words.fit(raw.counts),
            mean=raw.style.mean(axis=0),
            scale=np.where(spread > 1e-6, spread, 1).astype(np.float32),
            embedding=embedding,
        )

    def of(self, prompts: Sequence[str], *, progress: Progress = lambda _: None) -> Features:
        """Read prompts."""
        return self.weigh(raw_of([self.template.rest(prompt) for prompt in prompts], self.embedding, progress=progress))

    def weigh(self, raw: Raw) -> Features:
        """Weigh words by how rare they are, and figures of style by how much they differ."""
        return Features(self.words.of(raw.counts), raw.vectors, (raw.style - self.mean) / self.scale)


def raw_of(texts: Sequence[str], embedding: Embedding | None, *, progress: Progress = lambda _: None) -> Raw:
    """Read texts whose template was dropped."""
    empty = np.empty((len(texts), 0), np.float32)
    vectors = empty if embedding is None else embedding.of(texts, progress=progress)
    return Raw(counted(texts), vectors, style(texts))
