"""Guarded: a policy's engine under watch. It explores a little; after an alarm all calls go to the strong engine.

    engine = Guarded(Cascade(...), strong, Watch(certificate.levels), explore=0.02, alarmed=page_somebody)
    text = await engine.answer(call).text()
    engine.saw(call.id, 1.0)                    # when its outcome comes, in any order

Of every 50 calls about one is answered by the strong engine although the policy stands: what it can do now stays known,
and so does whether calls have become harder for everybody. Such a call's policy in the ledger is ``explored``, after an
alarm ``alarm_fallback``, so that neither is taken for the policy's own. The
probability of the way taken is the propensity of each leg (``Call.propensity``). Ask ``off_policy`` for a way by its
``policy`` and not by its engine: the policy may choose the strong engine too, and then the draw did not decide.
"""

import random
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import NamedTuple

from cput.errors import InputError
from cput.policy.guarantee.alarm import Alarm
from cput.policy.guarantee.watch import Alarmed, Watch
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Grounds, Option, Piece, changed

EXPLORED = "explored"
FALLBACK = "alarm_fallback"

Slices = Callable[[Call], Iterable[str]]


class Guarded:
    """Answers as ``policy_engine`` does while the watch is quiet.

    Args:
        policy_engine: the certified policy.
        strong_engine: the best single engine; it is not closed twice where it is also the policy's.
        watch: takes the outcomes.
        explore: share of calls that the strong engine answers although the policy stands.
        seed: of that draw; None is different each time.
        alarmed: is told of an alarm, once.
        slices: names of the slices that a call belongs to; None is ``"dimension=value"`` for each of its tags.
        remember: calls whose outcome ``saw`` can still place.

    Raises:
        InputError: ``explore`` is not a share, or more than the watch's ``least_propensity`` leaves.
    """

    def __init__(
        self,
        policy_engine: Engine,
        strong_engine: Engine,
        watch: Watch,
        *,
        explore: float = 0.02,
        seed: int | None = None,
        alarmed: Alarmed | None = None,
        slices: Slices | None = None,
        remember: int = 100_000,
    ) -> None:
        if not 0 <= explore <= 1 - watch.least_propensity:
            raise InputError(f"explore is {explore}; allowed: 0 to {1 - watch.least_propensity:g}, as the watch allows")
        self._policy = policy_engine
        self._strong = strong_engine
        self.watch = watch
        self._explore = explore
        self._draw = random.Random(seed)
        self._slices = slices or _tags
        self._remember = remember
        self._ways: dict[str, _Way] = {}
        if alarmed is not None:
            watch.on_alarm(alarmed)

    @property
    def name(self) -> str:
        """The policy's name."""
        return self._policy.name

    def answer(self, call: Call) -> Answer:
        """Answer by the policy, or by the strong engine where that was drawn or the alarm has gone off."""
        if self.watch.alarm is not None:
            return self._by_strong(call, FALLBACK, None)
        if self._draw.random() < self._explore:
            return self._by_strong(call, EXPLORED, self._explore)
        return self._by_policy(call)

    def saw(self, call_id: str, quality: float, *, at_s: float | None = None) -> Alarm | None:
        """Take the outcome of a call that was answered here; return the alarm that it sets off, if it does.

        The outcome of a call that is not remembered, or that came after an alarm, says nothing of the policy and is
        passed over. Where the gateway was restarted in between, tell the watch itself.
        """
        way = self._ways.get(call_id)
        if way is None or way.reason == FALLBACK:
            return None
        return self.watch.saw(
            call_id,
            quality,
            engine=way.engine,
            slices=way.slices,
            propensity=way.propensity,
            explored=way.reason == EXPLORED,
            at_s=at_s,
        )

    async def aclose(self) -> None:
        """Close both engines."""
        await self._policy.aclose()
        if self._strong is not self._policy:
            await self._strong.aclose()

    def _by_policy(self, call: Call) -> Answer:
        chance = 1 - self._explore
        self._note(call, None, None, chance)
        total = chance * (call.propensity or 1.0)
        inner = self._policy.answer(changed(call, propensity=total) if self._explore else call)

        def explained(ending: Ending) -> Ending:
            grounds = ending.grounds
            self._note(call, None, grounds.chosen if grounds else self._policy.name, chance)
            if grounds is None or not self._explore:
                return ending
            return changed(ending, grounds=changed(grounds, propensity=chance * (grounds.propensity or 1.0)))

        return _relayed(inner, explained)

    def _by_strong(self, call: Call, reason: str, chance: float | None) -> Answer:
        total = None if chance is None else chance * (call.propensity or 1.0)
        self._note(call, reason, self._strong.name, chance or 1.0)
        inner = self._strong.answer(changed(call, propensity=total, policy=reason))
        grounds = Grounds(
            chosen=self._strong.name,
            reason=reason,
            options=(Option(engine=self._policy.name), Option(engine=self._strong.name, asked=True)),
            policy=call.policy,
            propensity=chance,
        )
        return _relayed(inner, lambda ending: changed(ending, grounds=grounds))

    def _note(self, call: Call, reason: str | None, engine: str | None, propensity: float) -> None:
        self._ways[call.id] = _Way(reason, engine, tuple(self._slices(call)), propensity)
        if len(self._ways) > self._remember:
            del self._ways[next(iter(self._ways))]


class _Way(NamedTuple):
    """How a call was answered."""

    reason: str | None
    """None: by the policy."""
    engine: str | None
    """None: by the policy, before it has said whom it chose."""
    slices: tuple[str, ...]
    propensity: float


def _relayed(inner: Answer, explained: Callable[[Ending], Ending]) -> Answer:
    """Return the answer with another ending; hanging up on it hangs up on ``inner``."""

    async def stream() -> AsyncGenerator[Piece | Ending, None]:
        try:
            async for piece in inner:
                yield piece
            yield explained(inner.ending)
        finally:
            await inner.aclose()

    return Answer(stream(), lambda: inner.so_far, lambda: inner.ending.attempt if inner.ended else None)


def _tags(call: Call) -> Iterable[str]:
    return (f"{dimension}={value}" for dimension, value in call.tags.items())
