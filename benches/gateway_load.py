"""Load for a gateway: requests over kept connections by a bare asyncio protocol, so many at once or per second.

A client library would cost more than the gateway that it measures. Answers are read to their end (content length, or
the last chunk), and each is checked: a status other than 200, or a body that is not whole, is an error and no sample.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
TIMEOUT_S = 60.0


@dataclass
class Load:
    """What a run of requests found."""

    latencies_s: list[float] = field(default_factory=list)
    """Of answers that were whole, from the request's first byte to the answer's last."""
    errors: int = 0
    """Answers with another status, or broken ones."""
    seconds: float = 0.0
    """From the first request to the last answer."""
    late: int = 0
    """Requests of an even load that could not be sent when they were due, for want of a free connection."""

    @property
    def per_s(self) -> float:
        return len(self.latencies_s) / self.seconds


def request(url: str, *, stream: bool, model: str = "mock", key: str = "sk-bench") -> bytes:
    """Return a chat request's bytes."""
    parts = urlsplit(url)
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "Say sixteen words about gateways, and nothing else."}],
            "max_tokens": 64,
            "stream": stream,
        }
    ).encode()
    head = (
        f"POST {parts.path}/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """A kept connection with one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._waiting: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, url: str) -> "Connection":
        parts = urlsplit(url)
        _, opened = await asyncio.get_running_loop().create_connection(cls, parts.hostname, parts.port)
        return opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError(f"the connection ended within an answer ({error})"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._waiting is None or self._waiting.done() or not self._whole():
            return
        answer, self._data = bytes(self._data), bytearray()
        self._waiting.set_result(answer)

    async def ask(self, request: bytes) -> bytes:
        """Send a request; return the whole answer, head included."""
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _whole(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        found = _LENGTH.search(self._data, 0, end)
        return len(self._data) >= end + 4 + int(found[1]) if found else self._data.endswith(b"0\r\n\r\n")


def good(answer: bytes, *, stream: bool) -> bool:
    """Return whether an answer is one: status 200 and all of the mock's words."""
    return answer.startswith(b"HTTP/1.1 200") and b"word15 " in answer and (not stream or b"[DONE]" in answer)


async def at_once(url: str, *, requests: int, concurrency: int, stream: bool, key: str = "sk-bench") -> Load:
    """Keep ``concurrency`` requests under way until ``requests`` are answered."""
    load, bytes_out = Load(), request(url, stream=stream, key=key)
    left = iter(range(requests))
    began = time.perf_counter()

    async def worker() -> None:
        connection = await Connection.open(url)
        for _ in left:
            if connection is None:
                connection = await Connection.open(url)
            if not await _one(connection, bytes_out, load, stream=stream):
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    async with asyncio.timeout(TIMEOUT_S * 10):
        await asyncio.gather(*(worker() for _ in range(concurrency)))
    load.seconds = time.perf_counter() - began
    return load


async def evenly(url: str, *, per_s: float, requests: int, stream: bool, key: str = "sk-bench") -> Load:
    """Send a request every ``1 / per_s`` seconds, whether or not earlier ones are answered ("open loop").

    Latency counts from the moment at which a request was due (no "coordinated omission": Tene 2013).
    """
    load, bytes_out = Load(), request(url, stream=stream, key=key)
    free = [await Connection.open(url) for _ in range(64)]
    tasks: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        connection = free.pop() if free else await Connection.open(url)
        if await _one(connection, bytes_out, load, stream=stream, since=due):
            free.append(connection)
        else:
            connection.close()

    began = time.perf_counter()
    for index in range(requests):
        due = began + index / per_s
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        elif wait < -0.05:
            load.late += 1
        task = asyncio.create_task(one(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - began
    for connection in free:
        connection.close()
    return load


async def _one(
    connection: Connection, bytes_out: bytes, load: Load, *, stream: bool, since: float | None = None
) -> bool:
    began = time.perf_counter() if since is None else since
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer = await connection.ask(bytes_out)
    except (OSError, TimeoutError):
        load.errors += 1
        return False
    if not good(answer, stream=stream):
        load.errors += 1
        return True
    load.latencies_s.append(time.perf_counter() - began)
    return True
