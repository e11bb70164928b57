"""Cascade: asks engines in order of cost and gives the first answer whose stop rule is satisfied.

    Cascade([
        Leg(engine=Metered(small, ledger), rule=Confidence(Of.MEAN, calibration), threshold=0.8),
        Leg(engine=Metered(large, ledger)),
    ])

Chen, Zaharia and Zou, FrugalGPT, 2023. Every leg is an attempt of one call and is charged, the rejected ones too.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cput.errors import EngineError, InputError
from cput.policy.cascade.heard import Heard, is_plain, shown, with_logprobs
from cput.policy.cascade.rules import Rule, Score
from cput.policy.cascade.thresholds import cascaded
from cput.policy.cascade.way import Way
from cput.policy.explain import Decided
from cput.policy.recorded import Recorded
from cput.policy.replayed import Replayed
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Finish, Option, Piece

EVERY = 8
"""Tokens between two looks at whether an answer can still pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One engine of a cascade."""

    engine: Engine
    """Whom to ask, usually ``Metered``."""
    rule: Rule | None = None
    """What must be satisfied for its answer to be given; None gives any answer, so that only an error (an abstention)
    goes on to the next leg."""
    threshold: float = 1.0
    """The least score of ``rule`` that satisfies it; infinite is never."""
    reason: str = "stop_rule"
    """The grounds' reason code where its answer is given: ``student_sure`` for a student that abstains by itself, whose
    rule is ``Confidence(Of.FIRST)`` with the threshold 0, so that its probability is in the grounds."""
    cost_usd: float | None = None
    """What a call is expected to cost here; only told in the grounds."""
    record: str | None = None
    """What its engine is called in a record of answers; None is its own name."""

    @property
    def column(self) -> str:
        """What its engine is called in a record of answers."""
        return self.record or self.engine.name


class Otherwise(StrEnum):
    """What is given where no rule is satisfied."""

    LAST = "last"
    """The last leg's answer, streamed as it comes; its error is the call's."""
    BEST = "best"
    """The answer with the best score. The last leg has a rule too, and is held back as all others are."""


class Cascade:
    """Answers with the first leg whose rule is satisfied, and otherwise as ``otherwise`` says.

    A leg with a rule is held back until its rule has spoken: at the end of the answer, or sooner where it can tell from
    a beginning; the rest then comes as it is made. A leg that can't pass any more is hung up. The last leg is streamed
    straight through.

    A leg that fails before the client has heard anything goes on to the next one, whatever it says: what a small engine
    calls a mistake of the client's (a prompt too long, a field it does not know) the last one may well take. The last
    leg's own word about the request is the client's. Calls whose answer is not one text go to the last leg untouched.
    """

    def __init__(
        self,
        legs: Sequence[Leg],
        *,
        otherwise: Otherwise = Otherwise.LAST,
        policy: str | None = None,
        judgeable: Callable[[Call], bool] = is_plain,
    ) -> None:
        """``legs`` in order of cost; ``policy`` is the name in the grounds; ``judgeable`` says which calls rules read.

        Raises:
            InputError: no leg, a threshold that is negative or no number, or no rule for the last leg (``BEST``).
        """
        if not legs:
            raise InputError("a cascade has no leg; allowed: 1 or more")
        for leg in legs:
            if not leg.threshold >= 0:  # also NaN
                raise InputError(f"the threshold of leg '{leg.engine.name}' is {leg.threshold}; allowed: 0 or more")
        if otherwise is Otherwise.BEST and legs[-1].rule is None:
            raise InputError(f"the last leg '{legs[-1].engine.name}' has no rule to score it; give one, or take LAST")
        self.legs = tuple(legs)
        self.otherwise = otherwise
        self.policy = policy
        self._judgeable = judgeable

    @property
    def name(self) -> str:
        """The engines' names."""
        return ", then ".join(leg.engine.name for leg in self.legs)

    def answer(self, call: Call) -> Answer:
        """Answer with the first leg that is satisfied."""
        options = [Option(engine=leg.engine.name, threshold=_bar(leg), cost_usd=leg.cost_usd) for leg in self.legs]
        if self.otherwise is Otherwise.LAST:
            options[-1] = Option(engine=options[-1].engine, cost_usd=options[-1].cost_usd)
        way = Way(options, self.policy)
        return Decided(self._stream(call, way), way.so_far, way.attempt, way.grounds)

    def replayed(self, table: Recorded) -> Replayed:
        """Return what it gives and pays on recorded answers; see ``Replayable``. A leg without a rule has answered."""
        known = table.only([leg.column for leg in self.legs])
        scores = np.column_stack(
            [
                np.full(len(known), np.inf) if leg.rule is None else leg.rule.recorded(known, at)
                for at, leg in enumerate(self.legs)
            ]
        )
        bars = tuple(leg.threshold for leg in self.legs)
        return cascaded(known.quality, known.cost_usd, scores, bars, best=self.otherwise is Otherwise.BEST)

    async def aclose(self) -> None:
        """Close all engines."""
        async with contextlib.AsyncExitStack() as closing:
            for leg in self.legs:
                closing.push_async_callback(leg.engine.aclose)

    async def _stream(self, call: Call, way: Way) -> AsyncGenerator[Piece | Ending, None]:
        plain, last, best = self._judgeable(call), len(self.legs) - 1, self.otherwise is Otherwise.BEST
        for at, leg in enumerate(self.legs):
            if not plain and at < last:
                way.note(at, "not asked: the answer is not one text")
                continue
            rule = leg.rule if plain and (at < last or best) else None
            begun = False
            try:
                asked = with_logprobs(call) if rule is not None and rule.wants_logprobs else call
                answer = way.ask(at, leg.engine, asked)
                if rule is not None and not await heard_out(way, at, call, leg, rule, whole=best):
                    continue
                if rule is not None or at == last:
                    way.decide(at, leg.reason if rule is not None else "last_leg")
                for piece in way.heard.pieces:
                    begun = True
                    yield shown(piece, call)
                async for piece in answer:
                    way.decide(at, leg.reason)
                    begun = True
                    yield shown(piece, call)
                way.decide(at, leg.reason)  # also an answer without a piece
                yield way.closed()
            except (EngineError, InputError) as error:
                if begun:
                    raise
                way.failed(at, leg.engine.name, error)
            else:
                return
            finally:
                await way.hang_up()
        top = way.best() if best else None
        if top is None:
            raise way.error()
        for piece in way.give(top, "last_leg"):
            yield shown(piece, call)
        yield way.closed()


