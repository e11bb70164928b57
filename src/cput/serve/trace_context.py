"""W3C trace context (w3.org/TR/trace-context): whose trace a request belongs to, and what its upstream is told.

No OpenTelemetry library is needed for it, so that the upstream's client may ask for ``LEG`` whether or not one is here.
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from starlette.types import ASGIApp
from yarl import URL

from cput.ledger.meter import Sink

_TRACEPARENT = re.compile(r"^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")
_NAMES = frozenset({b"traceparent", b"tracestate"})
_STATE_CHARS = 512
"""The length of a ``tracestate`` that everybody has to pass on; a longer one may be dropped."""


class Parent(NamedTuple):
    """The span that a request is a part of."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool
    """Whether the caller keeps its own spans."""
    state: str = ""
    """``tracestate`` as it came."""


class Tracing(Protocol):
    """What a door needs of whoever traces it (``cput.serve.traces.Traces``)."""

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the application with every request traced."""
        ...

    def beside(self, sink: Sink) -> Sink:
        """Return where attempts go, with every attempt traced."""
        ...


@dataclass(slots=True)
class Leg:
    """One attempt on its way to an upstream."""

    traceparent: str
    """The attempt's own span, as the upstream's parent."""
    tracestate: str = ""
    """The caller's, passed on."""
    server: tuple[str, int | None] | None = None
    """Host and port that it was sent to; None where no connection was asked for."""

    def sent_to(self, base_url: str) -> dict[str, str]:
        """Keep where it goes; return the headers that go with it."""
        url = URL(base_url)
        self.server = (url.host or "", url.port)
        state = {"tracestate": self.tracestate} if self.tracestate else {}
        return {"traceparent": self.traceparent, **state}


LEG: ContextVar[Leg | None] = ContextVar("cput.leg", default=None)
"""The attempt that is being sent; None where nothing is traced."""


def parent_of(headers: Iterable[tuple[bytes, bytes]]) -> Parent | None:
    """Return the caller's span; None where there is none, or one that the specification calls invalid.

    >>> parent_of([(b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")]).sampled
    True
    """
    given = [(name, value.decode("latin-1").strip()) for name, value in headers if name in _NAMES]
    parents = [value for name, value in given if name == b"traceparent"]
    match = _TRACEPARENT.match(parents[0]) if len(parents) == 1 else None
    if match is None or (match[1] == "00" and match[5]):
        return None
    state = ",".join(value for name, value in given if name == b"tracestate" and value)
    kept = state if len(state) <= _STATE_CHARS and state.isprintable() and state.isascii() else ""
    return Parent(match[2], match[3], bool(int(match[4], 16) & 1), kept)
