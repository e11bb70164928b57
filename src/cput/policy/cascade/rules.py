"""Stop rules: how sure a leg's answer may be taken for useful. Each gives a score in [0, 1] and never sees a reference.

    Passes(useful)                               # a check that needs no reference answer: 1 or 0
    Confidence(of=Of.MEAN, calibration=...)      # what the chosen tokens' log-probabilities say
    Consistent(samples=5)                        # how many further samples agree; each is an attempt
    Learned(correctness)                         # a fitted estimator over prompt, answer and confidence

A score is held against the leg's threshold; a score that is None (the rule can't tell) never reaches it.
"""

import asyncio
import math
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np

from cput.errors import EngineError, InputError
from cput.policy.abandon import Hopeless
from cput.policy.cascade.calibration import Calibration, Floats
from cput.policy.cascade.heard import Heard
from cput.policy.estimates import asked_text
from cput.policy.persist import Useful
from cput.policy.recorded import Recorded
from cput.protocols import Engine
from cput.records import Call, Message, Sampling, changed


class Score(NamedTuple):
    """What a rule found."""

    value: float | None
    """0 to 1; None where it can't tell."""
    note: str = ""
    """In a few words for people, without a word of the prompt or the answer."""


class Rule(Protocol):
    """When a leg's answer may be given. ``Settled`` has the two early looks of a rule that has none."""

    @property
    def wants_logprobs(self) -> bool:
        """Whether the leg must be asked for the log-probabilities of its tokens."""
        ...

    def early(self, call: Call, heard: Heard) -> Score | None:
        """Return the final score where what has come so far decides it; None where it does not yet."""
        ...

    def most(self, call: Call, heard: Heard) -> float:
        """Return the best score that the answer can still reach: below the threshold, the leg is hung up."""
        ...

    async def score(self, call: Call, heard: Heard, engine: Engine) -> Score:
        """Return the score of a whole answer; ``engine`` is the leg's, to be asked further."""
        ...

    def recorded(self, table: Recorded, column: int) -> Floats:
        """Return the scores (n,) of one engine's recorded answers; NaN where it can't tell.

        Raises:
            InputError: the record lacks what the rule reads.
        """
        ...


class Settled:
    """The looks of a rule that speaks about whole answers only."""

    wants_logprobs = False

    def early(self, call: Call, heard: Heard) -> Score | None:  # noqa: ARG002  # a rule's shape
        """Return None."""
        return None

    def most(self, call: Call, heard: Heard) -> float:  # noqa: ARG002  # a rule's shape
        """Return 1."""
        return 1.0


class Passes(Settled):
    """1 where ``useful`` passes the answer, else 0. ``hopeless`` may say sooner that it can't pass any more."""

    def __init__(self, useful: Useful, hopeless: Hopeless | None = None) -> None:
        self._useful = useful
        self._hopeless = hopeless

    def most(self, call: Call, heard: Heard) -> float:
        """Return 0 where the answer is lost."""
        return 1.0 if self._hopeless is None or self._hopeless(call, heard.text) is None else 0.0

    async def score(self, call: Call, heard: Heard, engine: Engine) -> Score:  # noqa: ARG002  # a rule's shape
        """Ask the check."""
        passed = self._useful(call, heard.text)
        return Score(float(passed), "passed its check" if passed else "failed its check")

    def recorded(self, table: Recorded, column: int) -> Floats:
        """Ask the check about each recorded answer; a call there is its prompt as one turn, under its item's id."""
        return np.array(
            [
                np.nan if answer is None else float(self._useful(_call(prompt, item), answer))
                for prompt, item, answer in zip(table.prompts, table.items, _answers(table, column), strict=True)
            ]
        )


class Of(StrEnum):
    """What is read from the probabilities of the chosen tokens."""

    MEAN = "mean"
    """Their geometric mean: the exponential of the mean log-probability."""
    MIN = "min"
    """The least."""
    FIRST = "first"
    """The first one's: for answers from a closed set it is nearly the whole answer's, and known at once."""
    MARGIN = "margin"
    """By how much the whole answer leads any other at least, ``2p - 1`` where all others share ``1 - p``; of two
    choices it is the margin itself."""


class Confidence:
    """What the answer's own token probabilities say, through ``calibration`` where one was fitted."""

    wants_logprobs = True

    def __init__(self, of: Of = Of.MEAN, calibration: Calibration | None = None) -> None:
        self._of = of
        self._calibration = calibration

    def early(self, call: Call, heard: Heard) -> Score | None:  # noqa: ARG002  # a rule's shape
        """Return the score once the first token is there, where that is all it takes."""
        return self._said(heard) if self._of is Of.FIRST and heard.logprobs else None

    def most(self, call: Call, heard: Heard) -> float:  # noqa: ARG002  # a rule's shape
        """Return the score so far, where it can only fall: a least value and a product do."""
        if self._of not in {Of.MIN, Of.MARGIN} or not heard.logprobs:
            return 1.0
        found = self._said(heard).value
        return 1.0 if found is None else found

    async def score(self, call: Call, heard: Heard, engine: Engine) -> Score:  # noqa: ARG002  # a rule's shape
        """Read the log-probabilities; None where the engine gave none."""
        return self._said(heard)

    def recorded(self, table: Recorded, column: int) -> Floats:
        """Return the recorded confidences, calibrated; they must have been read in the same way."""
        return calibrated(self._calibration, _confidence(table, column))

    def _said(self, heard: Heard) -> Score:
        raw = confidence(heard.logprobs, self._of)
        if raw is None:
            return Score(None, "gave no log-probabilities")
        return Score(float(calibrated(self._calibration, np.array([raw]))[0]), f"{self._of.value} token probability")


