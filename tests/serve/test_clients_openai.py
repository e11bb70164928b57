"""The official ``openai`` package, unchanged, in front of both kinds of engines. See also ``test_door_chat``."""

import gateways
import openai
import pytest
from flat_tariff import Flat
from gateways import chat_body
from pydantic import BaseModel
from upstream_words import calls, says
from wire_server import status, stream, until

from cput.records import Finish
from cput.serve.accounts import Accounts
from cput.serve.keys import create

JSON_TEXT = '{"city": "Lhasa", "metres": 3650}'


class Place(BaseModel):
    city: str
    metres: int


class weather(BaseModel):
    """What the weather is like."""

    city: str


def opened(gateway, kind=openai.OpenAI, **options):
    return kind(**{"base_url": gateway.url, "api_key": "none", "max_retries": 0, **options})


@pytest.fixture
def on_echo(echo):
    with opened(echo) as client:
        yield client


@pytest.fixture
def on_remote(remote):
    with opened(remote) as client:
        yield client


# Answers


def test_models_are_listed_and_looked_up(on_echo):
    assert [model.id for model in on_echo.models.list()] == ["echo"]
    assert on_echo.models.retrieve("echo").owned_by == "cput"
    with pytest.raises(openai.NotFoundError):
        on_echo.models.retrieve("none")


async def test_the_asynchronous_client_asks_eight_at_once_and_streams(echo):
    import asyncio

    async with opened(echo, openai.AsyncOpenAI) as client:
        asked = [client.chat.completions.create(**chat_body(f"call {at}")) for at in range(8)]
        assert {answer.choices[0].message.content for answer in await asyncio.gather(*asked)} == {
            f"call {at}" for at in range(8)
        }
        streamed = await client.chat.completions.create(**chat_body("one two"), stream=True)
        texts = [chunk.choices[0].delta.content async for chunk in streamed]
    assert "".join(text or "" for text in texts) == "one two"
    assert len(echo.records()) == 9


@pytest.mark.parametrize("door", ["echo", "remote"])
def test_the_streaming_helper_puts_the_answer_together_with_its_usage(door, request):
    gateway = request.getfixturevalue(door)
    asked = chat_body("one two three", stream_options={"include_usage": True})
    with opened(gateway) as client, client.chat.completions.stream(**asked) as streamed:
        said = [event.delta for event in streamed if event.type == "content.delta"]
        final = streamed.get_final_completion()
    assert [part for part in said if part] == ["one ", "two ", "three"]
    assert (final.choices[0].message.content, final.choices[0].finish_reason) == ("one two three", "stop")
    assert final.usage.completion_tokens == 3
    assert gateway.only()[1].usage.output == 3


def test_completions_of_an_engine_of_text_streamed_with_usage(on_echo, echo):
    asked = {"model": "echo", "prompt": "a b c", "max_tokens": 2, "stream_options": {"include_usage": True}}
    *chunks, last = on_echo.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "a b "
    assert chunks[-1].choices[0].finish_reason == "length"
    assert (last.choices, last.usage.total_tokens) == ([], 5)
    assert last.id == f"cmpl-{echo.only()[0].id}"


def test_a_schema_goes_in_as_a_class_and_comes_back_as_an_object(on_echo):
    parsed = on_echo.chat.completions.parse(**chat_body(JSON_TEXT), response_format=Place)
    assert parsed.choices[0].message.parsed == Place(city="Lhasa", metres=3650)
    answer = on_echo.responses.parse(model="echo", input=JSON_TEXT, text_format=Place)
    assert answer.output_parsed == Place(city="Lhasa", metres=3650)


