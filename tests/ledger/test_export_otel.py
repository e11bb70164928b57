"""Spans and evaluation events are OTLP as OpenTelemetry's own schema has it, with the GenAI conventions' names."""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from export_ledgers import CACHED, HOSTED, LOCAL, NOON, fill
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cput.errors import InputError, SetupError
from cput.ledger.export import Selection, export_otel, send_otel
from cput.ledger.export.otel import span_id, trace_id
from cput.ledger.store import Ledger

IDS = {"traceId", "spanId", "parentSpanId"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Iterator[Ledger]:
    """A ledger that no test writes to."""
    with Ledger.open(tmp_path_factory.mktemp("filled") / "l.db") as book:
        fill(book)
        yield book


def parsed(line: str, message):
    """Read OTLP's JSON strictly: ids are hexadecimal there and base64 in protobuf's JSON, all else is the same."""

    def fit(value):
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(inner)).decode() if key in IDS else fit(inner)
                for key, inner in value.items()
            }
        return [fit(inner) for inner in value] if isinstance(value, list) else value

    return json_format.ParseDict(fit(json.loads(line)), message)


def spans_of(path: Path):
    requests = [parsed(line, ExportTraceServiceRequest()) for line in path.read_text(encoding="utf-8").splitlines()]
    return [span for r in requests for group in r.resource_spans for scope in group.scope_spans for span in scope.spans]


def events_of(path: Path):
    requests = [parsed(line, ExportLogsServiceRequest()) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        log for r in requests for group in r.resource_logs for scope in group.scope_logs for log in scope.log_records
    ]


def values(item) -> dict:
    def plain(value):
        kind = value.WhichOneof("value")
        return [plain(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)

    return {pair.key: plain(pair.value) for pair in item.attributes}


@pytest.fixture
def exported(filled, tmp_path):
    sent = export_otel(filled, tmp_path / "traces.jsonl")
    assert sent == (12, 5)  # 5 calls with 7 attempts; 4 outcomes, one of them about two calls
    return spans_of(tmp_path / "traces.jsonl"), events_of(tmp_path / "traces.events.jsonl")


def of(spans, call, seq):
    (found,) = [span for span in spans if span.span_id.hex() == span_id(call.id, seq)]
    return found, values(found)


def test_a_call_is_a_trace_whose_attempts_are_its_children(exported):
    spans, _ = exported
    root, said = of(spans, HOSTED, None)
    assert root.trace_id.hex() == HOSTED.id.replace("-", "")  # the call's own id: a backend finds it by response id
    assert root.name == "call chat"
    children = [span for span in spans if span.parent_span_id == root.span_id]
    assert len(children) == 2
    assert {span.trace_id for span in children} == {root.trace_id}
    assert all(root.start_time_unix_nano <= span.start_time_unix_nano for span in children)
    assert all(span.end_time_unix_nano <= root.end_time_unix_nano for span in children)
    assert said["cput.charge.incremental_nano_usd"] == 12_865_001
    assert said["gen_ai.conversation.id"] == "talk-1"


def test_an_attempt_is_a_genai_client_span(exported):
    span, said = of(exported[0], HOSTED, 1)
    assert (span.name, span.kind) == ("chat gpt-4o", 3)  # CLIENT
    assert span.start_time_unix_nano == int((NOON + 0.25) * 1e9)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.max_tokens": 512,
        "gen_ai.response.id": HOSTED.id,
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 2_006,  # cached ones are part of them
        "gen_ai.usage.cache_read.input_tokens": 1_920,
        "gen_ai.usage.cache_write.input_tokens": 0,
        "gen_ai.usage.output_tokens": 300,
        "gen_ai.usage.reasoning.output_tokens": 100,
        "openai.response.service_tier": "flex",
        "cput.role": "hedge",
        "cput.charge.incremental_nano_usd": 5_615_001,
        "cput.charge.price_version": "p1",
    }
    assert {name: said[name] for name in expected} == expected
    assert "error.type" not in said


def test_providers_wear_the_conventions_names_and_ones_own_engine_its_own(exported):
    assert of(exported[0], HOSTED, 0)[1]["gen_ai.provider.name"] == "azure.ai.openai"
    span, said = of(exported[0], LOCAL, 1)
    assert (said["gen_ai.provider.name"], span.kind) == ("openvino", 1)  # INTERNAL
    assert said["gen_ai.request.seed"] == 3
    assert said["gen_ai.request.stop_sequences"] == ["END", "\n"]
    assert of(exported[0], CACHED, 0)[1]["gen_ai.operation.name"] == "text_completion"


def test_a_failed_attempt_has_an_error_and_a_cancelled_one_has_none(exported):
    failed, said = of(exported[0], LOCAL, 0)
    assert (failed.status.code, failed.status.message) == (2, "it fell over")
    assert said["error.type"] == "_OTHER"
    cancelled, said = of(exported[0], HOSTED, 0)
    assert cancelled.status.code == 0
    assert "error.type" not in said
    assert said["gen_ai.response.finish_reasons"] == ["error"]  # the convention's word for a stream that was cut off


def test_unknown_is_left_out_and_never_0(exported):
    _, said = of(exported[0], LOCAL, 0)
    assert not [name for name in said if name.startswith("gen_ai.usage.")]
    assert "gen_ai.response.model" not in said


