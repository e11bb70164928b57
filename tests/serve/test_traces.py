"""Traces: one server span for a request, one client span for each attempt, under the conventions' names."""

import asyncio
import contextlib
import gzip
import http.server
import io
import json
import signal
import threading
from pathlib import Path

import gateways
import pytest
from gateways import chat_body, events, get, post
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode
from test_door_command import serving
from wire_server import status, stream, until

from cput.cli.tracing import is_wanted, tracing
from cput.errors import InputError
from cput.ledger.export.otel import attempt_attributes, call_attributes, span_id, trace_id
from cput.ledger.price import PriceBook
from cput.ledger.store import Ledger
from cput.serve.logs import LOGGER, to_stream
from cput.serve.trace_context import parent_of
from cput.serve.trace_provider import GivenIds, provider
from cput.serve.traces import Traces

PAGE = Path(__file__).parents[2] / "docs" / "design" / "telemetry.md"
CLIENT = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "shop=7"}

PRICES = """
[[model]]
model = "echo-1"
valid_from = 2020-01-01
terms = "T"
source = "S"
input = "2"
output = "5"
"""


class Kept:
    """A provider whose spans stay in memory."""

    def __init__(self, **options):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(id_generator=GivenIds(), shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def traces(self, **options):
        return Traces(self.provider, **options)

    def spans(self):
        return self.exporter.get_finished_spans()

    async def whole(self, attempts=1):
        """The server's span and those of the attempts, once all of them are there."""
        await until(lambda: len(self.spans()) > attempts)
        kinds = {SpanKind.SERVER: [], SpanKind.CLIENT: [], SpanKind.INTERNAL: []}
        for span in self.spans():
            kinds[span.kind].append(span)
        (server,) = kinds[SpanKind.SERVER]
        return server, kinds[SpanKind.CLIENT] + kinds[SpanKind.INTERNAL]


@pytest.fixture
def kept():
    return Kept()


async def test_a_request_is_a_server_span_with_a_client_span_for_its_attempt(book, server, kept):
    asked = chat_body(model="m", temperature=0.5, seed=3, stop=["END"], stream=True)
    headers = {"X-Cput-Workload": "shop", "X-Cput-Episode": "talk-1", "X-Request-Id": "r-1"}
    with gateways.running(gateways.remote_door(book, server.url, traces=kept.traces())) as gateway:
        await post(gateway, "/v1/chat/completions", asked, headers)
        server_span, (attempt,) = await kept.whole()
        call, _ = gateway.only()
    port = int(server.url.rsplit(":", 1)[1].split("/")[0])
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "echo-1",
        "gen_ai.request.max_tokens": 500,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.seed": 3,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.id": call.id,
        "gen_ai.response.model": "echo-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.conversation.id": "talk-1",
        "server.address": "127.0.0.1",
        "server.port": port,
        "cput.role": "serve",
        "cput.attempt": 0,
    }
    assert {name: attempt.attributes.get(name) for name in expected} == expected
    assert attempt.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert (attempt.name, attempt.kind) == ("chat echo-1", SpanKind.CLIENT)
    expected = {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.usage.output_tokens": 3,
        "cput.call.id": call.id,
        "cput.workload": "shop",
        "cput.request.id": "r-1",
        "cput.attempts": 1,
    }
    assert {name: server_span.attributes.get(name) for name in expected} == expected
    assert server_span.name == "POST /v1/chat/completions"
    assert attempt.parent.span_id == server_span.context.span_id
    assert server_span.start_time <= attempt.start_time <= attempt.end_time <= server_span.end_time


async def test_every_attribute_of_ours_is_on_the_design_page(book, server, kept):
    headers = {"X-Cput-Workload": "shop", "X-Cput-Episode": "talk-1", "X-Cput-External-Key": "order-17"}
    with gateways.running(gateways.remote_door(book, server.url, traces=kept.traces())) as gateway:
        await post(gateway, "/v1/chat/completions", chat_body(model="m"), headers)
        await post(gateway, "/v1/chat/completions", chat_body(messages=[], model="m"), headers)
        await until(lambda: len(kept.spans()) == 3)
        (record,) = gateway.records()
    made = {name for span in kept.spans() for name in span.attributes}
    known = {*attempt_attributes(record.call, record.attempts[0], ()), *call_attributes(record.call, ())}
    page = PAGE.read_text(encoding="utf-8")
    assert {name for name in made | known if name.startswith("cput.") and f"`{name}`" not in page} == set()


