"""CascadeRouter: after each answer it decides whether to stop or whom to ask next, with what it has learned by then.

CascadeRouter(estimator, {"small": Leg(engine=small, rule=rule), "large": Leg(engine=large, rule=other)}, plan)
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping

import numpy as np

from cput.errors import EngineError, InputError, unknown
from cput.policy.cascade.cascade import Leg, scored
from cput.policy.cascade.heard import is_plain, shown, with_logprobs
from cput.policy.cascade.lookahead import STOP
from cput.policy.cascade.plan import Plan, taken
from cput.policy.cascade.way import Way
from cput.policy.estimates import Estimator, Expected, asked_text, expected, in_order
from cput.policy.explain import Decided
from cput.policy.recorded import Recorded
from cput.policy.replayed import Flags, Floats, Replayed
from cput.protocols import Answer
from cput.records import Call, Ending, Option, Piece


class CascadeRouter:
    """Asks whom ``plan`` says, step by step, and gives the answer with the best score.

    Answers are held back, since a better one may follow; the last engine that is left is streamed straight through
    where none was heard before it. An engine that fails is not asked again. Calls whose answer is not one text go to
    the engine that is expected to be best.
    """

    def __init__(
        self,
        estimator: Estimator,
        legs: Mapping[str, Leg],
        plan: Plan,
        *,
        policy: str | None = None,
        in_thread: bool = True,
        judgeable: Callable[[Call], bool] = is_plain,
    ) -> None:
        """``legs`` by the plan's names, each with a rule; ``in_thread``: estimating is slow enough to hold others up.

        Raises:
            InputError: the plan names an engine that is no leg, or a leg has no rule.
        """
        for name in plan.engines:
            if name not in legs:
                raise unknown("engine of the plan", name, legs)
            if legs[name].rule is None:
                raise InputError(f"leg '{name}' has no rule; a cascade router needs a score of every answer")
        self.legs = tuple(legs[name] for name in plan.engines)
        self.plan = plan
        self._estimator = estimator
        self._policy = policy
        self._in_thread = in_thread
        self._judgeable = judgeable

    @property
    def name(self) -> str:
        """The engines' names."""
        return ", or ".join(leg.engine.name for leg in self.legs)

    def answer(self, call: Call) -> Answer:
        """Answer by the plan."""
        options = [Option(engine=leg.engine.name) for leg in self.legs]
        way = Way(options, self._policy)
        return Decided(self._stream(call, way), way.so_far, way.attempt, way.grounds)

    def replayed(self, table: Recorded) -> Replayed:
        """Return what it gives and pays on recorded answers; see ``Replayable``."""
        known = table.only(self.plan.engines)
        found = self._estimator.estimate(known.prompts, known.tags)
        scores = [leg.rule.recorded(known, at) for at, leg in enumerate(self.legs) if leg.rule is not None]
        ahead = in_order(self._estimator, found, self.plan.engines)
        return self.plan.through(ahead, np.column_stack(scores), known.quality, known.cost_usd)

    async def aclose(self) -> None:
        """Close all engines."""
        async with contextlib.AsyncExitStack() as closing:
            for leg in self.legs:
                closing.push_async_callback(leg.engine.aclose)

    async def _stream(self, call: Call, way: Way) -> AsyncGenerator[Piece | Ending, None]:
        ahead = await self._expected(call)
        for at, (quality, cost) in enumerate(zip(ahead.quality[0], ahead.cost_usd[0], strict=True)):
            way.expect(at, float(quality), float(cost))
        count = len(self.legs)
        scores, seen, open_ = np.full((1, count), np.nan), np.zeros((1, count), np.bool_), np.ones((1, count), np.bool_)
        plain = self._judgeable(call)
        while open_.any():
            at = self._next(ahead, scores, seen, open_, plain=plain)
            if at == STOP:
                break
            open_[0, at] = False
            leg, begun = self.legs[at], False
            straight = not plain or (not open_.any() and not seen.any())
            try:
                answer = way.ask(at, leg.engine, call if straight else self._asked(call, leg))
                if straight:
                    way.redecide(at, "router" if not plain else "last_leg")
                    async for piece in answer:
                        begun = True
                        yield shown(piece, call)
                    yield way.closed()
                    return
                scores[0, at] = await self._heard(way, at, call, leg)
                seen[0, at] = True
            except (EngineError, InputError) as error:
                if begun:
                    raise
                way.failed(at, leg.engine.name, error)
            finally:
                await way.hang_up()
        if not seen.any():
            raise way.error()
        best = int(taken(ahead, scores, seen)[0])
        for piece in way.give(best, "stop_rule" if open_.any() else "last_leg"):
            yield shown(piece, call)
        yield way.closed()

    async def _expected(self, call: Call) -> Expected:
        text = asked_text(call)
        if self._in_thread:
            found = await asyncio.to_thread(expected, self._estimator, text, call)
        else:
            found = expected(self._estimator, text, call)
        return in_order(self._estimator, found, self.plan.engines)

    def _next(self, ahead: Expected, scores: Floats, seen: Flags, open_: Flags, *, plain: bool) -> int:
        if not plain:
            return int(np.where(open_, ahead.quality, -np.inf).argmax())
        return int(self.plan.next(ahead, scores, seen, open_)[0])

    def _asked(self, call: Call, leg: Leg) -> Call:
        return with_logprobs(call) if leg.rule is not None and leg.rule.wants_logprobs else call

    async def _heard(self, way: Way, at: int, call: Call, leg: Leg) -> float:
        """Hear a leg to its end; return its score, NaN where its rule can't tell."""
        assert way.leg is not None
        assert leg.rule is not None
        async for piece in way.leg:
            way.heard.add(piece)
        score = await scored(leg.rule, call, way.heard, leg.engine)
        way.scored(at, score)
        return float("nan") if score.value is None else score.value
