"""Runs an application with uvicorn: binds first, says where, serves, and goes in order.

SIGINT and SIGTERM stop new connections, let answers under way end for at most ``drain_s`` seconds, break off what is
left (each such call is on record, as cancelled), then close the engines. A second SIGINT does not wait.
"""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from cput.errors import InputError, SetupError
from cput.serve.door import Door
from cput.serve.patience import HEAD_BYTES, protocol

BACKLOG = 2048
KEEP_ALIVE_S = 75
COLLECT_EVERY = 20_000
"""Objects made and not yet gone, after which the collector looks for cycles among them (CPython: 700)."""
SWITCH_S = 0.0005
RECORD_S = 5.0
"""Most seconds to wait for the records of calls that were broken off."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach ``host``.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket's address taken; port 0 takes a free one.

    Raises:
        InputError: the host is no address of this machine, or the port is not one.
        SetupError: somebody listens there already, or the port is not ours to take.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port is {port}; allowed: 0 (any free one) to 65535")
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host '{host}' is not an address of this machine: {error}") from error
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(where)
    except OSError as error:
        found.close()
        raise SetupError(f"{host}:{port} can't be listened on ({error.strerror}); give another --port") from error
    return found


def url_of(listening: socket.socket) -> str:
    """Return the base URL of a bound socket, up to and including ``/v1``."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


class Server(uvicorn.Server):
    """Uvicorn's server; it says to the door when it is about to go, and tells nobody's secrets in logs of its own."""

    def __init__(self, app: ASGIApp, door: Door, *, drain_s: int, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol(),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                lifespan="on",
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=drain_s,
                h11_max_incomplete_event_size=HEAD_BYTES,
            )
        )
        self._door = door
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then wait until what had to be broken off is on record."""
        self._door.draining = True
        await super().shutdown(sockets)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECORD_S):
                while self.server_state.tasks:  # noqa: ASYNC110  # uvicorn's own set; it tells nobody
                    await asyncio.sleep(0.01)


def serve(
    app: ASGIApp,
    door: Door,
    listening: socket.socket,
    *,
    drain_s: int,
    ready: Callable[[], None] = lambda: None,
    beside: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Load, say ``ready``, and serve until SIGINT or SIGTERM; ``beside`` runs meanwhile (a policy file is watched).

    Raises:
        CputError: what is to be served can't be loaded.
    """
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # requests and failures are in our own log
    server = Server(app, door, drain_s=drain_s, ready=ready)

    async def run() -> None:
        task: asyncio.Future[None] | None = None
        try:
            await door.open()
            _settle_down()
            task = None if beside is None else asyncio.ensure_future(beside())
            with _signals_are_over():
                await server.serve(sockets=[listening])
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await door.aclose()  # also where a second SIGINT cut the life span short

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(run())


def _settle_down() -> None:
    """Tune the interpreter for serving.

    What is loaded by now stays, so that the collector need not look at it again; a request makes next to no cycles. The
    ledger's writer waits at most ``SWITCH_S`` for the interpreter while the event loop is busy, and not 5 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 50)
    sys.setswitchinterval(SWITCH_S)


@contextlib.contextmanager
def _signals_are_over() -> Iterator[None]:
    """Keep the process alive when uvicorn, having drained, raises the signals again that it was stopped with.

    The ledger is still to be closed then, and having been asked to go is no failure.
    """

    def over(number: int, frame: FrameType | None) -> None:
        """Do nothing: the server has acted on it."""

    before = {number: signal.signal(number, over) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