async def test_ids_are_those_of_the_ledgers_export(book, kept):
    with gateways.running(gateways.echo_door(book, traces=kept.traces())) as gateway:
        await post(gateway, "/v1/messages", chat_body())
        server_span, (attempt,) = await kept.whole()
        call, _ = gateway.only()
    assert f"{server_span.context.trace_id:032x}" == trace_id(call.id) == call.id.replace("-", "")
    assert f"{server_span.context.span_id:016x}" == span_id(call.id, None)
    assert f"{attempt.context.span_id:016x}" == span_id(call.id, 0)
    assert attempt.kind is SpanKind.INTERNAL  # it never left the process
    assert server_span.attributes["cput.policy"] == "echoes"


async def test_the_clients_trace_is_gone_on_with_and_the_upstream_told(book, server, kept):
    with gateways.running(gateways.remote_door(book, server.url, traces=kept.traces())) as gateway:
        await post(gateway, "/v1/chat/completions", chat_body(model="m"), CLIENT)
        server_span, (attempt,) = await kept.whole()
    assert f"{server_span.context.trace_id:032x}" == "a" * 32
    assert f"{server_span.parent.span_id:016x}" == "b" * 16
    told = {name.lower(): value for name, value in server.headers[0].items()}
    assert told["traceparent"] == f"00-{'a' * 32}-{attempt.context.span_id:016x}-01"
    assert told["tracestate"] == "shop=7"


async def test_every_leg_is_a_span_of_its_own_and_each_told_its_own_parent(book, server, kept):
    with gateways.running(gateways.remote_door(book, server.url, attempts=3, traces=kept.traces())) as gateway:
        server.next = [status(500, "my secret"), status(503, "boom")]
        await post(gateway, "/v1/chat/completions", chat_body(model="m"))
        server_span, attempts = await kept.whole(3)
    told = [headers["traceparent"].split("-")[2] for headers in server.headers]
    assert told == [f"{span.context.span_id:016x}" for span in attempts]
    assert [span.status.status_code for span in attempts] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert [span.attributes.get("error.type") for span in attempts] == ["_OTHER", "_OTHER", None]
    assert "secret" not in str([(span.status.description, dict(span.attributes)) for span in attempts])
    assert server_span.status.status_code is StatusCode.UNSET
    assert server_span.attributes["cput.attempts"] == 3


async def test_a_failed_request_is_an_error_with_its_code(book, server, kept):
    with gateways.running(gateways.remote_door(book, server.url, traces=kept.traces())) as gateway:
        server.next = [status(500, "boom")]
        await post(gateway, "/v1/chat/completions", chat_body(model="m"))
        server_span, _ = await kept.whole()
    assert (server_span.attributes["http.response.status_code"], server_span.attributes["error.type"]) == (
        502,
        "upstream_error",
    )
    assert server_span.status.status_code is StatusCode.ERROR


async def test_a_stream_that_breaks_off_and_a_client_that_hangs_up_are_told_apart(book, server, kept):
    import aiohttp

    with gateways.running(gateways.remote_door(book, server.url, traces=kept.traces())) as gateway:
        chunk = b'data: {"choices": [{"index": 0, "delta": {"content": "one "}}]}\n\n'
        server.next = [stream(chunk, "break"), stream(chunk, 30.0)]
        await events(gateway, "/v1/chat/completions", chat_body(model="m"))
        await kept.whole()
        broken = kept.spans()
        kept.exporter.clear()
        asked = chat_body(model="m", stream=True)
        async with (
            aiohttp.ClientSession() as session,
            session.post(gateway.url + "/chat/completions", json=asked) as got,
        ):
            await got.content.readany()
        server_span, (attempt,) = await kept.whole()
    assert [span.attributes.get("cput.finish") for span in broken] == ["error", None]
    assert attempt.attributes["cput.finish"] == "cancelled"
    assert attempt.attributes["cput.usage.complete"] is False
    assert attempt.status.status_code is StatusCode.UNSET
    assert (server_span.attributes["http.response.status_code"], server_span.attributes["cput.hung_up"]) == (499, True)


