"""A gateway replica: the application of a door, as Ray Serve runs it. Each has a door and an open ledger of its own."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import ray
from prometheus_client.metrics_core import Metric
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from starlette.types import ASGIApp

from cput import __version__
from cput.errors import SetupError
from cput.serve.app import application
from cput.serve.door import Door
from cput.serve.logs import to_stream
from cput.serve.on_ray import counters
from cput.serve.on_ray.plan import GATEWAY, refuse_file
from cput.serve.on_ray.whole import Whole

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
            self._everyone = serve.get_deployment_handle(GATEWAY, serve.get_replica_context().app_name)
        others: list[Any] = []
        with contextlib.suppress(TimeoutError, RayError, RayServeException):
            asked = self._everyone.broadcast("counters")
            others = await asked.results_async(timeout_s=GATHER_S, return_exceptions=True)
        found = [families for families in others if isinstance(families, list)]
        return counters.page(found or [self.counters()])


def nodes() -> int:
    """Return how many nodes of the cluster are alive."""
    return sum(1 for node in ray.nodes() if node["Alive"])
