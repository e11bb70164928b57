"""OpenTelemetry traces of what the door serves: a server span for a request, a client span for each of its attempts.

    traces = Traces(provider(os.environ))
    door = Door(ledger=ledger, models=models, traces=traces)      # None: nothing is traced, and nothing is asked
    traces.close()                                                # after the door: what is left goes out

Names and attributes are those of the ledger's export (``cput.ledger.export.otel``), and so are the ids, which are made
from the call's: whoever has a response id finds its trace, unless the client brought a trace of its own. Spans are made
when what they tell is over, with the times at which it was. Where that fails, the log says so and the request goes on.
Prompts and answers are in them only where that was asked for, and so are the sentences of an upstream's errors.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation import set_span_in_context
from starlette.types import ASGIApp, Receive, Scope, Send

from cput import __version__
from cput.ledger.export.otel import attempt_attributes, call_attributes, span_id, span_name, trace_id
from cput.ledger.meter import Sink
from cput.records import Attempt, Call, Charge, Finish, new_id
from cput.serve.edge import QUIET
from cput.serve.exchange import exchange_of
from cput.serve.logs import note
from cput.serve.trace_attributes import OPERATIONS, content, request_attributes, request_name
from cput.serve.trace_context import LEG, Leg, Parent, parent_of
from cput.serve.trace_provider import GivenIds


@dataclass(slots=True)
class Following:
    """A request under way, and where its spans belong."""

    scope: Scope
    """The request."""
    parent: Parent | None
    """The client's own span, where it sent one."""
    began_ns: int = field(default_factory=time.time_ns)
    """When its head had come (Unix)."""
    own: SpanContext | None = None
    """The request's span; None until its call has an id."""
    call: Call | None = None
    """Its call, once an attempt is on record."""
    legs: dict[int, Leg] = field(default_factory=dict)
    """What was sent, by the attempt's number."""


FOLLOWING: ContextVar[Following | None] = ContextVar("cput.following", default=None)
"""The request that this task serves."""