def test_an_outcome_is_an_evaluation_event_on_the_attempt_that_answered(exported):
    _, events = exported
    mine = [event for event in events if event.trace_id.hex() == trace_id(LOCAL.id)]
    (event,) = mine
    assert event.event_name == "gen_ai.evaluation.result"
    assert event.span_id.hex() == span_id(LOCAL.id, 1)
    assert event.time_unix_nano == int((NOON + 100) * 1e9)
    assert values(event) == {
        "gen_ai.evaluation.name": "exact",
        "gen_ai.evaluation.score.value": 1.0,
        "gen_ai.evaluation.score.label": "useful",
        "gen_ai.evaluation.explanation": "it is the same",
        "gen_ai.response.id": LOCAL.id,
        "cput.outcome.id": values(event)["cput.outcome.id"],
        "cput.outcome.source": "check",
    }


def test_revisions_and_episodes_are_events_of_each_call(exported):
    by_call = {}
    for event in exported[1]:
        said = values(event)
        by_call.setdefault(said["gen_ai.response.id"], []).append(
            (said["gen_ai.evaluation.name"], said["gen_ai.evaluation.score.value"])
        )
    assert sorted(by_call[HOSTED.id]) == [("solved", 1.0), ("thumbs", 0.0), ("thumbs", 1.0)]
    assert by_call[CACHED.id] == [("solved", 1.0)]


def test_prompts_and_answers_stay_here(filled, tmp_path):
    export_otel(filled, tmp_path / "traces.jsonl")
    assert "答案" not in (tmp_path / "traces.jsonl").read_text(encoding="utf-8")
    assert "你好" not in (tmp_path / "traces.jsonl").read_text(encoding="utf-8")


def test_every_database_gives_the_same_bytes(ledger, filled, tmp_path):
    fill(ledger)
    for book, name in ((ledger, "one"), (filled, "other")):
        export_otel(book, tmp_path / f"{name}.jsonl")
    for ending in ("jsonl", "events.jsonl"):
        one, other = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "other"))
        assert one == other


def test_duckdb_opens_both(filled, tmp_path):
    export_otel(filled, tmp_path / "t.jsonl")
    with duckdb.connect() as database:
        names = database.sql(
            "SELECT s.name, count(*) FROM (SELECT unnest(resourceSpans[1].scopeSpans[1].spans) AS s "
            f"FROM read_json('{tmp_path}/t.jsonl')) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
        ).fetchall()
        events = database.sql(
            f"SELECT sum(len(resourceLogs[1].scopeLogs[1].logRecords)) FROM read_json('{tmp_path}/t.events.jsonl')"
        ).fetchall()
    assert names == [("call chat", 4)]
    assert events == [(5,)]


def test_ids_are_the_same_every_time_and_never_all_zeros():
    assert trace_id("00000000-0000-0000-0000-000000000000") != "0" * 32
    assert trace_id("chatcmpl-7") == trace_id("chatcmpl-7")
    assert len(trace_id("chatcmpl-7")) == 32
    assert len({span_id("c", None), span_id("c", 0), span_id("c", 1), span_id("d", 0)}) == 4


class Collector(http.server.BaseHTTPRequestHandler):
    """Answers what the test lined up, then 200; keeps what it got."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers, body.decode()))
        code, headers, said = self.server.lined_up.pop(0) if self.server.lined_up else (200, {}, b"{}")
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


@contextmanager
def collector(*lined_up):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.got, server.lined_up = [], list(lined_up)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_collector_gets_the_same_as_the_files(filled, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=s%2Fecret, x-team = a")
    export_otel(filled, tmp_path / "t.jsonl")
    with collector() as (server, url):
        assert send_otel(filled, f"{url}/") == (12, 5)
    assert [path for path, *_ in server.got] == ["/v1/traces", "/v1/logs"]
    assert {headers["Content-Type"] for _, headers, _ in server.got} == {"application/json"}
    assert {(headers["x-api-key"], headers["x-team"]) for _, headers, _ in server.got} == {("s/ecret", "a")}
    files = [(tmp_path / name).read_text(encoding="utf-8").rstrip("\n") for name in ("t.jsonl", "t.events.jsonl")]
    assert [body for *_, body in server.got] == files


def test_a_busy_collector_is_asked_again_after_the_pause_that_it_names(filled):
    pauses = []
    with collector((429, {"Retry-After": "7"}, b""), (503, {}, b"")) as (server, url):
        send_otel(filled, url, Selection(workload="ifeval"), pause=pauses.append)
    assert pauses == [7.0, 1.0]
    assert len(server.got) == 4


def test_what_a_collector_refuses_is_an_error_and_not_sent_again(filled):
    with collector((400, {}, b"bad span")) as (server, url), pytest.raises(InputError, match="answered 400: bad span"):
        send_otel(filled, url)
    assert len(server.got) == 1


def test_a_part_that_a_collector_rejects_is_an_error(filled):
    said = json.dumps({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}).encode()
    with collector((200, {}, said)) as (_, url), pytest.raises(InputError, match="rejected 3 records: too old"):
        send_otel(filled, url)


def test_no_collector_is_a_sentence(filled):
    with collector() as (_, url):
        pass
    pauses = []
    with pytest.raises(SetupError, match="no collector answers at"):
        send_otel(filled, url, pause=pauses.append)
    assert pauses == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("endpoint", ["localhost:4318", "file:///etc/passwd", "http://", ""])
def test_an_endpoint_that_is_no_http_address_is_named(filled, endpoint):
    with pytest.raises(InputError, match="allowed: an OTLP/HTTP collector"):
        send_otel(filled, endpoint)
