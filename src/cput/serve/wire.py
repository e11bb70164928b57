"""HTTP/1.1 on a connection: uvicorn's httptools protocol, with bounds on a request's head that it does not have.

llhttp takes a head of any size, and uvicorn waits for one as long as the client likes. Here a head has at most
``HEAD_BYTES`` (431, RFC 6585) and ``HEAD_S`` seconds from the connection's opening, or from its own first byte, to its
end; then the connection is closed, so that a client that sends a byte a minute ("slowloris") holds a socket no longer.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 << 10
"""Most bytes of a request's head."""
HEAD_S = 30.0
"""Most seconds from a head's beginning to its end."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s"
)
_SENTENCE = (
    b'{"error":{"message":"the request\'s head has more than %d bytes","type":"invalid_request_error","param":null,'
    b'"code":"request_too_large"}}' % HEAD_BYTES
)


class Wire(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._head_is_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in bytes; those of a head are counted before they are parsed."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and data.find(b"\r\n\r\n", 0, HEAD_BYTES) < 0:
                self._refuse()
                return
        super().data_received(data)
        if self._in_head and self._head_bytes and self._head_timer is None:
            self._await_head()  # a head in pieces; most come whole

    def on_headers_complete(self) -> None:
        """Begin the request."""
        self._in_head = False
        self._head_is_over()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request; what comes next is a head."""
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _head_is_over(self) -> None:
        timer, self._head_timer = self._head_timer, None
        if timer is not None:
            timer.cancel()

    def _give_up(self) -> None:
        if self._in_head and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self) -> None:
        self._head_is_over()
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LARGE % (len(_SENTENCE), _SENTENCE))
        self.transport.close()