class Consistent(Settled):
    """The share of ``samples`` answers, the first included, that agree with the first.

    Wang et al., Self-consistency improves chain of thought reasoning in language models, ICLR 2023. The others are
    drawn at ``temperature`` with seeds of their own, at the same time; each is an attempt of the call. One that fails
    does not agree.
    """

    def __init__(
        self,
        *,
        samples: int = 5,
        temperature: float = 0.7,
        agree: Callable[[str, str], bool] | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        if samples < 2:
            raise InputError(f"samples is {samples}; allowed: 2 or more, the first answer included")
        self._samples = samples
        self._temperature = temperature
        self._agree = agree or same_words
        self._calibration = calibration

    async def score(self, call: Call, heard: Heard, engine: Engine) -> Score:
        """Draw the other samples and compare them with the first."""
        said = heard.text
        others = await asyncio.gather(*(self._draw(call, number, engine) for number in range(1, self._samples)))
        agreed = 1 + sum(other is not None and self._agree(said, other) for other in others)
        share = calibrated(self._calibration, np.array([agreed / self._samples]))[0]
        return Score(float(share), f"{agreed} of {self._samples} samples agree")

    def recorded(self, table: Recorded, column: int) -> Floats:
        """Return the recorded confidences, calibrated; they must be such shares."""
        return calibrated(self._calibration, _confidence(table, column))

    async def _draw(self, call: Call, number: int, engine: Engine) -> str | None:
        seed = (call.sampling.seed or 0) + number
        warmer = changed(call.sampling, temperature=self._temperature, seed=seed)
        try:
            async with engine.answer(changed(call, sampling=warmer)) as answer:
                return await answer.text()
        except EngineError:
            return None


class Judge(Protocol):
    """An estimator of correctness; ``Correctness`` is one."""

    def score(self, prompts: list[str], answers: list[str], confidence: Floats) -> Floats:
        """Return the probability (n,) that each answer is useful; NaN confidence is unknown."""
        ...


class Learned(Settled):
    """What a fitted estimator says of prompt, answer and (``of``) confidence. It runs in a thread."""

    def __init__(self, judge: Judge, of: Of | None = Of.MEAN) -> None:
        self._judge = judge
        self._of = of
        self.wants_logprobs = of is not None

    async def score(self, call: Call, heard: Heard, engine: Engine) -> Score:  # noqa: ARG002  # a rule's shape
        """Ask the estimator."""
        raw = confidence(heard.logprobs, self._of) if self._of is not None else None
        known = np.array([np.nan if raw is None else raw])
        (found,) = await asyncio.to_thread(self._judge.score, [asked_text(call)], [heard.text], known)
        return Score(float(found), "estimated from prompt and answer")

    def recorded(self, table: Recorded, column: int) -> Floats:
        """Ask the estimator about each recorded answer."""
        answers = _answers(table, column)
        known = (
            table.confidence[:, column] if table.confidence is not None and self._of else np.full(len(table), np.nan)
        )
        found = self._judge.score(list(table.prompts), [answer or "" for answer in answers], known)
        return np.where([answer is None for answer in answers], np.nan, found)


def confidence(logprobs: list[float], of: Of) -> float | None:
    """Return what log-probabilities say in [0, 1]; None where there are none.

    >>> confidence([0.0, math.log(0.25)], Of.MEAN), confidence([0.0, math.log(0.75)], Of.MARGIN)
    (0.5, 0.5)
    """
    known = [value for value in logprobs if not math.isnan(value)]
    if not known:
        return None
    match of:
        case Of.MEAN:
            value = math.exp(sum(known) / len(known))
        case Of.MIN:
            value = math.exp(min(known))
        case Of.FIRST:
            value = math.exp(known[0])
        case Of.MARGIN:
            value = 2 * math.exp(sum(known)) - 1
    return min(1.0, max(0.0, value))


def same_words(one: str, other: str) -> bool:
    """Whether two answers are the same but for case, white space and a full stop at the end."""
    return _plain(one) == _plain(other)


def calibrated(calibration: Calibration | None, raw: Floats) -> Floats:
    """Return raw scores through a calibration, or as they are."""
    return raw if calibration is None else calibration(raw)


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".。").casefold()


def _answers(table: Recorded, column: int) -> list[str | None]:
    if not table.answers:
        raise InputError("this stop rule reads answers, and the record keeps none; record them with their texts")
    return [row[column] for row in table.answers]


def _confidence(table: Recorded, column: int) -> Floats:
    if table.confidence is None:
        raise InputError("this stop rule reads confidence, and the record keeps none; record it with log-probabilities")
    return table.confidence[:, column]


def _call(prompt: str, item: str) -> Call:
    return Call(messages=(Message(role="user", content=prompt),), item=item, sampling=Sampling())
