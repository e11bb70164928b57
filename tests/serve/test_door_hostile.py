"""An outsider at the door: what it may not reach, hold up, forge or learn."""

import asyncio
import json
import socket
import time
from decimal import Decimal

import gateways
import pytest
from flat_tariff import Flat
from gateways import chat_body, post
from test_door_edge import log as log_
from test_door_outcomes import THUMBS, asked, delete, verdicts
from upstream_words import says
from uvicorn.protocols.http.h11_impl import H11Protocol
from wire_server import status, until

from cput.errors import InputError
from cput.records import Finish, Verdict
from cput.serve import patience, run
from cput.serve.accounts import Accounts
from cput.serve.body import BadRequest, json_of
from cput.serve.budgets import Per, set_budget
from cput.serve.dialects.base import Defaults, Takes
from cput.serve.dialects.chat import Chat
from cput.serve.dialects.completions import Completions
from cput.serve.head import Head, scoped
from cput.serve.keys import create
from cput.serve.neighbours import is_nearby
from cput.serve.subjects import Subject

CHAT = "/v1/chat/completions"
log = log_
"""The fixture: what is logged, as text."""


def raw(gateway, *parts, pause_s=0.0, within_s=5.0):
    """Send bytes as they are; return what came until the server closed, or was silent for so long."""
    host, port = gateway.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=within_s) as connection:
        got = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause_s)
            while data := connection.recv(1 << 16):
                got += data
        except (BrokenPipeError, ConnectionResetError):
            return got + b"<closed>"
        except TimeoutError:
            return got
        return got + b"<closed>"


def request(body, *headers, path=CHAT):
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


ASKED = json.dumps(chat_body()).encode()


# Time and room


@pytest.fixture(params=["httptools", "h11"])
def impatient(request, book, monkeypatch):
    """A gateway that waits 0.3 s for a head, on both of uvicorn's parsers."""
    if request.param == "httptools":
        pytest.importorskip("httptools")
    else:
        bounds = {"most_connections": 3}
        monkeypatch.setattr(run, "protocol", lambda: type("Patient", (patience.Patience, H11Protocol), bounds))
    monkeypatch.setattr(patience.Patience, "head_s", 0.3)
    monkeypatch.setattr(patience, "_most_connections", lambda: 3)
    with gateways.running(gateways.echo_door(book, token_s=0.05)) as gateway:
        yield gateway


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"X-A: b\r\n", b"X-B: c\r\n", b"X-C: d\r\n", b"X-D: e\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /healthz HTTP/1.1\r\n", b"X-A: b\r\n", b"", b"", b""),
    ],
    ids=["nothing", "a head bit by bit", "a second one that never ends"],
)
def test_a_head_that_does_not_come_in_time_ends_the_connection(impatient, parts):
    began = time.monotonic()
    got = raw(impatient, *parts, pause_s=0.12)
    assert got.endswith(b"<closed>")
    assert b"200 OK" not in got or got.count(b"HTTP/1.1 200 OK") == 1
    assert time.monotonic() - began < 4


async def test_an_answer_and_a_body_may_take_longer_than_a_head(impatient):
    status_code, _, body = await post(impatient, CHAT, chat_body("a b c d e f g h i j"))
    assert (status_code, body["usage"]["completion_tokens"]) == (200, 10)
    sent = request(ASKED, "Connection: close")
    got = await asyncio.to_thread(raw, impatient, sent[:-20], b"", b"", sent[-20:], pause_s=0.2)
    assert b"200 OK" in got


