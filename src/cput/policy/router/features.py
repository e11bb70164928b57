"""Features: what every member of a router reads of a list of prompts, made once and shared.

reader = Reader.fit(train.prompts, embedding)
features = reader.of(["..."])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from cput.policy.router.embedding import Embedding
from cput.policy.router.text import Matrix, Template, Words, style


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
    def fit(cls, prompts: Sequence[str], embedding: Embedding | None, *, template: Template | None = None) -> Self:
        """Learn from training prompts; ``template`` is found in them where it is not given."""
        found = Template.of(prompts) if template is None else template
        texts = [found.rest(prompt) for prompt in prompts]
        figures = style(texts)
        spread = figures.std(axis=0)
        return cls(
            template=found,
            words=Words.fit(texts),
            mean=figures.mean(axis=0),
            scale=np.where(spread > 1e-6, spread, 1).astype(np.float32),
            embedding=embedding,
        )

    def of(self, prompts: Sequence[str], *, progress: Callable[[int], None] = lambda _: None) -> Features:
        """Read prompts."""
        texts = [self.template.rest(prompt) for prompt in prompts]
        empty = np.empty((len(texts), 0), np.float32)
        vectors = empty if self.embedding is None else self.embedding.of(texts, progress=progress)
        return Features(self.words.of(texts), vectors, (style(texts) - self.mean) / self.scale)
