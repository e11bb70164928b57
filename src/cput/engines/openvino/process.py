"""The caller's side of the engine process: starts it, sends calls, hands its ticks to the calls that wait for them.

A dead process is noticed by its closed socket: its calls fail with ``EngineUnavailable`` and the next call starts a new
one. A process that dies again and again while loading is not started for ever.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from cput.engines.openvino.wire import (
    Cancel,
    Event,
    Ready,
    Refused,
    Submit,
    Tick,
    ToCaller,
    ToWorker,
    frame,
    frames,
    to_caller,
)
from cput.errors import EngineError, EngineUnavailable

STDERR_BYTES = 4096
SOCKET_BYTES = 4 << 20


class Ticket:
    """One call's place in the engine: its events arrive here in order."""

    __slots__ = ("events", "id")

    def __init__(self, call_id: int) -> None:
        self.id = call_id
        self.events: asyncio.Queue[Event | EngineError] = asyncio.Queue()


class EngineProcess:
    """A running engine process."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Remember the options; ``start`` starts it."""
        self.options = options
        self.ready: Ready | None = None
        self.busy_s = 0.0
        self.steps = 0
        self._tickets: dict[int, Ticket] = {}
        self._last_id = 0
        self._stderr = b""
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.Transport | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._loaded: asyncio.Future[Ready] | None = None
        self.dead: EngineError | None = None
        self.loop = asyncio.get_running_loop()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> Ready:
        """Start the process and wait until the model is loaded.

        Raises:
            EngineUnavailable: the process died or could not load the model; the message carries its reason.
        """
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        with theirs:
            try:
                self._process = await self._spawn(theirs)
            except BaseException:
                ours.close()
                raise
        loop = asyncio.get_running_loop()
        self._loaded = loop.create_future()
        self._tasks = [asyncio.create_task(self._read_stderr())]
        self._transport, _ = await loop.create_unix_connection(lambda: _Frames(self._take, self._closed), sock=ours)
        self.ready = await self._loaded
        return self.ready

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the folder that the caller stands in may hold a json.py or a cput of its own
            "-m",
            "cput.engines.openvino.worker",
            str(theirs.fileno()),
            json.dumps(self.options),
            pass_fds=[theirs.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "OPENVINO_LOG_LEVEL": "0"},
            start_new_session=True,  # a Ctrl-C in the terminal goes to the caller, who then hangs up in order
        )

    def submit(self, call: Submit) -> Ticket:
        """Send a call; its id is given here."""
        self._last_id += 1
        ticket = Ticket(self._last_id)
        self._tickets[ticket.id] = ticket
        if self.dead is not None:
            ticket.events.put_nowait(self.dead)
        else:
            self._send(Submit(self._last_id, *(getattr(call, name) for name in call.__struct_fields__[1:])))
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Stop working on a call; the engine drops it before its next step."""
        if self._tickets.pop(ticket.id, None) is not None and self.dead is None:
            self._send(Cancel(ticket.id))

    async def stop(self) -> None:
        """End the process: close the socket, and kill it if it is in a long step. Calls under way fail."""
        if self.dead is None:
            self._fail(EngineUnavailable("the engine was closed before the answer ended"))
        if self._transport is not None:
            self._transport.close()
        if self._process is not None and self._process.returncode is None:
            try:
                # One that is still loading reads nothing yet, and has nothing to finish.
                await asyncio.wait_for(self._process.wait(), timeout=2 if self.ready else 0)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def abandon(self) -> None:
        """Kill the process without the event loop that it was started in, which is closed."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        for transport in (self._transport, getattr(self._process, "_transport", None)):
            if transport is not None:
                with contextlib.suppress(RuntimeError):  # closing would like to tell the closed loop
                    transport.close()

    def _send(self, message: ToWorker) -> None:
        assert self._transport is not None, "start() comes first"
        self._transport.write(frame(message))

    def _closed(self) -> None:
        self._tasks.append(asyncio.create_task(self._died()))

    def _take(self, message: ToCaller) -> None:
        if isinstance(message, Tick):
            self.busy_s += message.step_s
            self.steps += 1
            for event in message.events:
                self._hand(event.id, event, last=event.finish is not None)
        elif isinstance(message, Refused):
            error = EngineError(f"the engine refused the call: {message.reason}")
            if message.id >= 0:
                self._hand(message.id, error, last=True)
            elif self._loaded is not None and not self._loaded.done():
                self._loaded.set_exception(EngineUnavailable(f"the model could not be loaded: {message.reason}"))
        elif self._loaded is not None and not self._loaded.done():
            self._loaded.set_result(message)

    def _hand(self, call_id: int, event: Event | EngineError, *, last: bool) -> None:
        ticket = self._tickets.get(call_id)
        if ticket is not None:
            ticket.events.put_nowait(event)
            if last:
                del self._tickets[call_id]

    async def _read_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(1 << 16):  # a line may be longer than a reader's limit
            self._stderr = (self._stderr + chunk)[-STDERR_BYTES:]

    async def _died(self) -> None:
        assert self._process is not None
        code = await self._process.wait()
        with contextlib.suppress(TimeoutError):  # its last words; a grandchild may hold the pipe open
            await asyncio.wait_for(asyncio.shield(self._tasks[0]), timeout=1)
        lines = [line for line in self._stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        # The library complains of leaked blocks whenever it is torn down early: that is never the cause.
        words = [line.strip() for line in lines if "leaked" not in line]
        said = f"; it said: {words[-1]}" if words else ""
        self._fail(EngineUnavailable(f"the engine process ended ({_how(code)}) before the answer did{said}"))

    def _fail(self, error: EngineError) -> None:
        self.dead = error
        for ticket in self._tickets.values():
            ticket.events.put_nowait(error)
        self._tickets.clear()
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_exception(error)


class _Frames(asyncio.Protocol):
    """Cuts the bytes that arrive into messages, in the event loop's own callback.

    A ``StreamReader`` with a task of its own costs about 40 microseconds more per engine step, all of them taken from
    the engine's threads, which fill every core.
    """

    def __init__(self, take: Callable[[ToCaller], None], closed: Callable[[], None]) -> None:
        self._take = take
        self._closed = closed
        self._inbox = bytearray()

    def data_received(self, data: bytes) -> None:
        """Hand on every message that is whole."""
        self._inbox += data
        for body in frames(self._inbox):
            self._take(to_caller.decode(body))

    def connection_lost(self, _: Exception | None) -> None:
        """Say that the process has closed its end, or died."""
        self._closed()


def _how(code: int) -> str:
    """Say how a process ended.

    >>> _how(-9), _how(3)
    ('signal SIGKILL', 'exit code 3')
    """
    if code >= 0:
        return f"exit code {code}"
    known = {number.value: number.name for number in signal.Signals}
    return f"signal {known.get(-code, -code)}"
