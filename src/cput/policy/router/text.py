"""What can be read off a prompt without a model: how it is built, and which words it has.

``Template`` drops the beginning that every prompt of a workload shares (instructions, worked examples), which would
drown what differs. ``style`` counts what makes a question hard or easy; ``Words`` is TF-IDF over words and word pairs,
hashed, so that nothing a customer wrote is kept in a fitted router.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

STYLE = (
    "log question length", "log mean option length", "log spread of option lengths", "share of options with digits",
    "log numbers", "negation", "negation in capitals", "statements to judge", "blank to fill", "question mark",
    "roman numerals in options", "symbols of mathematics", "mean word length", "all or none of the above",
    "true or false options", "scenarios", "share of capitals", "several lines", "log words a sentence", "according to",
    "year",
)  # fmt: skip
"""Names of the figures of ``style``, in their order."""
_OPTION = re.compile(r"\n\(?[A-J][.)]\s+")
_NEGATION = re.compile(r"\b(not|except|least|never|false|incorrect)\b", re.IGNORECASE)
_CAPITALS = re.compile(r"\b(NOT|EXCEPT|LEAST|NEVER)\b")
_ROMAN = re.compile(r"\b[IVX]+\b.*\b[IVX]+\b", re.DOTALL)
_ABOVE = re.compile(r"\b(all|none|both|neither) of (the|these)\b", re.IGNORECASE)
_YEAR = re.compile(r"\b(1[5-9]|20)\d\d\b")
_PAIR = re.compile(r"\n\(?[A-J][.)]\s+(true|false|wrong|not wrong|yes|no)\b", re.IGNORECASE)

Matrix = npt.NDArray[np.float32]
PLACES = 1 << 17
"""Into how many places words are hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The beginning that prompts share."""

    prefix: str = ""
    """It ends at a line's end, so that no word is cut."""

    @classmethod
    def of(cls, prompts: Sequence[str]) -> Self:
        """Find it; a single prompt has none."""
        first, last = min(prompts, default=""), max(prompts, default="")  # what these two share, all do
        alike = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), 0)
        return cls(prefix=first[: first[:alike].rfind("\n") + 1])

    def rest(self, prompt: str) -> str:
        """Return what differs; a prompt that does not begin so is returned whole."""
        return prompt.removeprefix(self.prefix)


def style(prompts: Sequence[str]) -> Matrix:
    """Return (n, len(STYLE)) figures of how prompts are built."""
    return np.array([_style(prompt) for prompt in prompts], dtype=np.float32).reshape(len(prompts), len(STYLE))


def _style(prompt: str) -> list[float]:
    question, *options = _OPTION.split(prompt)
    words = question.split()
    lengths = [len(option) for option in options] or [0]
    sentences = max(1, question.count(".") + question.count("?"))
    letters = max(1, len(question))
    return [
        np.log1p(len(question)),
        np.log1p(sum(lengths) / len(lengths)),
        np.log1p(max(lengths)) - np.log1p(min(lengths)),
        sum(any(letter.isdigit() for letter in option) for option in options) / max(1, len(options)),
        np.log1p(len(re.findall(r"\d+", question))),
        bool(_NEGATION.search(question)),
        bool(_CAPITALS.search(question)),
        "Statement 1" in question,
        "__" in question,
        "?" in question,
        bool(_ROMAN.search(" ".join(options))),
        20 * sum(question.count(symbol) for symbol in "=+*/^<>$\\") / letters,
        sum(map(len, words)) / max(1, len(words)),
        bool(_ABOVE.search(prompt)),
        bool(_PAIR.search(prompt)),
        "Scenario 1" in question,
        10 * sum(letter.isupper() for letter in question) / letters,
        question.count("\n") > 2,
        np.log1p(len(words) / sentences),
        "according" in question.lower(),
        bool(_YEAR.search(question)),
    ]


class Words:
    """TF-IDF over hashed words and word pairs; a word of one training prompt only weighs nothing.

    Args:
        idf: weight of each of the hashed places, (``places``,).
    """

    def __init__(self, idf: Matrix) -> None:
        self.idf = idf

    @classmethod
    def fit(cls, counts: Any) -> Self:
        """Learn how rare each word is from ``counted`` training prompts."""
        held = np.asarray((counts > 0).sum(axis=0)).ravel()
        idf = np.log((1 + counts.shape[0]) / (1 + held)) + 1
        return cls(np.where(held > 1, idf, 0).astype(np.float32))

    def of(self, counts: Any) -> Any:
        """Weigh ``counted`` prompts: a sparse (n, places) float32 matrix with rows of length 1."""
        from sklearn.preprocessing import normalize

        weighed = counts.copy()
        weighed.data = (1 + np.log(weighed.data)) * self.idf[weighed.indices]
        weighed.eliminate_zeros()
        return normalize(weighed)


def counted(prompts: Sequence[str], *, places: int = PLACES) -> Any:
    """Return how often each hashed word and word pair is in each prompt: sparse (n, places), float32."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(n_features=places, ngram_range=(1, 2), alternate_sign=False, norm=None)
    return hashing.transform(prompts).astype(np.float32)
