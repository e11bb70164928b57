"""The gate of a door that listens to this machine alone: everybody is let in, nobody has a name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from cput.serve.gate import Admission, Asked, Caller
from cput.serve.waiting import Line


class OpenGate:
    """Lets every request in, in order where there are many. For loopback: ``cput serve`` wants keys elsewhere."""

    def __init__(self, *, most_at_once: int | None = None, queue: int = 64) -> None:
        """``most_at_once`` calls are under way, ``queue`` more wait, others are told to come back; see ``Line``."""
        self._line = Line(most_at_once=most_at_once, queue=queue)

    @contextlib.asynccontextmanager
    async def admit(self, asked: Asked) -> AsyncIterator[Admission]:
        """Let the request in; its priority and its deadline are kept."""
        due_at = None if asked.deadline_s is None else asyncio.get_running_loop().time() + asked.deadline_s
        await self._line.enter(asked.priority, due_at)
        try:
            yield Admission(tenant=None, key_id=None, due_at=due_at)
        finally:
            self._line.leave()

    async def identify(self, key: str | None) -> Caller:  # noqa: ARG002  # nobody's key is looked at
        """Return a caller without a name."""
        return Caller(tenant=None, key_id=None)
