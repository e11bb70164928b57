"""One request and its response, as the edge of the door sees them: ids, status, and the facts for its log line."""

import time
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Scope, Send

from cput.serve.head import request_id

HUNG_UP = 499
"""The status that logs and metrics give a request whose client hung up (nginx's)."""
_KEY = "cput.exchange"


@dataclass(slots=True)
class Exchange:
    """A request under way. ``send`` is to be used in place of the server's own."""

    request_id: str
    """What the request goes by in headers, logs and errors."""
    method: str
    """HTTP method."""
    path: str
    """Path, without the query."""
    out: Send
    """The server's ``send``."""
    endpoint: str = "other"
    """Name for logs and metrics."""
    status: int = 0
    """The response's status; 0 while there is none."""
    began: float = field(default_factory=time.perf_counter)
    """When its head had come, on a clock for durations."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What its log line says besides."""

    @property
    def started(self) -> bool:
        """Whether the response's head is out: from then on an error can only be an event."""
        return self.status != 0

    @property
    def seconds(self) -> float:
        """How long it has been under way."""
        return time.perf_counter() - self.began

    @property
    def call_headers(self) -> dict[str, str]:
        """The call's id for a response that is an error, where the ledger has the call: something was sent for it."""
        return {"x-cput-call-id": self.facts["call_id"]} if self.facts.get("attempts") else {}

    async def send(self, message: Message) -> None:
        """Send a part of the response; its head gets the request's id, under OpenAI's and Anthropic's names."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            mine = self.request_id.encode("latin-1")
            headers = [*message.get("headers", ()), (b"x-request-id", mine), (b"request-id", mine)]
            message = {**message, "headers": headers}
        await self.out(message)


def opened(scope: Scope, send: Send) -> Exchange:
    """Return the exchange of a request that has just come, and keep it in its scope."""
    exchange = Exchange(request_id=request_id(scope), method=scope["method"], path=scope["path"], out=send)
    scope[_KEY] = exchange
    return exchange


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange of a request under way."""
    exchange = scope[_KEY]
    assert isinstance(exchange, Exchange)
    return exchange


async def send_bytes(
    exchange: Exchange,
    status: int,
    body: bytes,
    *,
    kind: str = "application/json",
    headers: dict[str, str] | None = None,
) -> None:
    """Send a whole response."""
    named = {"content-type": kind, "content-length": str(len(body)), **(headers or {})}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
    await exchange.send({"type": "http.response.start", "status": status, "headers": raw})
    await exchange.send({"type": "http.response.body", "body": body})
