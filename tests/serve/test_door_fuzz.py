"""Whatever an upstream sends, and whatever comes over the socket: an answer or an error in good form, and one row."""

import asyncio
import json

import gateways
import jsonschema
import pytest
from gateways import post
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_server import status, stream

from cput.ledger.store import Ledger
from cput.records import Finish
from cput.serve.openapi.document import document

DOCUMENT = document()
PATHS = [path for path, methods in DOCUMENT["paths"].items() if "text/event-stream" in str(methods)]
FUZZ = {"deadline": None, "suppress_health_check": list(HealthCheck)}
WITHIN_S = 20


# What upstreams send

odd = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**20)
    | st.floats()
    | st.sampled_from(["", "stop", "length", "tool_calls", "content_filter", "x", "0", "é\U0001f600", "\ud800", "\0"])
)
oddities = st.recursive(
    odd,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["content", "x"]), inner),
    max_leaves=4,
)


def mostly(good):
    """A field of the right kind, and now and then any other."""
    return st.one_of(good, good, good, oddities)


def thing(**fields):
    return mostly(st.fixed_dictionaries({}, optional=fields))


text = mostly(st.sampled_from(["a", "b c", "", "né"]))
function = thing(name=mostly(st.just("f")), arguments=mostly(st.sampled_from(["{", "}", '{"a":1}'])))
tool = thing(
    index=mostly(st.integers(0, 2)), id=mostly(st.just("c1")), type=mostly(st.just("function")), function=function
)
spoken = thing(
    role=text, content=text, refusal=text, reasoning_content=text, tool_calls=mostly(st.lists(tool, max_size=2))
)
scored = thing(token=text, logprob=mostly(st.floats(-5, 0)), top_logprobs=mostly(st.just([])))
logprobs = thing(content=mostly(st.lists(scored, max_size=2)), token_logprobs=mostly(st.just([-1.0])))
choice = thing(
    index=mostly(st.integers(0, 2)),
    delta=spoken,
    message=spoken,
    text=text,
    logprobs=logprobs,
    finish_reason=mostly(st.sampled_from([None, "stop", "length", "tool_calls"])),
)
counts = mostly(st.integers(0, 99))
usage = thing(
    prompt_tokens=counts,
    completion_tokens=counts,
    total_tokens=counts,
    prompt_tokens_details=thing(cached_tokens=counts),
    completion_tokens_details=thing(reasoning_tokens=counts),
)
chunk = thing(
    id=text,
    model=text,
    object=text,
    choices=mostly(st.lists(choice, max_size=3)),
    usage=usage,
    error=mostly(st.none()),
    service_tier=text,
    system_fingerprint=text,
)
event = st.one_of(
    chunk.map(lambda said: b"data: " + json.dumps(said).encode()), st.just(b"data: [DONE]"), st.just(b": hi")
)
answers = st.lists(st.one_of(event, event, event, st.binary(max_size=8)), max_size=6)


@st.composite
def sendings(draw):
    """What is streamed, and whether the connection is then cut."""
    end = draw(st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
    said = b"".join(part + end for part in draw(answers))
    return (said, "break") if draw(st.booleans()) else (said,)


def good(path):
    turns = {"messages": [{"role": "user", "content": "a"}]}
    asked = {"/v1/completions": {"prompt": "a"}, "/v1/responses": {"input": "a"}}
    return {"model": "m", "max_tokens": 9, **asked.get(path, turns)}


def described(path, status, kind="application/json"):
    """The schema that the document has for such an answer."""
    content = DOCUMENT["paths"][path]["post"]["responses"][str(status)]["content"][kind]
    return content.get("schema") or content["x-event"]


def valid(value, reference):
    jsonschema.Draft202012Validator({"components": DOCUMENT["components"], **reference}).validate(value)


class Noted:
    """A ledger, and what it was given since somebody last looked."""

    def __init__(self, book):
        self.book = book
        self.next_seq = book.next_seq
        self.given = []
        self.calls = 0

    async def record(self, call, attempts, charges=(), *, run=None):
        await self.book.record(call, attempts, charges, run=run)
        self.given += attempts

    def only(self):
        """The only attempt on record since."""
        (attempt,), self.given = self.given, []
        self.calls += 1
        return attempt


@pytest.fixture(scope="module")
def noted(upstream, tmp_path_factory):
    """A forwarding gateway, and its ledger."""
    with Ledger.open(tmp_path_factory.mktemp("fuzz") / "ledger.db") as book:
        with gateways.running(gateways.remote_door(book, upstream.url)) as gateway:
            gateway.door.tally._ledger = ledger = Noted(book)
            yield gateway, ledger
        assert len(book.calls()) == ledger.calls


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, **FUZZ)
@given(sent=sendings(), streamed=st.booleans())
async def test_whatever_an_upstream_streams_is_an_answer_or_an_error_and_one_row(path, noted, upstream, sent, streamed):
    gateway, ledger = noted
    upstream.next = [stream(*sent)]
    await answered_well(gateway, ledger, path, streamed)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=40, **FUZZ)
