"""Raw bytes at the gateway's socket: refused or hung up on, never a traceback, and the next request is answered."""

import io
import json
import socket
import struct

import gateways
import pytest
from gateways import chat_body
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cput.ledger.store import Ledger
from cput.serve.logs import LOGGER, to_stream

FUZZ = {"deadline": None, "suppress_health_check": list(HealthCheck)}
BODY = json.dumps(chat_body()).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def knocked(tmp_path_factory):
    """A gateway with a short limit on bodies, and its log."""
    text = io.StringIO()
    handler = to_stream(text)
    with Ledger.open(tmp_path_factory.mktemp("socket") / "ledger.db") as book:
        door = gateways.echo_door(book)
        door.limits = type(door.limits)(body_s=1.0)
        with gateways.running(door) as gateway:
            yield gateway, text
    LOGGER.removeHandler(handler)


def address(gateway):
    host, port = gateway.root.removeprefix("http://").split(":")
    return host, int(port)


def knock(gateway, raw, *, then="half"):
    """Send bytes; return what comes back until the other side closes. ``then`` closes our half, resets, or waits."""
    with socket.create_connection(address(gateway), timeout=10) as connection:
        try:
            connection.sendall(raw)
            if then == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            if then == "half":
                connection.shutdown(socket.SHUT_WR)
            answered = b""
            while part := connection.recv(65536):
                answered += part
        except (ConnectionResetError, BrokenPipeError):
            return b""
        return answered


def status_of(answered):
    return int(answered.split(b" ", 2)[1])


def still_well(gateway, log):
    """The next request is answered, and nothing failed inside so far."""
    answered = knock(gateway, HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY, then="wait")
    assert status_of(answered) == 200
    assert b"one two three" in answered
    for line in log.getvalue().splitlines():
        said = json.loads(line)
        assert said["level"] != "error", said


def length(count):
    return b"Content-Length: %d\r\n\r\n" % count


MALFORMED = {
    "no request line": (b"\r\n\r\n\r\n", {400}),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400}),  # TLS
    "half a request line": (b"POST /v1/chat", set()),
    "an unknown method": (b"FLY /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {400, 405}),
    "an unknown version": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", {400, 404}),
    "an absolute target": (b"GET http://other/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {200, 404}),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {400, 404, 405}),
    "a path of odd bytes": (b"GET /v1/models/%ff%00%0d%0a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {404}),
    "a header without a colon": (HEAD + b"what\r\n\r\n", {400}),
    "a header with a NUL": (HEAD + b"X-Request-Id: a\0b\r\n\r\n", {400}),
    "two lengths": (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", {400}),
    "a length and chunks": (HEAD + b"Transfer-Encoding: chunked\r\n" + length(4) + b"0\r\n\r\n", {400}),
    "a length that is no number": (HEAD + b"Content-Length: ten\r\n\r\n", {400}),
    "a length below nothing": (HEAD + b"Content-Length: -1\r\n\r\n", {400}),
    "a length that is too large": (HEAD + length(1 << 40), {413}),
    "a length beyond 64 bits": (HEAD + length(1 << 80), {400, 413}),
    "fewer bytes than said": (HEAD + length(len(BODY) + 10) + BODY, {408}),
    "more bytes than said": (HEAD + length(len(BODY)) + BODY + b"more" * 100, {200}),
    "chunks that are none": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY, {400}),
    "a chunk that is too large": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n" + BODY, {400}),
    "chunks that stop": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", {408}),
    "an unknown coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + BODY, {400, 501}),
    "a huge header": (HEAD + b"X-Cput-Workload: " + b"a" * 100_000 + b"\r\n\r\n", {400, 431}),
    "many headers": (HEAD + b"".join(b"X-%d: 1\r\n" % at for at in range(9000)) + b"\r\n", {400, 431}),
    "a huge request line": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", {400, 414, 431}),
    "a deep body": (HEAD + length(200_000) + b"[" * 100_000 + b"]" * 100_000, {400}),
    "a deep body of objects": (HEAD + length(600_001) + b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {400}),
    "an upgrade": (HEAD + b"Upgrade: websocket\r\nConnection: upgrade\r\n" + length(len(BODY)) + BODY, {200, 400}),
}


SILENT = {"no request line", "half a request line"}
"""Nothing was asked: the gateway waits for more."""


@pytest.mark.parametrize("then", ["wait", "half", "reset"])
@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_request_is_refused_or_hung_up_on_and_the_next_is_answered(knocked, kind, then):
    raw, allowed = MALFORMED[kind]
    answered = knock(knocked[0], raw, then="half" if kind in SILENT and then == "wait" else then)
    assert answered or then != "wait" or kind in SILENT, "the connection was closed without a word"
    assert not answered or status_of(answered) in allowed, answered[:300]
    still_well(*knocked)


@pytest.mark.parametrize(
    "raw",
    [HEAD + length(len(BODY)) + BODY[:10], HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"],
    ids=["length", "chunks"],
)
def test_a_body_that_does_not_come_is_408(knocked, raw):
    assert status_of(knock(knocked[0], raw, then="wait")) == 408
    still_well(*knocked)


def test_two_requests_at_once_on_one_connection_are_two_answers(knocked):
    one = HEAD.replace(b"Connection: close\r\n", b"") + length(len(BODY)) + BODY
    last = HEAD + length(len(BODY)) + BODY
    answered = knock(knocked[0], one + last, then="wait")
    assert answered.count(b"HTTP/1.1 200") == 2
    assert answered.count(b"one two three") == 2


pieces = st.sampled_from(
    [b"POST ", b"GET ", b"/v1/chat/completions", b"/v1/messages", b"/metrics", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n",
     b"\n", b"\r", b"Host: x\r\n", b"Content-Length: 3\r\n", b"Content-Length: %d\r\n" % len(BODY), BODY, b"\0", b"{}",
     b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n", b" ", b":", b"\xff",
     b"Authorization: Bearer \xff\r\n", b"X-Cput-Deadline-S: 1e9\r\n", b"X-Request-Id: \xc3\xa9\r\n", b"Cookie: a\r\n"]
)  # fmt: skip


@settings(max_examples=150, **FUZZ)
@given(parts=st.lists(pieces | st.binary(max_size=6), max_size=14), then=st.sampled_from(["half", "half", "reset"]))
@example(parts=[HEAD, b"Expect: 100-continue\r\n", length(len(BODY)), BODY], then="half")
def test_any_bytes_are_answered_or_hung_up_on(knocked, parts, then):
    answered = knock(knocked[0], b"".join(parts), then=then)
    assert not answered or 100 <= status_of(answered) < 500, answered[:300]
    assert b"Traceback" not in answered


def test_after_all_of_it_the_gateway_is_well(knocked):
    still_well(*knocked)