def test_a_schema_goes_to_the_upstream_as_it_is(on_remote, server):
    server.next = [says('{"city": ', '"Lhasa", "metres": 1}'), says('{"city": ', '"Lhasa", "metres": 1}')]
    parsed = on_remote.chat.completions.parse(**chat_body(model="m"), response_format=Place)
    assert parsed.choices[0].message.parsed == Place(city="Lhasa", metres=1)
    answer = on_remote.responses.parse(model="m", input="where?", text_format=Place)
    assert answer.output_parsed == Place(city="Lhasa", metres=1)
    for body in server.bodies:
        form = body["response_format"]
        assert (form["type"], form["json_schema"]["strict"]) == ("json_schema", True)
        assert form["json_schema"]["schema"]["required"] == ["city", "metres"]


def test_tools_are_called_streamed_and_parsed(on_remote, server):
    tools = [openai.pydantic_function_tool(weather)]
    server.next = [calls("weather", '{"ci', 'ty": "Lhasa"}') for _ in range(2)]
    parsed = on_remote.chat.completions.parse(**chat_body(model="m"), tools=tools)
    (call,) = parsed.choices[0].message.tool_calls
    assert (call.function.parsed_arguments, parsed.choices[0].finish_reason) == (weather(city="Lhasa"), "tool_calls")
    with on_remote.chat.completions.stream(**chat_body(model="m"), tools=tools) as streamed:
        done = [event for event in streamed if event.type == "tool_calls.function.arguments.done"]
    assert [(event.name, event.parsed_arguments) for event in done] == [("weather", weather(city="Lhasa"))]
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    turns = [{"role": "user", "content": "?"}, parsed.choices[0].message.model_dump(exclude_none=True), result]
    server.next = [says("It ", "rains.")]
    answer = on_remote.chat.completions.create(model="m", messages=turns, tools=tools)
    assert answer.choices[0].message.content == "It rains."
    assert [turn["role"] for turn in server.bodies[-1]["messages"]] == ["user", "assistant", "tool"]


def test_the_helper_for_responses_follows_its_events(on_echo, echo):
    with on_echo.responses.stream(model="echo", input="one two three") as streamed:
        deltas = [event.delta for event in streamed if event.type == "response.output_text.delta"]
        final = streamed.get_final_response()
    assert (deltas, final.output_text, final.status) == (["one ", "two ", "three"], "one two three", "completed")
    assert final.usage.total_tokens == 6
    assert final.id == f"resp_{echo.only()[0].id}"


def test_the_helper_for_responses_follows_a_function_call(on_remote, server):
    server.next = [calls("weather", '{"ci', 'ty": "Lhasa"}')]
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
    with on_remote.responses.stream(model="m", input="?", tools=[tool]) as streamed:
        done = [event for event in streamed if event.type == "response.function_call_arguments.done"]
        (call,) = streamed.get_final_response().output
    assert [event.arguments for event in done] == ['{"city": "Lhasa"}']
    assert (call.type, call.name, call.call_id) == ("function_call", "weather", "call_1")


# Ids


def test_raw_responses_have_the_request_id_and_the_calls(on_echo, echo):
    raw = on_echo.chat.completions.with_raw_response.create(**chat_body(), extra_headers={"X-Request-Id": "mine-7"})
    assert raw.request_id == raw.headers["x-request-id"] == "mine-7"
    assert raw.headers["x-cput-call-id"] == echo.only()[0].id
    assert raw.parse().choices[0].message.content == "one two three"
    assert on_echo.chat.completions.create(**chat_body())._request_id
    with on_echo.chat.completions.with_streaming_response.create(**chat_body(stream=True)) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert list(response.iter_lines())[-2:] == ["data: [DONE]", ""]


# Errors


def test_errors_are_the_clients_own_classes_with_code_field_and_request_id(on_echo):
    with pytest.raises(openai.NotFoundError) as missing:
        on_echo.chat.completions.create(**chat_body(model="gpt-4o"))
    assert (missing.value.code, missing.value.param, missing.value.type) == (
        "model_not_found",
        "model",
        "not_found_error",
    )
    assert missing.value.request_id
    with pytest.raises(openai.BadRequestError) as wrong:
        on_echo.chat.completions.create(**chat_body(n=2))
    assert (wrong.value.code, wrong.value.param) == ("unsupported_parameter", "n")
    with pytest.raises(openai.BadRequestError) as long:
        on_echo.chat.completions.create(**chat_body("word " * 600))
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError):
        on_echo.files.list()
    with pytest.raises(openai.BadRequestError, match="makes no embeddings"):
        on_echo.embeddings.create(model="echo", input="x")


