"""``classifier``: a student answers with one of its labels, or abstains so that the next engine is asked.

    engine = open_engine("classifier", model="students/banking", threshold=0.97)
    await engine.answer(call).text()                # "card_arrival", or raises Abstained

It reads the last user message (or a raw prompt) and nothing else of a call: no earlier turns, no system prompt. The
label comes in one piece, as no tokens: what it counts as output is the label's reference length, where the card has
one, so that a cost per useful token stands on the same tokens as the labeller's.
"""

import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import numpy as np

from cput.engines.classifier.examples import asked_of
from cput.engines.classifier.student import Predictions, Student
from cput.engines.embedder import open_engine as open_embedder
from cput.engines.embedder.engine import Embedder
from cput.errors import Abstained, InputError
from cput.protocols import Answer
from cput.records import Call, CountedBy, Ending, Finish, GrammarKind, Piece, Usage
from cput.rules import SHARE, shown

DEFAULT = "default"
"""The entry of a table of thresholds that stands for every label and slice without one."""
_TINY = 1e-300


class Classifier:
    """Answers from a closed set of labels. See the module for an example.

    Args:
        student: what answers.
        name: its name in the ledger.
        threshold: least confidence of an answer that is given. A table gives one for a label (``card_arrival``), for a
            slice of calls (``topic=race``) and for all others (``default``); of several that apply the highest counts.
            None takes the student's own.
        abstain: False answers however unsure it is, and whatever the threshold.

    Raises:
        InputError: a threshold out of range, or none at all.
    """

    def __init__(
        self,
        student: Student,
        *,
        name: str = "student",
        threshold: float | Mapping[str, float] | None = None,
        abstain: bool = True,
    ) -> None:
        self.name = f"classifier:{name}"
        self.student = student
        self.busy_s = 0.0
        """Seconds that it worked since it was made."""
        self._thresholds = _thresholds(student, threshold) if abstain else None
        self._places = {label: at for at, label in enumerate(student.labels)}
        self._embedder: Embedder | None = None

    def answer(self, call: Call) -> Answer:
        """Answer with a label; Abstained where it is not sure enough."""
        spent = _Spent()
        return Answer(self._stream(call, spent), spent.usage)

    async def aclose(self) -> None:
        """Let go of the embedding model, where there is one; a later call loads it again."""
        embedder, self._embedder = self._embedder, None
        if embedder is not None:
            await embedder.aclose()

    async def _stream(self, call: Call, spent: "_Spent") -> AsyncGenerator[Piece | Ending, None]:
        text = asked_of(call)
        if text is None or call.embed:
            raise InputError("the call has no user message and no prompt; a student answers one of the two")
        found = await self._predict(text, self._allowed(call), spent)
        label, sure = found.labels[0], float(found.confidence[0])
        shown_sure = max(sure, 0.0)
        least = self._least(label, call)
        if least is not None and not sure >= least:
            raise Abstained(
                f"{self.name} holds its answer to be right with {shown_sure:.3f}, and {least:.3f} is needed",
                probability=shown_sure,
                threshold=least,
                label=label,
            )
        spent.output = self.student.card.label_tokens.get(label)
        logprobs = (float(np.log(max(shown_sure, _TINY))),) if call.sampling.logprobs else ()
        yield Piece(text=label, logprobs=logprobs, whole=True)
        yield Ending(finish=Finish.STOP, usage=spent.usage(complete=True), model=self.name)

    async def _predict(self, text: str, allowed: list[int] | None, spent: "_Spent") -> Predictions:
        vectors = None
        model = self.student.vocabulary.features.embedder
        if model is not None:
            self._embedder = self._embedder or open_embedder(model)
            leg = self._embedder.answer(Call(embed=(text or " ",)))
            vectors = await leg.vectors()
            spent.input = leg.ending.usage.input_uncached
            spent.engine_s += leg.ending.usage.engine_s or 0.0
        began = time.perf_counter()
        found = self.student.predict([text], vectors=vectors, allowed=allowed)
        took = time.perf_counter() - began
        spent.engine_s += took
        self.busy_s += spent.engine_s
        return found

    def _allowed(self, call: Call) -> list[int] | None:
        """Return the places of the labels that the call's choices leave; None is all."""
        grammar = call.sampling.grammar
        if grammar is None or grammar.kind is not GrammarKind.CHOICE:
            return None
        places = [self._places[choice] for choice in grammar.value if choice in self._places]
        if not places:
            raise Abstained(
                f"none of the {len(grammar.value)} answers that the call allows is a label of {self.name}",
                probability=0.0,
                threshold=0.0,
                label="",
            )
        return None if len(places) == len(self._places) else places

    def _least(self, label: str, call: Call) -> float | None:
        """Return the threshold for this answer; None where it always answers."""
        if self._thresholds is None:
            return None
        names = (DEFAULT, label, *(f"{name}={value}" for name, value in call.tags.items()))
        own = [self._thresholds[name] for name in names[1:] if name in self._thresholds]
        return max(own) if own else self._thresholds[DEFAULT]


class _Spent:
    """What one answer used so far."""

    def __init__(self) -> None:
        self.input: int | None = None
        self.output: int | None = 0
        self.engine_s = 0.0

    def usage(self, *, complete: bool = False) -> Usage:
        """Return the usage. Grams are no tokens: without an embedder the input is unknown."""
        return Usage(
            input_uncached=self.input,
            output=self.output,
            engine_s=self.engine_s,
            complete=complete and self.output is not None,
            counted_by=CountedBy.UNKNOWN if self.output is None else CountedBy.ESTIMATED,
        )


def _thresholds(student: Student, threshold: Any) -> dict[str, float]:
    """Return the thresholds by name, ``default`` among them."""
    own = student.card.threshold
    table: dict[str, Any] = dict(threshold) if isinstance(threshold, Mapping) else {}
    if not isinstance(threshold, Mapping) and threshold is not None:
        table[DEFAULT] = threshold
    table.setdefault(DEFAULT, own)
    if table[DEFAULT] is None:
        raise InputError("this student has no threshold of its own; give threshold=0.95, or abstain=False")
    for name, value in table.items():
        if not SHARE.fits(value):
            raise InputError(f"threshold '{name}' is {shown(value)}; allowed: {SHARE.allowed}")
        if name != DEFAULT and name not in student.labels and "=" not in name:
            raise InputError(f"threshold for '{name}': no such label; allowed: a label, slice=value, or {DEFAULT}")
    return {name: float(value) for name, value in table.items()}