@given(said=chunk, streamed=st.booleans())
async def test_whatever_an_upstream_answers_in_one_body_is_an_answer_or_an_error(path, noted, upstream, said, streamed):
    gateway, ledger = noted
    upstream.next = [stream(json.dumps(said).encode(), content_type="application/json")]
    await answered_well(gateway, ledger, path, streamed)


async def answered_well(gateway, ledger, path, streamed):
    ledger.given = []
    async with asyncio.timeout(WITHIN_S):
        code, headers, body = await post(gateway, path, good(path) | {"stream": streamed})
    assert code in {200, 502, 503}, body
    kind = headers["content-type"].partition(";")[0]
    if kind == "text/event-stream":
        *events, last = gateways.parsed(body)
        for each in events:
            valid(each, described(path, 200, kind))
        if last != "[DONE]":
            valid(last, {"anyOf": [described(path, 200, kind), described(path, 400)]})
    else:
        valid(body, described(path, code))
    assert "internal_error" not in str(body)
    attempt = ledger.only()
    told = last if kind == "text/event-stream" and isinstance(last, dict) else {}
    failed = code != 200 or bool(told.get("error")) or told.get("type") == "error"
    if path in {"/v1/chat/completions", "/v1/completions"}:
        assert (attempt.finish is Finish.ERROR) == failed, (attempt, body)
    else:  # these two may themselves find that a tool call makes no sense, when all has come
        assert failed or attempt.finish is not Finish.ERROR, (attempt, body)


# What the draws above have found


SPLIT = rb'{"choices": [{"index": 0, "delta": {"content": "\ud83d"}, "text": "\ud83d", "finish_reason": "stop"}]}'


async def test_half_a_character_is_shown_as_one_that_is_missing(remote, server):
    server.next = [stream(b"data: " + SPLIT + b"\n\ndata: [DONE]\n\n")]
    code, _, body = await post(remote, "/v1/chat/completions", good("/v1/chat/completions"))
    assert (code, body["choices"][0]["message"]["content"]) == (200, "\ufffd")


@pytest.mark.parametrize("word", [{"a": 1}, ["a"], 7])
@pytest.mark.parametrize("field", ["model", "service_tier", "finish_reason"])
async def test_a_word_that_is_no_text_says_nothing_and_loses_no_answer(remote, server, field, word):
    said = {"choices": [{"index": 0, "delta": {"content": "one"}}]}
    (said["choices"][0] if field == "finish_reason" else said)[field] = word
    server.next = [stream(b"data: " + json.dumps(said).encode() + b"\n\ndata: [DONE]\n\n")]
    code, _, body = await post(remote, "/v1/chat/completions", good("/v1/chat/completions"))
    assert (code, body["choices"][0]["message"]["content"]) == (200, "one")
    _, attempt = remote.only()
    assert (attempt.finish, attempt.model, attempt.service_tier) == (Finish.STOP, "m", None)


@pytest.mark.parametrize("path", PATHS)
async def test_of_a_delta_and_a_message_in_one_choice_the_delta_is_said(remote, server, path):
    choice = {
        "index": 0,
        "delta": {"content": "one"},
        "message": {"refusal": 7},
        "text": "one",
        "finish_reason": "stop",
    }
    server.next = [status(200, {"choices": [choice]})]
    code, _, body = await post(remote, path, good(path))
    assert (code, "one" in str(body)) == (200, True)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "delta",
    [
        {"refusal": ["no"]},
        {"content": False, "refusal": "no"},
        {"tool_calls": [{"index": 0, "function": {"name": {"a": 1}}}]},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {}}}, "f"]},
        {"tool_calls": {"index": 0}},
    ],
)
async def test_a_part_that_no_dialect_could_say_is_the_upstreams_error(remote, server, path, delta):
    chunk = {"choices": [{"index": 0, "delta": delta}]}
    server.next = [stream(b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n")]
    code, _, body = await post(remote, path, good(path))
    assert (code, "shape" in str(body)) == (502, True)