def test_an_upstreams_errors_are_the_clients_own_classes_too(on_remote, server):
    server.next = [
        status(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"}),
        status(500, {"error": {"message": "boom"}}),
        status(401, {"error": {"message": "bad key"}}),
        status(422, {"error": {"message": "what?"}}),
    ]
    with pytest.raises(openai.RateLimitError) as limited:
        on_remote.chat.completions.create(**chat_body(model="m"))
    assert limited.value.response.headers["retry-after"] == "7"
    for _ in range(2):  # an upstream's failure, and our own credentials there
        with pytest.raises(openai.InternalServerError) as broken:
            on_remote.chat.completions.create(**chat_body(model="m"))
        assert (broken.value.status_code, isinstance(broken.value, openai.APIStatusError)) == (502, True)
    with pytest.raises(openai.UnprocessableEntityError):
        on_remote.chat.completions.create(**chat_body(model="m"))


def test_the_client_itself_asks_again_after_the_time_it_is_told(remote, server):
    import time

    server.next = [status(429, {"error": {"message": "slow down"}}, {"Retry-After": "1"})]
    began = time.monotonic()
    with opened(remote, max_retries=1) as client:
        assert client.chat.completions.create(**chat_body(model="m")).choices[0].message.content == "one two three"
    assert time.monotonic() - began >= 1
    assert [record.attempts[0].finish for record in remote.records()] == [Finish.ERROR, Finish.STOP]


def test_an_error_in_mid_stream_is_raised_and_not_an_end(on_remote, server):
    first = b'data: {"choices": [{"index": 0, "delta": {"content": "one "}}]}\n\n'
    server.next = [stream(first, "break") for _ in range(2)]
    streamed = on_remote.chat.completions.create(**chat_body(model="m"), stream=True)
    assert next(streamed).choices[0].delta.content == "one "
    with pytest.raises(openai.APIError):
        list(streamed)
    *_, last = on_remote.responses.create(model="m", input="?", stream=True)
    assert (last.type, last.code) == ("error", "engine_unavailable")  # in this dialect it is an event


def test_keys_are_refused_with_the_clients_own_classes(book):
    named = create(book, "shop", tenant="shop", models=("gpt-*",)).secret
    with gateways.running(gateways.echo_door(book, gate=Accounts(book, Flat()))) as gateway:
        with opened(gateway, api_key="sk-wrong") as client, pytest.raises(openai.AuthenticationError) as refused:
            client.chat.completions.create(**chat_body())
        assert refused.value.code == "invalid_api_key"
        with opened(gateway, api_key=named) as client, pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(**chat_body())


# Hang-ups


async def test_a_stream_that_is_closed_halfway_is_one_cancelled_row(remote, server):
    server.token_s = 0.01
    with opened(remote) as client:
        streamed = client.chat.completions.create(**chat_body("word " * 400, model="m"), stream=True)
        for _ in range(4):
            next(streamed)
        streamed.close()
        await until(lambda: server.hung_up_at and remote.records())
    _, attempt = remote.only()
    assert (attempt.finish, attempt.usage.complete) == (Finish.CANCELLED, False)
    assert 1 <= attempt.usage.output < 400


async def test_a_client_that_loses_patience_leaves_a_cancelled_row_each_time(remote, server):
    server.token_s = 0.05
    with opened(remote, timeout=0.3, max_retries=1) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(**chat_body("word " * 400, model="m"))
    await until(lambda: len(remote.records()) == 2)
    assert {record.attempts[0].finish for record in remote.records()} == {Finish.CANCELLED}
