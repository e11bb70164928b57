"""Traces and evaluation events as OTLP: into two JSON Lines files, or to a collector over HTTP.

A file holds one kind of data (OpenTelemetry's file exporter): ``traces.jsonl`` spans, ``traces.events.jsonl`` the
evaluation events. Each line is what would be posted to ``/v1/traces`` and ``/v1/logs``. A collector takes the same
JSON, so no OpenTelemetry library is needed. Ids are made from the call's, so that sending again makes no new spans.
"""

import contextlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from cput import __version__
from cput.errors import InputError, SetupError
from cput.ledger.export.atomic import check, whole_file
from cput.ledger.export.otel import Json, attributes, evaluations, spans
from cput.ledger.export.scan import Progress, bundles
from cput.ledger.export.selection import Selection
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger

BATCH = 500
TRIES = 5
_TIMEOUT_S = 30.0
_RETRY = {429, 502, 503, 504}
_encode = msgspec.json.Encoder().encode


class Sent(NamedTuple):
    """What an export wrote or sent."""

    spans: int
    events: int


class _Post(NamedTuple):
    """Where one signal goes."""

    traces: Callable[[bytes], None]
    logs: Callable[[bytes], None]


def export_otel(
    ledger: Ledger,
    path: Path,
    selection: Selection | None = None,
    *,
    threshold: float = 1.0,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> Sent:
    """Write the selected calls to ``path`` (spans) and beside it, ``.events`` in its name, the evaluation events.

    Raises:
        InputError: when the place is not allowed.
        SetupError: when it cannot be written.
    """
    second = path.with_name(f"{path.stem}.events{path.suffix}")
    for place in (path, second):
        check(place, overwrite=overwrite)
    with contextlib.ExitStack() as stack:
        traces, logs = (stack.enter_context(whole_file(place, overwrite=overwrite)) for place in (path, second))
        post = _Post(lambda line: _line(traces, line), lambda line: _line(logs, line))
        return _run(ledger, post, selection or Selection(), threshold, progress)


def send_otel(
    ledger: Ledger,
    endpoint: str,
    selection: Selection | None = None,
    *,
    threshold: float = 1.0,
    progress: Progress = lambda *_: None,
    pause: Callable[[float], None] = time.sleep,
) -> Sent:
    """Post the selected calls to a collector, such as http://localhost:4318; headers: OTEL_EXPORTER_OTLP_HEADERS.

    Raises:
        InputError: when the endpoint is not an HTTP address, or the collector does not take the data.
        SetupError: when it cannot be reached.
    """
    if urlsplit(endpoint).scheme not in {"http", "https"} or not urlsplit(endpoint).netloc:
        raise InputError(f"--endpoint is '{endpoint}'; allowed: an OTLP/HTTP collector, such as http://localhost:4318")
    base, headers = endpoint.rstrip("/"), _headers(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
    post = _Post(
        lambda body: _send(f"{base}/v1/traces", body, headers, pause),
        lambda body: _send(f"{base}/v1/logs", body, headers, pause),
    )
    return _run(ledger, post, selection or Selection(), threshold, progress)


def _run(ledger: Ledger, post: _Post, selection: Selection, threshold: float, progress: Progress) -> Sent:
    """Hand over batches of spans and events while the ledger is read."""
    sent = [0, 0]
    with snapshot(ledger) as connection:
        total = selection.count(connection)
        records = (bundle.record() for bundle in bundles(connection, selection))
        waiting: tuple[list[Json], list[Json]] = ([], [])
        for done, record in enumerate(records, start=1):
            waiting[0].extend(spans(record, threshold))
            waiting[1].extend(evaluations(record, threshold))
            for place, (items, wrap, give) in enumerate(zip(waiting, (_traces, _logs), post, strict=True)):
                if len(items) >= BATCH or (done == total and items):
                    give(_encode(wrap(items)))
                    sent[place] += len(items)
                    items.clear()
            progress(done, total)
    return Sent(*sent)


def _traces(items: list[Json]) -> Json:
    return {"resourceSpans": [{"resource": _resource(), "scopeSpans": [{"scope": _scope(), "spans": items}]}]}


def _logs(items: list[Json]) -> Json:
    return {"resourceLogs": [{"resource": _resource(), "scopeLogs": [{"scope": _scope(), "logRecords": items}]}]}


def _resource() -> Json:
    return {"attributes": attributes({"service.name": "cput", "service.version": __version__})}


def _scope() -> Json:
    return {"name": "cput.ledger", "version": __version__}


def _line(file: Any, line: bytes) -> None:
    file.write(line)
    file.write(b"\n")


def _headers(text: str) -> dict[str, str]:
    """Read ``key=value,key=value`` with percent-encoded values, as OpenTelemetry's environment variable has it."""
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {unquote(key.strip()): unquote(value.strip()) for key, _, value in pairs}


def _send(url: str, body: bytes, headers: Mapping[str, str], pause: Callable[[float], None]) -> None:
    """Post a body; what the specification says may be sent again is, after the pause that the collector asks for."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})  # noqa: S310  # its scheme is checked
    for wait_s in _waits():
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # its scheme is checked
                _refuse_rejections(url, answer.read())
                return
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", "replace")
            if error.code not in _RETRY or wait_s is None:
                raise InputError(f"the collector at {url} answered {error.code}: {said or error.reason}") from error
            pause(_asked(error.headers.get("Retry-After")) or wait_s)
        except OSError as error:
            if wait_s is None:
                reason = getattr(error, "reason", error)
                raise SetupError(f"no collector answers at {url} ({reason}); start one, or name another") from error
            pause(wait_s)


def _waits() -> Iterator[float | None]:
    """Yield the pause after each failed try; None after the last."""
    yield from (0.5 * 2**number for number in range(TRIES - 1))
    yield None


def _asked(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdigit() else None


def _refuse_rejections(url: str, body: bytes) -> None:
    """A collector may take a part and say so; that is no success."""
    try:
        said = msgspec.json.decode(body) if body else {}
    except msgspec.DecodeError:
        return  # it took the data; what else it says is its own affair
    partial = said.get("partialSuccess") or {} if isinstance(said, dict) else {}
    rejected = int(partial.get("rejectedSpans") or partial.get("rejectedLogRecords") or 0)
    if rejected:
        raise InputError(f"the collector at {url} rejected {rejected} records: {partial.get('errorMessage', '')}")
