"""Texts as sparse rows: n-grams of characters and words, weighed by how rare they are (TF-IDF).

    rows = Vocabulary(grams=("c:a", ...), idf=idf)
    row = rows.row("I lost my card")      # Row(places, weights): which grams it has, and how much; of length 1

Characters 1 to 3 long serve languages with spaces and without: on BANKING77 and COLD they were no worse than longer
ones, and the shortest of all lists. One definition serves fitting (scikit-learn counts with it) and answering (a
dictionary of grams here: a fitted ``TfidfVectorizer`` takes 2 ms a text and half a minute to save and load).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cput.errors import InputError

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int32]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What a student reads of a text."""

    words: int = 2
    """Longest run of words that is one feature; 0 leaves words out."""
    chars: tuple[int, int] = (1, 3)
    """Shortest and longest run of characters, spaces and both ends included."""
    max_grams: int = 20_000
    """Most grams that are kept, the most frequent first."""
    embedder: str | None = None
    """An embedding model whose vector is read beside the grams; None reads grams alone."""

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            InputError: a size that is out of range.
        """
        low, high = self.chars
        if not 0 <= self.words <= 5:
            raise InputError(f"words is {self.words}; allowed: 0 to 5")
        if not 1 <= low <= high <= 8:
            raise InputError(f"chars is {low} to {high}; allowed: lengths from 1 to 8, the shorter first")
        if self.max_grams < 1:
            raise InputError(f"max_grams is {self.max_grams}; allowed: whole numbers from 1")

    def grams(self, text: str) -> list[str]:
        """Return every gram of a text, each as often as it occurs.

        Case, full-width forms and the number of spaces change nothing.

        >>> Features(words=1, chars=(2, 2)).grams("Ａb c")
        ['w:ab', 'w:c', 'c: a', 'c:ab', 'c:b ', 'c: c', 'c:c ']
        """
        plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        said = _WORD.findall(plain) if self.words else []
        found = [
            "w:" + " ".join(said[at : at + n]) for n in range(1, self.words + 1) for at in range(len(said) - n + 1)
        ]
        line = f" {plain} "
        low, high = self.chars
        return found + ["c:" + line[at : at + n] for n in range(low, high + 1) for at in range(len(line) - n + 1)]


class Row(NamedTuple):
    """A text as the grams it has; ``weights`` are of length 1, or empty where no gram is known."""

    places: Places
    weights: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vocabulary:
    """The grams that are known, and the weight of each."""

    features: Features
    """How a text is cut."""
    grams: tuple[str, ...]
    """All of them, by place."""
    idf: Floats
    """(grams,): logarithm of how rare each is."""
    places: dict[str, int] = field(default_factory=dict, repr=False)
    """Place by gram; made from ``grams``."""

    def __post_init__(self) -> None:
        self.places.update(zip(self.grams, range(len(self.grams)), strict=True))

    def row(self, text: str) -> Row:
        """Return a text's row: (1 + ln count) x idf, of length 1, as ``TfidfVectorizer(sublinear_tf=True)`` has it."""
        find = self.places.get
        counts = Counter(place for gram in self.features.grams(text) if (place := find(gram)) is not None)
        places = np.fromiter(counts.keys(), np.int32, len(counts))
        weights = (1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))) * self.idf[places]
        size = float(np.sqrt(weights @ weights)) or 1.0
        return Row(places, weights / np.float32(size))


def learn(texts: Sequence[str], features: Features) -> Vocabulary:
    """Return the grams of some texts and their weights.

    Raises:
        InputError: no text has any gram.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(analyzer=features.grams, max_features=features.max_grams, dtype=np.float32)
    try:
        counter.fit(texts)
    except ValueError as error:
        raise InputError("the texts hold nothing that can be read; allowed: texts with words or characters") from error
    order = sorted(counter.vocabulary_, key=counter.vocabulary_.__getitem__)
    return Vocabulary(features=features, grams=tuple(order), idf=counter.idf_.astype(np.float32))