async def test_what_a_call_cost_is_in_dollars(book, server, kept, tmp_path):
    mine = tmp_path / "prices.toml"
    mine.write_text(PRICES, encoding="utf-8")
    prices = PriceBook.load([mine])
    with gateways.running(gateways.remote_door(book, server.url, prices=prices, traces=kept.traces())) as gateway:
        await post(gateway, "/v1/chat/completions", chat_body(model="m"))
        server_span, (attempt,) = await kept.whole()
        (record,) = gateway.records()
    (charge,) = record.charges
    assert charge.incremental_nano_usd == 3 * (2_000 + 5_000)
    for span in (server_span, attempt):
        assert span.attributes["cput.charge.incremental_nano_usd"] == 21_000
        assert span.attributes["cput.charge.incremental_usd"] == pytest.approx(21e-6)


async def test_prompts_and_answers_are_in_a_trace_only_where_asked_for(book, server, kept):
    for text in (False, True):
        kept.exporter.clear()
        traces = kept.traces(text=text)
        with gateways.running(gateways.remote_door(book, server.url, keep_text=text, traces=traces)) as gateway:
            await post(gateway, "/v1/chat/completions", chat_body("my secret", model="m"))
            _, (attempt,) = await kept.whole()
        assert ("secret" in str([dict(span.attributes) for span in kept.spans()])) is text
    said = json.loads(attempt.attributes["gen_ai.input.messages"])
    assert said == [{"role": "user", "parts": [{"type": "text", "content": "my secret"}]}]
    (answered,) = json.loads(attempt.attributes["gen_ai.output.messages"])
    assert answered["parts"] == [{"type": "text", "content": "my secret"}]
    # Kept for the spans alone: the ledger has nothing of it.
    assert all((record.call.messages, record.attempts[0].text) == ((), None) for record in book.calls())


async def test_machines_that_ask_for_health_leave_no_spans_and_others_no_path_of_their_own(book, kept):
    with gateways.running(gateways.echo_door(book, traces=kept.traces())) as gateway:
        for path in ("/healthz", "/readyz", "/metrics", "/no/such/page"):
            await get(gateway, path)
        await until(kept.spans)
    (span,) = kept.spans()
    assert (span.name, span.attributes["http.response.status_code"]) == ("GET", 404)


async def test_a_caller_that_keeps_no_spans_makes_none_and_is_followed_by_the_upstream(book, server):
    quiet = Kept(sampler=ParentBased(ALWAYS_OFF))
    with gateways.running(gateways.remote_door(book, server.url, traces=quiet.traces())) as gateway:
        await post(gateway, "/v1/chat/completions", chat_body(model="m"))
        headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
        await post(gateway, "/v1/chat/completions", chat_body(model="m"), headers)
    assert quiet.spans() == ()
    assert [sent["traceparent"][-3:] for sent in server.headers] == ["-00", "-00"]


async def test_without_traces_the_upstream_is_told_of_none(remote, server):
    await post(remote, "/v1/chat/completions", chat_body(model="m"))
    assert "traceparent" not in {name.lower() for name in server.headers[0]}


async def test_calls_at_once_do_not_mix(book, server, kept):
    with gateways.running(gateways.remote_door(book, server.url, traces=kept.traces())) as gateway:
        asked = [
            post(gateway, "/v1/chat/completions", chat_body(model="m"), {"traceparent": f"00-{at:032x}-{1:016x}-01"})
            for at in range(1, 17)
        ]
        answers = await asyncio.gather(*asked)
        await until(lambda: len(kept.spans()) == 32)
    by_trace = {}
    for span in kept.spans():
        by_trace.setdefault(span.context.trace_id, []).append(span)
    for at, (_, headers, _) in enumerate(answers, start=1):
        found = {span.kind: span for span in by_trace[at]}
        assert found[SpanKind.SERVER].attributes["cput.call.id"] == headers["X-Cput-Call-Id"]
        assert found[SpanKind.CLIENT].parent.span_id == found[SpanKind.SERVER].context.span_id


