"""The outermost ring: every request gets an id, a log line and its place in the counters, and no error gets past it."""

import asyncio
import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from cput.errors import EngineUnavailable
from cput.serve.answering import noted
from cput.serve.body import ClientGone
from cput.serve.door import Door
from cput.serve.exchange import HUNG_UP, Exchange, opened, send_bytes
from cput.serve.fault import Fault
from cput.serve.logs import note

QUIET = frozenset({"healthz", "readyz", "metrics"})
"""Endpoints that machines ask every few seconds; their requests are logged only where they fail."""


class Edge:
    """An ASGI middleware around everything that a door serves."""

    def __init__(self, app: ASGIApp, door: Door, shape: Callable[[str, Fault], bytes]) -> None:
        """``shape`` says a fault in the dialect of a path."""
        self._app = app
        self._door = door
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's life span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = opened(scope, send)
        self._door.telemetry.in_flight += 1
        try:
            await self._app(scope, receive, exchange.send)
        except ClientGone:
            exchange.status = HUNG_UP
        except asyncio.CancelledError:
            await self._cut_off(exchange)
        except Exception as error:  # noqa: BLE001  # whatever it is: the client gets a sentence, the log the rest
            await self._fail(exchange, error)
        finally:
            self._door.telemetry.in_flight -= 1
            self._door.telemetry.answered(exchange.endpoint, exchange.status, exchange.seconds)
            _log(exchange)

    async def _cut_off(self, exchange: Exchange) -> None:
        """Say why work ends that a draining server could not wait for; another cancellation is not ours."""
        task = asyncio.current_task()
        if not self._door.draining or task is None:
            raise asyncio.CancelledError
        task.uncancel()
        await self._fail(exchange, EngineUnavailable("the gateway is shutting down; ask again"))

    async def _fail(self, exchange: Exchange, error: Exception) -> None:
        fault = noted(exchange, error)
        if exchange.started:
            # Half an answer is out and its dialect is not known here: break the connection off instead of ending it
            # well, so that nobody takes it for whole.
            return
        headers = fault.headers | exchange.call_headers
        await send_bytes(exchange, fault.status, self._shape(exchange.path, fault), headers=headers)


def _log(exchange: Exchange) -> None:
    failure = exchange.facts.pop("failure", None)
    if exchange.endpoint in QUIET and exchange.status < 400:
        return
    level = logging.ERROR if failure is not None else logging.WARNING if exchange.status >= 500 else logging.INFO
    note(
        "request",
        level,
        failure,
        request_id=exchange.request_id,
        method=exchange.method,
        path=exchange.path[:200],
        status=exchange.status,
        seconds=round(exchange.seconds, 6),
        **exchange.facts,
    )
