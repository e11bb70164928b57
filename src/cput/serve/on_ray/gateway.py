"""A gateway replica: the application of a door, as Ray Serve runs it. Each replica has a door and a ledger of its own.

Ray's proxy hands a request to a replica as ASGI, chunk by chunk, and cancels the replica's task when the client hangs
up. Here the application hears of that as it would from uvicorn, as ``http.disconnect``: so it ends the engine's work,
writes down what was used, and is not torn away from its own clean-up.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import ray
from prometheus_client.metrics_core import Metric
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cput import __version__
from cput.errors import SetupError
from cput.serve.app import application
from cput.serve.door import Door
from cput.serve.logs import to_stream
from cput.serve.on_ray import counters
from cput.serve.on_ray.plan import APP, GATEWAY, refuse_file

Beside = Callable[[], Awaitable[None]]
Opens = Callable[[], AbstractContextManager[tuple[Door, Beside | None]]]
"""Opens a ledger and makes a door, and what has to run beside it; leaving it closes the ledger."""
GATHER_S = 5.0
"""Most seconds to wait for the other replicas' counters."""


class Gateway:
    """The class that Ray deploys, inside ``serve.ingress()``."""

    def __init__(self, opens: Opens, ledger: str | None, version: str, *engines: object, quiet: bool) -> None:
        """``engines`` makes the engine replicas a part of the same application; a ``RayEngine`` finds them by name."""
        if version != __version__:
            raise SetupError(f"this node has cput {__version__} and the application was sent by {version}; install it")
        del engines
        refuse_file(ledger, nodes())
        if not quiet:
            to_stream(sys.__stderr__)  # Ray Serve has put its own logger in the place of sys.stderr
        self._opens = opens
        self._stack = contextlib.ExitStack()
        self._replica: str = serve.get_replica_context().replica_id.unique_id
        self._everyone: Any = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Future[None]] = []

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the application, its engines loaded; Ray asks for it once, and calls the replica ready after that."""
        self._door, beside = await asyncio.to_thread(self._stack.enter_context, self._opens())
        self._door.gather = self._gather
        await self._door.open()
        if beside is not None:
            self._tasks.append(asyncio.ensure_future(beside()))
        return Whole(application(self._door), self._under_way)

    def counters(self) -> list[Metric]:
        """Return this replica's counters with its label."""
        return counters.labelled(self._door.telemetry.registry, self._replica)

    def who(self) -> tuple[str, int]:
        """Return this replica's label and its process id."""
        return self._replica, os.getpid()

    async def drain(self, within_s: float) -> None:
        """Say that this replica is about to go, and break off what is still under way after ``within_s`` seconds."""
        self._door.draining = True
        self._tasks.append(asyncio.ensure_future(self._break_off(within_s)))

    async def check_health(self) -> None:
        """Ray restarts a replica whose check fails; this one answers as long as its loop turns."""

    async def __del__(self) -> None:
        """Close what the life span of the application did not: what runs beside it, and the ledger."""
        self._door.draining = True
        for task in self._tasks:
            task.cancel()
        await self._door.aclose()
        await asyncio.to_thread(self._stack.close)

    async def _break_off(self, within_s: float) -> None:
        await asyncio.sleep(within_s)
        for task in list(self._under_way):
            task.cancel()

    async def _gather(self) -> bytes:
        """Return every replica's counters; one that does not answer in time is left out."""
        if self._everyone is None:
            self._everyone = serve.get_deployment_handle(GATEWAY, APP)
        others: list[Any] = []
        with contextlib.suppress(TimeoutError, RayError, RayServeException):
            asked = self._everyone.broadcast("counters")
            others = await asked.results_async(timeout_s=GATHER_S, return_exceptions=True)
        found = [families for families in others if isinstance(families, list)]
        return counters.page(found or [self.counters()])


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


def nodes() -> int:
    """Return how many nodes of the cluster are alive."""
    return sum(1 for node in ray.nodes() if node["Alive"])
