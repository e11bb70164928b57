"""Way: one call's way through several engines: who was asked, what each scored, whose answer is given and why."""

import math
from typing import NamedTuple

from cput.engines.faults import Blame, blame, kind_of, together
from cput.errors import Abstained, EngineError
from cput.policy.cascade.heard import Heard
from cput.policy.cascade.rules import Score
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Grounds, Option, Piece, Usage, changed


class Held(NamedTuple):
    """A whole answer that was not given so far."""

    heard: Heard
    score: float | None


class Way:
    """The bookkeeping of one call; ``options`` in the policy's order. Times and money are the meters' business."""

    def __init__(self, options: list[Option], policy: str | None) -> None:
        self.leg: Answer | None = None
        """The answer under way."""
        self.heard = Heard()
        """What has come of it and is held back."""
        self.held: dict[int, Held] = {}
        """Whole answers that were scored, by leg."""
        self._options = options
        self._policy = policy
        self._chosen: tuple[int, str] | None = None
        self._failed: list[tuple[str, Exception]] = []

    @property
    def decided(self) -> bool:
        """Whether it is settled whose answer is given."""
        return self._chosen is not None

    def ask(self, at: int, engine: Engine, call: Call) -> Answer:
        """Start a leg."""
        self._options[at] = changed(self._options[at], asked=True)
        self.heard = Heard()
        self.leg = engine.answer(call)
        return self.leg

    def expect(self, at: int, quality: float, cost_usd: float) -> None:
        """Keep what was expected of an engine; its score takes the place of the quality where it is asked."""
        said = (None if math.isnan(value) else value for value in (quality, cost_usd))
        score, cost = said
        self._options[at] = changed(self._options[at], score=score, cost_usd=cost)

    def note(self, at: int, note: str) -> None:
        """Say something about a leg."""
        self._options[at] = changed(self._options[at], note=note)

    def scored(self, at: int, score: Score) -> None:
        """Keep what a leg's rule found; a whole answer may be given later."""
        value = None if score.value is None or math.isnan(score.value) else score.value
        self._options[at] = changed(self._options[at], score=value, note=score.note)
        if self.leg is not None and self.leg.ended:
            self.heard.ending = self.leg.ending
            self.held[at] = Held(self.heard, value)

    def decide(self, at: int, reason: str) -> None:
        """Settle whose answer is given; the first word stands."""
        self._chosen = self._chosen or (at, reason)

    def redecide(self, at: int, reason: str) -> None:
        """Settle it anew: whoever was chosen before failed."""
        self._chosen = (at, reason)

    @property
    def has_failed(self) -> bool:
        """Whether some engine has failed."""
        return bool(self._failed)

    def failed(self, at: int, name: str, error: Exception) -> None:
        """Keep an error. Its own sentence may quote the caller, and is not for the grounds."""
        if isinstance(error, Abstained):
            known = {"score": error.probability, "threshold": error.threshold}
            self._options[at] = changed(self._options[at], note="abstained", **known)
        else:
            self._options[at] = changed(self._options[at], note=f"failed: {kind_of(error)}")
        self._failed.append((name, error))

    def error(self) -> Exception:
        """Return what the client is told where nobody answered: the last engine's own word about the request stands."""
        if not self._failed:
            return EngineError("no engine's answer came to an end in order")
        last = self._failed[-1][1]
        return last if blame(last) is Blame.CALLER else together(self._failed)

    def best(self) -> int | None:
        """Return the leg whose held answer has the best score, the earlier of two; one without a score comes last."""
        return max(self.held, key=lambda at: (-1.0 if (s := self.held[at].score) is None else s, -at), default=None)

    def give(self, at: int, reason: str) -> list[Piece]:
        """Settle that a held answer is given, and return it."""
        self.decide(at, reason)
        self.heard = self.held[at].heard
        return self.heard.pieces

    def closed(self) -> Ending:
        """Return how the given answer closed, with the grounds."""
        if self.heard.ending is None:
            assert self.leg is not None
            self.heard.ending = self.leg.ending
        return changed(self.heard.ending, grounds=self.grounds())

    def grounds(self) -> Grounds | None:
        """Return why; None where nothing is settled yet."""
        if self._chosen is None:
            return None
        at, reason = self._chosen
        options = tuple(self._options)
        return Grounds(chosen=options[at].engine, reason=reason, options=options, policy=self._policy)

    def so_far(self) -> Usage:
        """Return what the leg under way has used."""
        return Usage() if self.leg is None else self.leg.so_far

    def attempt(self) -> int | None:
        """Return the number of the attempt whose answer is given, where it is known."""
        return self.leg.ending.attempt if self.leg is not None and self.leg.ended else None

    async def hang_up(self) -> None:
        """End the leg under way; one that has ended is left as it is."""
        if self.leg is not None:
            await self.leg.aclose()
