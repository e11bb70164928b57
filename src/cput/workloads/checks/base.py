"""What a check is: it reads an item and an answer and says how good the answer is, from 0 to 1.

A built-in check never raises on any text. ``Check`` reads the answer's text; ``ScoredCheck`` reads log-probabilities of
texts that the engine is asked to score instead of answering.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from cput.records import Grammar
from cput.workloads.item import Item


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a check found."""

    value: float
    """0 is useless, 1 is perfect; graded checks lie between."""
    passed: bool
    """True where the answer was useful: the check's own rule, or value >= the workload's threshold."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What was compared, for people and slices; plain JSON values."""

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:  # also refuses NaN
            raise ValueError(f"a judgement's value is {self.value}; allowed: 0 to 1")


class Score(NamedTuple):
    """How likely a model finds one continuation."""

    logprob_sum: float
    """Natural log-probability of the whole continuation, given its prompt."""
    tokens: int
    """Tokens of the continuation."""


@runtime_checkable
class Check(Protocol):
    """Judges an answer's text."""

    @property
    def name(self) -> str:
        """Name for workload files and outcomes."""
        ...

    def judge(self, item: Item, text: str) -> Judgement:
        """Return how good ``text`` is as an answer to ``item``."""
        ...


@runtime_checkable
class EarlyCheck(Check, Protocol):
    """A check that can tell from an answer's beginning that it is lost."""

    def hopeless(self, item: Item, text: str) -> str | None:
        """Return why no continuation of ``text`` can pass, or None; it must be certain."""
        ...


@runtime_checkable
class ConstrainingCheck(Check, Protocol):
    """A check that can say in which language an answer has what it demands."""

    def grammar(self, item: Item, max_new_tokens: int) -> Grammar | None:
        """Return a language within which ``item``'s answers pass, or are likelier to; None where there is none.

        It goes by the item's params, never by its reference, and some text of it fits into ``max_new_tokens``.
        """
        ...


@runtime_checkable
class BoundedCheck(Check, Protocol):
    """A check that can tell that no answer within a token bound passes."""

    def impossible(self, item: Item, max_new_tokens: int) -> str | None:
        """Return what asks for more than ``max_new_tokens`` can hold, or None; it must be certain."""
        ...


@runtime_checkable
class ScoredCheck(Protocol):
    """Judges by the log-probabilities of given texts; nothing is generated."""

    @property
    def name(self) -> str:
        """Name for workload files and outcomes."""
        ...

    def texts(self, item: Item) -> tuple[tuple[str, str], ...]:
        """Return the (prompt, continuation) pairs to score, raw text without a chat template."""
        ...

    def judge_scores(self, item: Item, scores: Sequence[Score]) -> Judgement:
        """Return the judgement; ``scores`` are in the order of ``texts``."""
        ...


def verdict(passed: bool, **detail: Any) -> Judgement:
    """Return the judgement of a check that knows only right and wrong."""
    return Judgement(1.0 if passed else 0.0, passed, detail)


@dataclass(frozen=True, slots=True)
class Thresholded:
    """A check whose answers pass from the workload's threshold on."""

    inner: Check
    """Gives the value."""
    threshold: float
    """Smallest value that passes."""

    @property
    def name(self) -> str:
        """The inner check's name."""
        return self.inner.name

    def judge(self, item: Item, text: str) -> Judgement:
        """Return the inner judgement, passed by the threshold."""
        return _passed_by(self.inner.judge(item, text), self.threshold)

    @property
    def servable(self) -> bool:
        """Whether the inner check needs no reference answer."""
        return getattr(self.inner, "servable", False)

    def hopeless(self, item: Item, text: str) -> str | None:
        """Return why the inner check calls the answer lost; its value is then 0, below any threshold."""
        return self.inner.hopeless(item, text) if isinstance(self.inner, EarlyCheck) else None

    def grammar(self, item: Item, max_new_tokens: int) -> Grammar | None:
        """Return the inner check's language."""
        return self.inner.grammar(item, max_new_tokens) if isinstance(self.inner, ConstrainingCheck) else None

    def impossible(self, item: Item, max_new_tokens: int) -> str | None:
        """Return what the inner check calls impossible; its value is then 0, below any threshold."""
        return self.inner.impossible(item, max_new_tokens) if isinstance(self.inner, BoundedCheck) else None

    @staticmethod
    def around(check: Check | ScoredCheck, threshold: float) -> "Check | ScoredCheck":
        """Return ``check`` with ``threshold`` as its rule, of the same kind."""
        if isinstance(check, ScoredCheck):
            return ThresholdedScores(check, threshold)
        return Thresholded(check, threshold)


@dataclass(frozen=True, slots=True)
class ThresholdedScores:
    """A scored check whose answers pass from the workload's threshold on."""

    inner: ScoredCheck
    """Gives the value."""
    threshold: float
    """Smallest value that passes."""

    @property
    def name(self) -> str:
        """The inner check's name."""
        return self.inner.name

    def texts(self, item: Item) -> tuple[tuple[str, str], ...]:
        """Return the inner check's texts."""
        return self.inner.texts(item)

    def judge_scores(self, item: Item, scores: Sequence[Score]) -> Judgement:
        """Return the inner judgement, passed by the threshold."""
        return _passed_by(self.inner.judge_scores(item, scores), self.threshold)


def _passed_by(found: Judgement, threshold: float) -> Judgement:
    passed = found.value >= threshold or math.isclose(found.value, threshold, abs_tol=1e-12)
    return Judgement(found.value, passed, found.detail)