async def heard_out(way: Way, at: int, call: Call, leg: Leg, rule: Rule, *, whole: bool) -> bool:
    """Hear a leg until its rule has spoken; return whether it is satisfied. What came is in ``way.heard``.

    ``whole``: an answer that is not good enough is heard to its end all the same, since it may be the best there is.
    """
    assert way.leg is not None
    unseen = 0
    async for piece in way.leg:
        way.heard.add(piece)
        early = rule.early(call, way.heard)
        if early is not None and (reaches(early, leg.threshold) or not whole):
            way.scored(at, early)
            return reaches(early, leg.threshold)
        unseen += max(1, piece.tokens)
        if unseen >= EVERY and not whole:
            unseen = 0
            if (most := _most(rule, call, way.heard)) < leg.threshold:
                way.scored(at, Score(most, "hung up: it could not reach its threshold any more"))
                return False
    if way.leg.ending.finish is Finish.ERROR:
        way.note(at, "ended with an error")
        return False
    score = await scored(rule, call, way.heard, leg.engine)
    way.scored(at, score)
    return reaches(score, leg.threshold)


async def scored(rule: Rule, call: Call, heard: Heard, engine: Engine) -> Score:
    """Return what a rule says of a whole answer. A rule that raises has no score: its answer is not given for sure."""
    try:
        return await rule.score(call, heard, engine)
    except Exception as error:  # noqa: BLE001  # a user's check that fails must not fail the call: the next leg is asked
        return Score(None, f"its rule failed: {type(error).__name__}")


def _most(rule: Rule, call: Call, heard: Heard) -> float:
    try:
        return rule.most(call, heard)
    except Exception:  # noqa: BLE001  # as above: whoever can't tell hangs nobody up
        return 1.0


def reaches(score: Score, threshold: float) -> bool:
    """Whether a score satisfies a threshold; an unknown one satisfies none."""
    return score.value is not None and score.value >= threshold


def _bar(leg: Leg) -> float | None:
    return leg.threshold if leg.rule is not None else None