def test_a_head_that_is_too_long_is_refused(impatient):
    assert b" 200 " not in raw(impatient, b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n")
    many = b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X-A: a\r\n" * 20_000 + b"\r\n"
    assert b" 200 " not in raw(impatient, many[:50_000], many[50_000:])


def test_further_connections_than_there_is_room_for_are_told_so(impatient):
    host, port = impatient.root.removeprefix("http://").split(":")
    held = [socket.create_connection((host, int(port))) for _ in range(3)]
    time.sleep(0.1)
    assert raw(impatient, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 503")
    for connection in held:
        connection.close()


async def test_a_client_that_does_not_read_is_hung_up_and_leaves_one_cancelled_row(book, server, monkeypatch):
    monkeypatch.setattr(patience.Patience, "unread_s", 0.3)
    server.next = [says(*["x" * 60_000] * 400)]
    with gateways.running(gateways.remote_door(book, server.url)) as gateway:
        host, port = gateway.root.removeprefix("http://").split(":")
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(request(json.dumps(chat_body(model="m", stream=True)).encode()))
        await until(gateway.records, within_s=20)
        connection.close()
        assert gateway.only()[1].finish is Finish.CANCELLED


@pytest.mark.parametrize("unit", [b"[],", b'{"a":{}},', b"0,", b'"",'])
def test_a_body_of_millions_of_values_is_refused_before_it_is_parsed(unit):
    body = b'{"a":[' + unit * ((16 << 20) // len(unit)) + b"0]}"
    began = time.perf_counter()
    with pytest.raises(BadRequest, match="too many values"):
        json_of(body, max_depth=64)
    assert time.perf_counter() - began < 2  # parsing it takes up to 9 s


def test_a_long_text_full_of_brackets_is_one_value():
    text = '[{"a": 1}, "\\",\\\\'
    body = json.dumps({"messages": [{"role": "user", "content": text * 200_000}]}).encode()
    assert json_of(body, max_depth=64)["messages"][0]["content"] == text * 200_000


def fields(count):
    return {"type": "object", "properties": {f"p{at}": {"type": "string", "maxLength": 200} for at in range(count)}}


SLOW = {
    "an object of 300 properties": fields(300),
    "many objects": {"anyOf": [fields(100) for _ in range(5)]},
    "a long text": {"type": "object", "properties": {"a": {"type": "string", "maxLength": 1_000_000}}},
    "a pattern in a pattern": {"type": "string", "pattern": "(a{1,300}){1,300}b"},
    "a pattern of names": {"patternProperties": {"^a{1,99999999999999}$": {}}},
    "many bytes": {"enum": ["x" * 100] * 1000},
}


@pytest.mark.parametrize("what", SLOW)
async def test_a_schema_that_would_hold_the_engine_up_is_refused(echo, what):
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": SLOW[what]}}
    code, _, body = await post(echo, CHAT, chat_body(response_format=form))
    assert (code, body["error"]["code"]) == (400, "schema_too_large")


async def test_a_large_schema_of_an_application_is_taken(echo):
    schema = {"type": "object", "properties": {f"part{at}": fields(30) for at in range(8)}}
    schema["properties"]["when"] = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    assert (await post(echo, CHAT, chat_body(response_format=form)))[0] == 200


async def test_a_text_engine_looks_for_a_bounded_number_of_stop_texts(echo):
    code, _, body = await post(echo, CHAT, chat_body(stop=["x"] * 65))
    assert (code, body["error"]["param"]) == (400, "stop")


# What may be said


SMUGGLED = {
    "two lengths": (b"Content-Length: 4\r\nContent-Length: 5", b"abcde"),
    "a length with a sign": (b"Content-Length: +5", b"abcde"),
    "a space before the colon": (b"Content-Length : 5", b"abcde"),
    "an unknown coding": (b"Transfer-Encoding: xchunked", b"5\r\nabcde\r\n0\r\n\r\n"),
    "a folded header": (b"X-A: a\r\n b: c\r\nContent-Length: +1", b"a"),
}


@pytest.mark.parametrize("how", SMUGGLED)
def test_a_request_that_could_be_read_in_two_ways_is_refused(impatient, how):
    headers, body = SMUGGLED[how]
    got = raw(impatient, b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n\r\n" + body)
    assert got.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501"))
    assert got.endswith(b"<closed>")


def test_an_id_with_a_control_character_does_not_come_back(impatient):
    got = raw(impatient, request(ASKED, "X-Request-Id: a\x01b", "Connection: close"))
    assert b"a\x01b" not in got


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "/healthz/", "//v1/models", "/v1/models/../../metrics"])
def test_no_path_leads_elsewhere(echo, path):
    got = raw(echo, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert got.startswith((b"HTTP/1.1 404", b"HTTP/1.1 405"))
    assert b"location" not in got.lower()  # it would name the Host that was sent, and send the key there


async def test_what_goes_into_rows_and_logs_is_bounded(echo):
    for more, param in (
        ({"model": "m" * 257}, "model"),
        ({"model": "m\nforged"}, "model"),
        ({"metadata": {str(at): "x" for at in range(17)}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"metadata": {"a" * 65: "x"}}, "metadata"),
    ):
        code, _, body = await post(echo, CHAT, {**chat_body(), **more})
        assert (code, (body["error"]["param"] or "").startswith(param)) == (400, True), (more, body)
    for name in ("id", "external_key", "episode", "name"):
        for value in ("x" * 257, "a\0b"):
            code, _, body = await post(echo, "/v1/outcomes", {"external_key": "k", **THUMBS, name: value})
            assert (code, body["error"]["param"]) == (400, f"outcomes[0].{name}")


async def test_of_two_equal_keys_in_a_body_the_upstream_sees_the_one_that_was_read(remote, server):
    body = b'{"model":"other","model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":9}'
    code, _, said = await post(remote, CHAT, body)
    assert (code, said["model"], server.bodies[0]["model"]) == (200, "m", "m")


# Pages of other people


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example:8000"},
        {"Origin": "http://127.0.0.1.evil.example"},
    ],
)
async def test_a_page_of_elsewhere_can_not_use_a_door_without_keys(echo, headers):
    for path in (CHAT, "/v1/outcomes"):
        code, _, body = await post(echo, path, chat_body(), {**headers, "Content-Type": "text/plain"})
        assert (code, body["error"]["code"]) == (403, "foreign_page")
    code, _ = await gateways.get(echo, "/metrics", headers)
    assert code == 403
    assert echo.records() == ()


@pytest.mark.parametrize("headers", [{"Origin": "http://localhost:3000"}, {"Host": "host.docker.internal:8000"}])
async def test_pages_and_containers_of_this_machine_can(echo, headers):
    assert (await post(echo, CHAT, chat_body(), headers))[0] == 200


def test_what_is_nearby():
    assert all(is_nearby(host) for host in ("localhost", "LOCALHOST.", "[::1]", "10.0.0.7", "box", "a.localhost"))
    assert not any(is_nearby(host) for host in ("", "null", "evil.example", "localhost.evil.example", "127.0.0.1.a.io"))


# Tenants


def test_two_tenants_never_share_a_kept_key():
    names = ["a", "a/b", "a%2Fb", "a%252Fb", "b", "a/"]
    keys = ["c", "b/c", "/c", "%2Fb/c", ""]
    kept = {scoped(tenant, key) for tenant in names for key in keys}
    assert len(kept) == len(names) * len(keys)


@pytest.fixture
def slashed(book):
    """A gateway with keys, and headers of the tenants ``a/b`` and ``a``."""
    headers = [{"Authorization": f"Bearer {create(book, name, tenant=name).secret}"} for name in ("a/b", "a")]
    with gateways.running(gateways.echo_door(book, gate=Accounts(book, Flat()))) as gateway:
        yield gateway, *headers


async def test_a_tenants_name_can_not_reach_into_anothers_orders(slashed):
    gateway, victim, rogue = slashed
    await asked(gateway, {**victim, "X-Cput-External-Key": "order"})
    await post(gateway, "/v1/outcomes", {"external_key": "b/order", **THUMBS}, rogue)
    assert verdicts(gateway) == [Verdict.PENDING]
    _, _, body = await post(gateway, "/v1/outcomes", {"external_key": "order", **THUMBS}, victim)
    assert verdicts(gateway) == [Verdict.USEFUL]
    assert (await delete(gateway, f"/v1/outcomes/{body['ids'][0]}", headers=rogue))[0] == 404
    assert verdicts(gateway) == [Verdict.USEFUL]


async def test_one_idempotency_key_of_two_tenants_is_two_outcomes(slashed):
    gateway, first, second = slashed
    for who in (first, second):
        code, _, body = await post(
            gateway, "/v1/outcomes", {"external_key": "k", **THUMBS}, {**who, "Idempotency-Key": "1"}
        )
        assert (code, body["new"]) == (200, 1)


async def test_a_key_in_the_query_opens_nothing(slashed):
    gateway, victim, _ = slashed
    secret = victim["Authorization"].removeprefix("Bearer ")
    assert (await post(gateway, f"{CHAT}?api_key={secret}&key={secret}", chat_body()))[0] == 401


async def test_eight_calls_at_once_over_http_against_a_budget_for_one_admit_exactly_one(book):
    key = create(book, "shop", tenant="shop")
    set_budget(book, Subject.of("tenant:shop"), Decimal("0.001"), per=Per.DAY)
    who = {"Authorization": f"Bearer {key.secret}"}
    door = gateways.echo_door(book, token_s=0.2, gate=Accounts(book, Flat()))
    with gateways.running(door) as gateway:
        answers = await asyncio.gather(*(post(gateway, CHAT, chat_body(), who) for _ in range(8)))
    assert sorted(answer[0] for answer in answers) == [200, *[429] * 7]


# Money


HEAD = Head(key=None, request_id="r")


def read(dialect, **body):
    return dialect.read({"model": "m", **body}, HEAD, Takes.WIRE, Defaults())


def test_money_is_held_for_the_most_that_an_upstream_may_read_out_of_a_body():
    turns = [{"role": "user", "content": "a"}]
    for bounds in ({"max_tokens": 9000, "max_completion_tokens": 1}, {"max_tokens": 1, "max_completion_tokens": 9000}):
        assert read(Chat(), messages=turns, **bounds).call.sampling.max_new_tokens == 9000
    assert read(Completions(), prompt="a", n=2, best_of=5).choices == 5
    assert read(Completions(), prompt=[[1, 2], [3]], n=2).choices == 4
    assert read(Completions(), prompt=[1, 2, 3]).choices == 1


# What is told, and to whom


async def test_where_the_ledger_and_the_upstream_stand_is_in_the_log_alone(book, log):
    with gateways.running(gateways.remote_door(book, "http://127.0.0.1:9/v1")) as gateway:
        code, _, body = await post(gateway, CHAT, chat_body(model="m"))
        assert (code, "127.0.0.1" in str(body), "can't be reached" in str(body)) == (503, False, True)
        await until(log.getvalue)
        assert "127.0.0.1" in json.loads(log.getvalue().splitlines()[0])["why"]
        book.close()
        code, _, body = await post(gateway, "/v1/outcomes", {"external_key": "k", **THUMBS})
        assert (code, str(book.path) in str(body)) == (503, False)
        await until(lambda: str(book.path) in log.getvalue())


async def test_an_upstreams_own_words_are_told_without_its_address(remote, server):
    server.next = [status(500, {"error": {"message": "boom"}}), status(400, {"error": {"message": "what?"}})]
    for said in ("the upstream answered 500: boom", "the upstream answered 400: what?"):
        _, _, body = await post(remote, CHAT, chat_body(model="m"))
        assert body["error"]["message"] == said


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_an_upstream_can_not_send_a_prompt_elsewhere(remote, server, code):
    where = {"Location": server.url + "/chat/completions"}
    server.next = [status(code, {}, where)]
    answered, _, body = await post(remote, CHAT, chat_body(model="m"))
    assert (answered, body["error"]["code"], len(server.bodies)) == (502, "upstream_error", 1)


async def test_no_field_of_a_request_names_another_upstream(remote, server):
    elsewhere = "http://127.0.0.1:9/v1"
    asked_for = chat_body(model=elsewhere, base_url=elsewhere, api_base=elsewhere)
    headers = {"X-Forwarded-Host": "127.0.0.1:9", "X-Original-Url": "/v1/models", "Proxy": elsewhere}
    code, _, _ = await post(remote, CHAT, asked_for, headers)
    assert (code, len(server.bodies), server.bodies[0]["model"]) == (200, 1, elsewhere)
    sent = {name.lower() for name in server.headers[0]}
    assert not sent & {"x-forwarded-host", "x-original-url", "proxy"}


def test_a_deadline_or_priority_beyond_all_bounds_is_refused():
    from cput.serve.head import head_of

    for name, value in ((b"x-cput-priority", b"9" * 30), (b"x-cput-deadline-s", b"1e400")):
        with pytest.raises(InputError):
            head_of({"headers": [(name, value)]}, "r")
