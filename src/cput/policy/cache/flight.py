"""One answer that several callers wait for: it is made once, in a task of its own, and each reads it at their pace.

    flight = Flight(stream)                # a generator of pieces that ends with an Ending
    async for part in flight.read():       # any number of readers, also late ones
        ...

A reader that leaves takes nothing from the others; when the last one leaves before the end, the making is cancelled.
An error reaches every reader.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from cput.records import Ending, Piece


class Flight:
    """See the module. ``stream`` is started with the first reader."""

    def __init__(self, stream: AsyncGenerator[Piece | Ending, None]) -> None:
        self._stream = stream
        self._parts: list[Piece | Ending] = []
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._waiting: list[asyncio.Future[None]] = []
        self.readers = 0
        """Who reads now."""

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._over

    async def read(self) -> AsyncGenerator[Piece | Ending, None]:
        """Yield all parts, from the first on; raises what making them raised."""
        self.readers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._make())
        at = 0
        try:
            while True:
                while at < len(self._parts):
                    at += 1
                    yield self._parts[at - 1]
                if self._over:
                    break
                await self._news()
            if self._error is not None:
                raise self._error
        finally:
            self.readers -= 1
            if not self.readers and not self._over:
                await self._cancel()

    async def _make(self) -> None:
        try:
            async with contextlib.aclosing(self._stream) as stream:
                async for part in stream:
                    self._parts.append(part)
                    self._tell()
        except asyncio.CancelledError as error:
            self._error = error
            raise
        except Exception as error:  # noqa: BLE001  # whatever making it raised is every reader's to see
            self._error = error
        finally:
            self._over = True
            self._tell()

    async def _news(self) -> None:
        news = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        await news

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def _cancel(self) -> None:
        """Break the making off, and return when what it had under way is closed and on record."""
        assert self._task is not None
        self._over = True  # who comes now makes it anew
        self._task.cancel()
        await asyncio.wait([self._task])
