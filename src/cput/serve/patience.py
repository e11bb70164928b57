"""How long a connection may keep the server waiting: for a request's head, for a reader; and how many there may be.

Uvicorn bounds the idle time between two requests and nothing else. A client that connects and sends a byte a minute
(slowloris), or asks for a long answer and never reads it, would hold its connection, its place in the line and its
upstream for ever, for the price of a socket. A body's time is bounded by its reader (``read_body``).
"""

import asyncio
from typing import Any, cast

HEAD_BYTES = 64 << 10
"""Most bytes of a request's head."""
HEAD_S = 20.0
"""Most seconds from connecting, or from the first byte of a further request, to the end of its head."""
UNREAD_S = 60.0
"""Most seconds that what was sent may wait for a client to read on."""
LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_END = b"\r\n\r\n"


class Patience(asyncio.Protocol):
    """Goes before one of uvicorn's protocols. ``cycle`` is uvicorn's name for a request and its response."""

    head_s = HEAD_S
    unread_s = UNREAD_S
    most_connections: int | None = None
    """Most connections at once; None is no bound. Further ones are told 503."""
    cycle: Any
    connections: set[Any]
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _head: Any = None
    _size = 0
    _tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        if self.most_connections is not None and len(self.connections) > self.most_connections:
            self._end(FULL)
        else:
            self._late = self.loop.call_later(self.head_s, self._end, LATE)

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request; its head must end in time and within its bound."""
        if self._is_fresh() and self._is_long(data):
            self._end(LONG)
            return
        super().data_received(data)
        if self.cycle is not self._head:
            self._head, self._size, self._tail = self.cycle, 0, b""
            self._no_longer_late()
        elif self.cycle is None or self.cycle.response_complete:
            self._size, self._tail = self._size + len(data), data[-3:]
            if self._late is None:
                self._late = self.loop.call_later(self.head_s, self._end, LATE)

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read; what it was sent fills the buffers."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it reads again."""
        super().resume_writing()
        self._is_read()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._no_longer_late()
        self._is_read()
        super().connection_lost(exc)

    def _is_fresh(self) -> bool:
        """Whether what comes now is a head: not a body, nor the rest of one that was answered before it had come."""
        return self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body)

    def _is_long(self, data: bytes) -> bool:
        room = HEAD_BYTES - self._size
        return len(data) > room and _END not in self._tail + data[: room + len(_END)]

    def _end(self, said: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(said)
            self.transport.close()

    def _no_longer_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def protocol() -> type[asyncio.Protocol]:
    """Return uvicorn's protocol of choice, with patience: httptools' where it is installed, else h11's."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Chosen
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as Chosen  # type: ignore[assignment]
    bounds = {"most_connections": _most_connections()}
    return cast("type[asyncio.Protocol]", type("PatientProtocol", (Patience, Chosen), bounds))


def _most_connections() -> int | None:
    """Let as many files be open as the system allows, and leave half of them for upstreams and the ledger."""
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 16
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return most if soft == resource.RLIM_INFINITY else soft // 2
