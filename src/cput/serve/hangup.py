"""Watches a client's connection while its request is served: when it hangs up, the work is cancelled at once.

    async with HangUp(receive) as client:
        ...                        # cancelled here when the client goes away
    if client.gone: return

A server that merely notices a failed write goes on generating tokens that nobody reads until it writes again; a call
that waits in a queue would even be sent.
"""

import asyncio
from typing import Self

from starlette.types import Receive


class HangUp:
    """A context whose task is cancelled when ``receive`` says ``http.disconnect``; leaving it swallows that.

    The count of cancellations is kept as ``asyncio.timeout`` keeps it: one that came from elsewhere meanwhile stands.
    The request's body must have been read before.
    """

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        """Whether the client hung up within the context."""
        self._receive = receive
        self._task: asyncio.Task[object] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._before = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None, "a request is served in a task of asyncio"
        self._before = self._task.cancelling()
        self._watch = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        assert self._task is not None
        assert self._watch is not None
        self._watch.cancel()
        if not self.gone:
            return False
        ours = self._task.uncancel() <= self._before
        return ours and (kind is None or issubclass(kind, asyncio.CancelledError))

    async def _listen(self) -> None:
        assert self._task is not None
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()