async def test_tracing_that_fails_fails_no_request(book, server, kept, monkeypatch):
    traces = kept.traces()
    for name in ("sending", "heard", "answered"):
        monkeypatch.setattr(traces, name, lambda *_: 1 // 0)
    with gateways.running(gateways.remote_door(book, server.url, traces=traces)) as gateway:
        code, _, body = await post(gateway, "/v1/chat/completions", chat_body(model="m"))
        assert (code, body["choices"][0]["message"]["content"]) == (200, "one two three")
        gateway.only()


# Whose trace


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'A' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'b' * 16}-01-more",
        f"00-{'a' * 32}-{'b' * 16}-1",
    ],
)
def test_an_invalid_parent_is_none(given):
    assert parent_of([(b"traceparent", given.encode())]) is None


def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known():
    found = parent_of([(b"traceparent", f"01-{'a' * 32}-{'b' * 16}-03-what".encode()), (b"tracestate", b"x=1")])
    assert found == ("a" * 32, "b" * 16, True, "x=1")


def test_two_parents_are_none():
    header = (b"traceparent", CLIENT["traceparent"].encode())
    assert parent_of([header, header]) is None


# Exporting


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        raw = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
        self.server.got.append((self.path, self.headers["x-team"], ExportTraceServiceRequest.FromString(raw)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.got = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a")
        yield server
        server.shutdown()
        thread.join()


async def test_a_real_collector_gets_what_is_left_when_the_door_closes(book, server, collector):
    with (
        tracing(wanted=False, text=False, keep_text=False) as traces,
        gateways.running(gateways.remote_door(book, server.url, traces=traces)) as gateway,
    ):
        await post(gateway, "/v1/chat/completions", chat_body(model="m"))
    ((path, team, sent),) = collector.got
    assert (path, team) == ("/v1/traces", "a")
    (resource,) = sent.resource_spans
    assert {pair.key: pair.value.string_value for pair in resource.resource.attributes}["service.name"] == "cput"
    attempt, answered = resource.scope_spans[0].spans
    assert (attempt.name, answered.name) == ("chat echo-1", "POST /v1/chat/completions")
    assert attempt.parent_span_id == answered.span_id


async def test_the_command_traces_where_a_collector_is_named_and_flushes_on_sigterm(server, collector, tmp_path):
    with serving(server.url, tmp_path / "l.db", "--quiet", "--trace-content") as gateway:
        assert (await gateway.ask(chat_body("my wish", model="m")))[0] == 200
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.ended()[0] == 0
    ((_, _, sent),) = collector.got
    assert "my wish" in str(sent)
    with contextlib.closing(Ledger.open(str(tmp_path / "l.db"))) as book:
        (record,) = book.calls()
    assert (record.call.messages, record.attempts[0].text) == ((), None)


async def test_a_collector_that_is_gone_stops_nobody_and_is_a_line_of_the_log(book, server, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    text = io.StringIO()
    handler = to_stream(text)
    with (
        tracing(wanted=False, text=False, keep_text=False) as traces,
        gateways.running(gateways.remote_door(book, server.url, traces=traces)) as gateway,
    ):
        for _ in range(5):
            assert (await post(gateway, "/v1/chat/completions", chat_body(model="m")))[0] == 200
    LOGGER.removeHandler(handler)
    told = [json.loads(line) for line in text.getvalue().splitlines()]
    assert any(line["event"] == "traces" and "export" in line["message"].lower() for line in told)


@pytest.mark.parametrize(
    ("environ", "asked", "expected"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, True, False),
        ({"OTEL_TRACES_EXPORTER": "none"}, True, False),
    ],
)
def test_the_standard_variables_switch_it(environ, asked, expected):
    assert is_wanted(environ, asked=asked) is expected


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_what_can_not_be_is_named(environ):
    ((name, value),) = environ.items()
    with pytest.raises(InputError, match=f"{name} is '{value}'"):
        provider(environ)


def test_content_without_traces_is_refused():
    with (
        pytest.raises(InputError, match="--trace-content goes with --traces"),
        tracing(wanted=False, text=True, keep_text=False, environ={}),
    ):
        pass
