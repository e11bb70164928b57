"""Whether ``cput serve`` traces, and where to: ``--traces``, or OpenTelemetry's own environment variables."""

import contextlib
import os
from collections.abc import Iterator, Mapping

from cput.errors import InputError, SetupError
from cput.serve.trace_context import Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@contextlib.contextmanager
def tracing(
    *, wanted: bool, text: bool, keep_text: bool, environ: Mapping[str, str] = os.environ
) -> Iterator[Tracing | None]:
    """Trace for the time of the context, and send what is left at its end; None where nobody asked for it.

    Raises:
        InputError: the environment says what can't be, or ``text`` is wanted of traces that are not.
        SetupError: OpenTelemetry is not installed.
    """
    if not is_wanted(environ, asked=wanted):
        if text:
            raise InputError(f"--trace-content goes with --traces, or with {ENDPOINTS[1]}")
        yield None
        return
    try:
        from cput.serve.trace_provider import provider
        from cput.serve.traces import Traces
    except ModuleNotFoundError as missing:
        sentence = f"traces need {missing.name}; install it with: pip install 'cput[serve,otel]'"
        raise SetupError(f"{sentence}, or unset {ENDPOINTS[1]}") from missing
    with contextlib.closing(Traces(provider(environ), text=text, keep_text=keep_text)) as traces:
        yield traces


def is_wanted(environ: Mapping[str, str], *, asked: bool) -> bool:
    """Return whether to trace: asked for, or a collector is named, and nobody switched it off.

    >>> is_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, asked=False), is_wanted({}, asked=False)
    (True, False)
    """
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and (asked or any(environ.get(name) for name in ENDPOINTS))
