"""An application between Ray's proxy and us: a client that hangs up is heard of as from uvicorn.

Ray's proxy hands a request to a replica as ASGI, chunk by chunk, and cancels the replica's task when the client hangs
up. Here the application hears ``http.disconnect`` instead: so it ends the engine's work, writes down what was used, and
is not torn away from its own clean-up.
"""

import asyncio
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Whole:
    """An ASGI application each of whose requests runs in a task of its own, which only its draining door cancels.

    When Ray cancels a request, the task is not cancelled but hears ``http.disconnect``, and is waited for.
    """

    def __init__(self, app: ASGIApp, under_way: set[asyncio.Task[None]]) -> None:
        """``under_way`` is kept up to date with the tasks of requests."""
        self._app = app
        self._under_way = under_way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's life span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        gone = asyncio.Event()
        ours = [value for name, value in scope["headers"] if name == b"x-request-id"]
        heard = partial(_until_gone, receive, gone)
        task: asyncio.Task[None] = asyncio.ensure_future(self._app(scope, heard, partial(_said, send, gone, ours)))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            gone.set()
            await asyncio.wait([task])
            raise


async def _until_gone(receive: Receive, gone: asyncio.Event) -> Message:
    """Return the next message of the client, or its hang-up as soon as that is known from elsewhere."""
    if gone.is_set():
        return {"type": "http.disconnect"}
    message, left = asyncio.ensure_future(receive()), asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait([message, left], return_when=asyncio.FIRST_COMPLETED)
        return message.result() if message.done() else {"type": "http.disconnect"}
    finally:
        message.cancel()
        left.cancel()


async def _said(send: Send, gone: asyncio.Event, ids: list[bytes], message: Message) -> None:
    """Send, unless nobody is there any more; without the request's id, which Ray's proxy says itself."""
    if gone.is_set():
        return
    if message["type"] == "http.response.start":
        headers = [(name, value) for name, value in message["headers"] if name != b"x-request-id" or value not in ids]
        message = {**message, "headers": headers}
    await send(message)
