"""Retried: sends a call again when the engine failed before its first piece, and never after it.

engine = Retried(Metered(remote, ledger))     # each leg is an attempt in the ledger, all are charged

Sent again is what may succeed unchanged and is not still being worked on: a refused or broken connection, a server that
failed or is busy. Not a ``Stalled`` one: it may be at work on the call, which is billed, and a second copy would double
the load on what is slow; nor a ``Rested`` one, which was sent nothing and says when it will be.
"""

import asyncio
import random
from collections.abc import AsyncGenerator

from cput.engines.budget import Budget
from cput.errors import EngineError, EngineUnavailable, InputError, UpstreamError
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Piece, Usage


class Throttled(UpstreamError):  # noqa: N818  # reads as the sentence it stands for
    """A server that is busy and says when it may be asked again."""

    def __init__(self, message: str, *, status: int, body: str, retry_after_s: float) -> None:
        super().__init__(message, status=status, body=body)
        self.retry_after_s = retry_after_s


class Stalled(EngineUnavailable):
    """A server that took the call and did not answer in time; it may be at work on it still."""

    retryable = False


class Retried:
    """Answers as ``engine`` does, trying again on retryable errors.

    Args:
        engine: the engine to ask, usually a ``Metered`` one.
        attempts: most legs for one call, the first included.
        backoff_s: the pause before leg n is drawn evenly from 0 to ``backoff_s * 2**(n-2)`` seconds ("full jitter",
            AWS Architecture Blog 2015); where the server said when to come back, it comes on top of that.
        max_wait_s: a server that wants a longer pause than this is not asked again.
        budget: bounds further legs over all calls that share it, so that retries do not multiply an outage; None
            does not.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        attempts: int = 3,
        backoff_s: float = 0.5,
        max_wait_s: float = 60.0,
        budget: Budget | None = None,
    ) -> None:
        if attempts < 1:
            raise InputError(f"attempts is {attempts}; allowed: 1 or more")
        self._engine = engine
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._max_wait_s = max_wait_s
        self._budget = budget

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer, with up to ``attempts`` legs."""
        leg: list[Answer] = []

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            if self._budget is not None:
                self._budget.earn()
            for attempt in range(1, self._attempts + 1):
                leg[:] = [self._engine.answer(call)]
                begun = False
                try:
                    async for piece in leg[0]:
                        begun = True
                        yield piece
                    yield leg[0].ending
                except EngineError as error:
                    wanted_s = error.retry_after_s or 0.0
                    if begun or attempt == self._attempts or not self._may_again(error, wanted_s):
                        raise
                else:
                    return
                finally:
                    await leg[0].aclose()
                await asyncio.sleep(wanted_s + random.uniform(0, self._backoff_s * 2 ** (attempt - 1)))

        return Answer(stream(), lambda: leg[0].ending.usage if leg and leg[0].ended else Usage())

    def _may_again(self, error: EngineError, wanted_s: float) -> bool:
        if not error.retryable or wanted_s > self._max_wait_s:
            return False
        return self._budget is None or self._budget.spend()

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()