class Traces:
    """Makes the spans. One for a door, in the thread of its event loop."""

    def __init__(self, provider: TracerProvider, *, text: bool = False, keep_text: bool = False) -> None:
        """``text`` puts prompts and answers into the spans; where the ledger keeps none, they go no further."""
        assert isinstance(provider.id_generator, GivenIds)
        self._provider = provider
        self._ids = provider.id_generator
        self._tracer = provider.get_tracer("cput.serve", __version__)
        self._text = text
        self._keep_text = keep_text

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the application with every request traced."""
        return Traced(app, self)

    def beside(self, sink: Sink) -> Sink:
        """Return where attempts go, with every attempt traced."""
        return TracedSink(sink, self, keep_text=self._keep_text or not self._text)

    def close(self) -> None:
        """Send what is left, for as long as the exporter tries."""
        self._provider.shutdown()

    def sending(self, call_id: str, seq: int) -> None:
        """Make ready what an attempt tells its upstream."""
        following = FOLLOWING.get()
        if following is None:
            return
        own = self._placed(following, call_id)
        flags = f"{int(own.trace_flags):02x}"
        parent = f"00-{own.trace_id:032x}-{span_id(call_id, seq)}-{flags}"
        leg = following.legs[seq] = Leg(parent, following.parent.state if following.parent else "")
        LEG.set(leg)

    def heard(self, call: Call, attempt: Attempt, charges: Sequence[Charge]) -> None:
        """Make the span of an attempt that is on record."""
        following = FOLLOWING.get()
        if following is None:
            return
        following.call = call
        own = self._placed(following, call.id)
        leg = following.legs.get(attempt.seq)
        server = None if leg is None else leg.server
        operation = OPERATIONS.get(exchange_of(following.scope).endpoint)
        said = attempt_attributes(call, attempt, charges, operation) | {
            "server.address": server[0] if server else None,
            "server.port": server[1] if server else None,
            **(content(call, attempt) if self._text else {}),
        }
        self._span(
            span_name(said),
            SpanKind.CLIENT if server or attempt.provider is not None else SpanKind.INTERNAL,
            said,
            within=own,
            span=span_id(call.id, attempt.seq),
            began_ns=round(attempt.started_s * 1e9),
            ended_ns=round((attempt.started_s + (attempt.e2e_s or 0.0)) * 1e9),
            failed=attempt.finish is Finish.ERROR,
            why=attempt.error if self._text else None,
        )

    def answered(self, following: Following) -> None:
        """Make the span of a request that is over."""
        exchange = exchange_of(following.scope)
        if exchange.endpoint in QUIET and exchange.status < 400:
            return
        own = self._placed(following, exchange.facts.get("call_id"))
        said = request_attributes(following.scope, exchange)
        if following.call is not None:
            known = {name: value for name, value in said.items() if value is not None}
            said = call_attributes(following.call, ()) | known
        self._span(
            request_name(following.scope, exchange),
            SpanKind.SERVER,
            said,
            within=_remote(following.parent) if following.parent else None,
            trace=own.trace_id,
            span=f"{own.span_id:016x}",
            began_ns=following.began_ns,
            ended_ns=time.time_ns(),
            failed=exchange.status >= 500,
        )

    def _placed(self, following: Following, call_id: str | None) -> SpanContext:
        """Return the context of a request's span, settled with the first attempt or at the request's end."""
        if following.own is None:
            parent, name = following.parent, call_id or new_id()
            trace = int(parent.trace_id if parent else trace_id(name), 16)
            within = set_span_in_context(NonRecordingSpan(_remote(parent)), Context()) if parent else None
            span = request_name(following.scope, exchange_of(following.scope))
            choice = self._provider.sampler.should_sample(within, trace, span)
            kept = choice.decision is Decision.RECORD_AND_SAMPLE
            flags = TraceFlags(TraceFlags.SAMPLED if kept else TraceFlags.DEFAULT)
            following.own = SpanContext(trace, int(span_id(name, None), 16), is_remote=False, trace_flags=flags)
        return following.own

    def _span(
        self,
        name: str,
        kind: SpanKind,
        said: Mapping[str, Any],
        *,
        within: SpanContext | None,
        span: str,
        began_ns: int,
        ended_ns: int,
        failed: bool,
        why: str | None = None,
        trace: int | None = None,
    ) -> None:
        context = Context() if within is None else set_span_in_context(NonRecordingSpan(within), Context())
        self._ids.trace, self._ids.span = trace, int(span, 16)
        known = {name: value for name, value in said.items() if value is not None}
        made = self._tracer.start_span(name, context, kind, known, start_time=began_ns)
        if failed:
            made.set_status(Status(StatusCode.ERROR, why))
        made.end(max(began_ns, ended_ns))


class Traced:
    """An ASGI middleware around the edge: it knows what became of a request when all is said."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's life span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        following = Following(scope, parent_of(scope["headers"]))
        FOLLOWING.set(following)  # each request has a task, and so a context, of its own
        try:
            await self._app(scope, receive, send)
        finally:
            with _harmless():
                self._traces.answered(following)


class TracedSink:
    """A ``Sink`` in front of the ledger: attempts are written down, then traced."""

    def __init__(self, sink: Sink, traces: Traces, *, keep_text: bool) -> None:
        """Without ``keep_text`` what comes with text goes on without it: it was kept for the spans alone."""
        self._sink = sink
        self._traces = traces
        self._keep_text = keep_text

    def next_seq(self, call_id: str) -> int:
        """Number the next attempt of a call, which is about to be sent."""
        seq = self._sink.next_seq(call_id)
        with _harmless():
            self._traces.sending(call_id, seq)
        return seq

    async def record(
        self, call: Call, attempts: Sequence[Attempt], charges: Sequence[Charge] = (), *, run: str | None = None
    ) -> None:
        """Write attempts down; one that could not be written is traced as well."""
        kept, written = call, attempts
        if not self._keep_text:
            kept = replace(call, messages=(), prompt=None)
            written = [replace(attempt, text=None) for attempt in attempts]
        try:
            await self._sink.record(kept, written, charges, run=run)
        finally:
            for attempt in attempts:
                with _harmless():
                    self._traces.heard(call, attempt, [charge for charge in charges if charge.seq == attempt.seq])


def _remote(parent: Parent) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([parent.state]) if parent.state else None
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, flags, state)


@contextlib.contextmanager
def _harmless() -> Iterator[None]:
    """Keep a failure of tracing out of the request."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever it is: the request goes on
        note("traces", logging.WARNING, error)
