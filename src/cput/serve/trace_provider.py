"""OpenTelemetry's SDK as the door uses it: set up by the standard environment variables, with ids that are given.

OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318     also ..._TRACES_ENDPOINT, _HEADERS, _TIMEOUT, _CERTIFICATE
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES           else the service is called cput
OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG          else the caller's choice, and everything where it made none
OTEL_BSP_MAX_QUEUE_SIZE, ...                          spans that find the queue full are dropped, and nobody waits
OTEL_SDK_DISABLED=true, OTEL_TRACES_EXPORTER=none     no traces

What the SDK has to complain about (no collector, a full queue) is a line of the gateway's own log.
"""

import logging
import random
from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from cput.errors import InputError
from cput.serve.logs import note

_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


class GivenIds(IdGenerator):
    """Gives the ids that were lined up for the next span; for one thread, and a span right after."""

    def __init__(self) -> None:
        self.trace: int | None = None
        """The next trace's id."""
        self.span: int | None = None
        """The next span's id."""

    def generate_trace_id(self) -> int:
        """Return the trace id that was lined up, once."""
        found, self.trace = self.trace, None
        return found or random.getrandbits(128) or 1

    def generate_span_id(self) -> int:
        """Return the span id that was lined up, once."""
        found, self.span = self.span, None
        return found or random.getrandbits(64) or 1


def provider(environ: Mapping[str, str]) -> TracerProvider:
    """Return a provider that exports over OTLP/HTTP, in a thread of its own.

    Raises:
        InputError: the environment asks for what is not here (gRPC), or names no HTTP address.
    """
    for name in _PROTOCOLS:
        if environ.get(name, _PROTOCOL) != _PROTOCOL:
            raise InputError(f"{name} is '{environ[name]}'; allowed: {_PROTOCOL}")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        parts = urlsplit(environ.get(name) or "http://localhost")
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise InputError(f"{name} is '{environ[name]}'; allowed: an OTLP/HTTP collector: http://localhost:4318")
    _log_to_ours()
    found = TracerProvider(resource=resource(environ), id_generator=GivenIds())
    found.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return found


def resource(environ: Mapping[str, str]) -> Resource:
    """Return what the spans are of: the environment's word, else a service called cput."""
    named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({} if named else {"service.name": "cput"})


class _Ours(logging.Handler):
    """Says what the SDK says in the gateway's own log, as JSON lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; what the SDK raised and caught is named, not shown."""
        note("traces", record.levelno, message=record.getMessage()[:300])


def _log_to_ours() -> None:
    logger = logging.getLogger("opentelemetry")
    if not any(isinstance(handler, _Ours) for handler in logger.handlers):
        logger.addHandler(_Ours(logging.WARNING))
    logger.propagate = False
