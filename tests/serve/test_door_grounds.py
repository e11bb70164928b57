"""A reply says why its engine answered, where a policy chose; official clients take it, and the document describes it."""

import anthropic
import msgspec
import openai
import pytest
from gateways import chat_body, events, post, running
from test_door_openapi import DOCUMENT, valid
from wire_server import stream

from cput.engines.echo import Echo
from cput.ledger.grounds import read_grounds
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.policy.cascade import Cascade, Confidence, Leg, Of, Passes
from cput.policy.explain import Explained
from cput.serve.dialects.base import Takes
from cput.serve.door import Door, Model
from cput.serve.forward import Forward
from cput.serve.serving import Serving, Stack

MESSAGES = [{"role": "user", "content": "one two three"}]
PATHS = {
    "/v1/chat/completions": {"model": "m", "messages": MESSAGES, "max_tokens": 50},
    "/v1/completions": {"model": "m", "prompt": "one two three"},
    "/v1/messages": {"model": "m", "max_tokens": 64, "messages": MESSAGES},
    "/v1/responses": {"model": "m", "input": "one two three"},
}


class Small(Echo):
    def __init__(self):
        super().__init__()
        self.name = "small"


def door_of(book, engine, takes, close):
    door = Door(ledger=book, models={})
    stack = Stack(engine_for=lambda _: engine(door), close=close, policy="two legs")
    door.models = {"m": Model(serving=Serving(stack), takes=takes)}
    return door


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A ledger for gateways that all tests share; starting one takes half a second."""
    with Ledger.open(tmp_path_factory.mktemp("grounds") / "ledger.db") as opened:
        yield opened


@pytest.fixture
def asked(cascade_of_text, book):
    """A gateway in front of a cascade of two engines of text; short answers are good enough for the first."""
    return cascade_of_text.writing_to(book)


@pytest.fixture(scope="module")
def cascade_of_text(shared):
    rule = Passes(lambda _, text: len(text) < 20)
    small, large = Small(), Echo()

    def engine(door):
        legs = [Leg(engine=Metered(small, door.tally), rule=rule), Leg(engine=Metered(large, door.tally))]
        return Explained(Cascade(legs, policy="two legs"), door.ledger)

    with running(door_of(shared, engine, Takes.TEXT, small.aclose)) as gateway:
        yield gateway


WHY = {
    "engine": "small",
    "reason": "stop_rule",
    "options": [
        {"engine": "small", "asked": True, "score": 1.0, "threshold": 1.0},
        {"engine": "echo", "asked": False, "score": None, "threshold": None},
    ],
    "policy": "two legs",
    "propensity": None,
    "source_call": None,
}


def schema_of(path, kind):
    content = DOCUMENT["paths"][path]["post"]["responses"]["200"]["content"]
    return content["application/json"]["schema"] if kind == "whole" else content["text/event-stream"]["x-event"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_whole_reply_says_why(asked, path):
    _, headers, body = await post(asked, path, PATHS[path])
    assert body["cput"] == WHY
    valid(body, schema_of(path, "whole"))
    assert read_grounds(asked.door.ledger, headers["x-cput-call-id"]).chosen == "small"


@pytest.mark.parametrize("path", PATHS)
async def test_the_last_event_of_a_stream_says_why_and_no_other(asked, path):
    found = [event for event in await events(asked, path, PATHS[path]) if event != "[DONE]"]
    for event in found:
        valid(event, schema_of(path, "event"))
    told = [event.get("cput") or event.get("response", {}).get("cput") for event in found]
    assert [why for why in told if why is not None] == [WHY]
    assert told[-2 if path == "/v1/messages" else -1] == WHY  # message_stop has no fields


async def test_with_the_usage_asked_for_its_chunk_is_the_last(asked):
    body = chat_body(model="m", stream_options={"include_usage": True})
    found = [event for event in await events(asked, "/v1/chat/completions", body) if event != "[DONE]"]
    assert ("cput" in found[-1], found[-1]["choices"], "cput" in found[-2]) == (True, [], False)


@pytest.mark.parametrize("path", PATHS)
async def test_where_no_policy_chose_nothing_changes(echo, path):
    body = PATHS[path] | {"model": "echo"}
    _, _, whole = await post(echo, path, body)
    assert "cput" not in whole
    assert "cput" not in str(await events(echo, path, body))


def test_openais_client_takes_it(asked):
    client = openai.OpenAI(base_url=asked.url, api_key="none", max_retries=0)
    answer = client.chat.completions.create(model="m", messages=MESSAGES)
    assert (answer.choices[0].message.content, answer.model_extra["cput"]["engine"]) == ("one two three", "small")
    chunks = list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    assert chunks[-1].model_extra["cput"] == WHY
    assert client.completions.create(model="m", prompt="a b").model_extra["cput"]["reason"] == "stop_rule"
    assert client.responses.create(model="m", input="a b").model_extra["cput"]["engine"] == "small"
    with client.responses.stream(model="m", input="a b") as streamed:
        list(streamed)
        assert streamed.get_final_response().output_text == "a b"
    client.close()


def test_anthropics_client_takes_it(asked):
    client = anthropic.Anthropic(base_url=asked.root, api_key="none", max_retries=0)
    answer = client.messages.create(model="m", max_tokens=64, messages=MESSAGES)
    assert (answer.content[0].text, answer.model_extra["cput"]["engine"]) == ("one two three", "small")
    with client.messages.stream(model="m", max_tokens=64, messages=MESSAGES) as streamed:
        assert "".join(streamed.text_stream) == "one two three"
        assert streamed.get_final_message().stop_reason == "end_turn"
    client.close()


async def test_a_long_answer_goes_to_the_last_leg_and_both_are_attempts(asked):
    _, _, body = await post(asked, "/v1/chat/completions", chat_body("a long one " * 9, model="m"))
    assert (body["cput"]["engine"], body["cput"]["reason"]) == ("echo", "last_leg")
    (record,) = asked.records()
    assert [attempt.engine for attempt in record.attempts] == ["small", "echo"]


# In front of an upstream that is sent the client's own request


@pytest.fixture
def wired(cascade_on_wires, book, server):
    """A gateway in front of a cascade whose two legs are an upstream that speaks the wire format."""
    return cascade_on_wires.writing_to(book)


@pytest.fixture(scope="module")
def cascade_on_wires(shared, upstream):
    leaf = Forward("any", upstream.url, any_model=True)

    def engine(door):
        legs = [
            Leg(engine=Metered(leaf, door.tally), rule=Confidence(Of.MEAN), threshold=0.7),
            Leg(engine=Metered(leaf, door.tally)),
        ]
        return Cascade(legs)

    with running(door_of(shared, engine, Takes.WIRE, leaf.aclose)) as gateway:
        yield gateway


def sure(logprob):
    """An upstream's stream of one token, with its log-probability."""
    said = {"content": [{"token": "yes", "logprob": logprob, "bytes": None, "top_logprobs": []}]}
    chunks = [
        {"model": "up", "choices": [{"index": 0, "delta": {"content": "yes"}, "logprobs": said}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
    ]
    return stream(b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n")


@pytest.mark.parametrize(("logprob", "chosen"), [(-0.1, "stop_rule"), (-2.0, "last_leg")])
async def test_an_upstream_is_asked_for_logprobs_that_the_client_does_not_see(wired, server, logprob, chosen):
    server.next = [sure(logprob)]
    found = await events(wired, "/v1/chat/completions", chat_body("hello", model="m"))
    asked_for = [body.get("logprobs") for body in server.bodies]
    assert asked_for == ([True] if chosen == "stop_rule" else [True, None])
    assert found[-2]["cput"]["reason"] == chosen
    assert found[-2]["cput"]["options"][0]["score"] == pytest.approx(
        msgspec.json.decode(str(2.718281828459045**logprob))
    )
    assert all(choice.get("logprobs") is None for event in found[:-1] for choice in event["choices"])


async def test_a_client_that_asked_for_logprobs_sees_them(wired, server):
    server.next = [sure(-0.1)]
    found = await events(wired, "/v1/chat/completions", chat_body("hello", model="m", logprobs=True, top_logprobs=2))
    assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 2)
    assert any(choice.get("logprobs") for event in found[:-1] for choice in event["choices"])


async def test_a_request_with_tools_goes_to_the_last_leg_as_it_came(wired, server):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    found = await events(wired, "/v1/chat/completions", chat_body("hello", model="m", tools=tools))
    (body,) = server.bodies
    assert (body["tools"], "logprobs" in body) == (tools, False)
    assert [option["asked"] for option in found[-2]["cput"]["options"]] == [False, True]
