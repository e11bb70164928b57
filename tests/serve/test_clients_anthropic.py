"""The official ``anthropic`` package, unchanged, in front of both kinds of engines. See also ``test_door_dialects``."""

import anthropic
import gateways
import pytest
from flat_tariff import Flat
from upstream_words import calls, says
from wire_server import status, stream, until

from cput.records import Finish
from cput.serve.accounts import Accounts
from cput.serve.keys import create

ASKED = {"model": "echo", "max_tokens": 64, "messages": [{"role": "user", "content": "one two three"}]}
TOOL = {"name": "weather", "description": "what it is like", "input_schema": {"type": "object"}}


def opened(gateway, kind=anthropic.Anthropic, **options):
    return kind(**{"base_url": gateway.root, "api_key": "none", "max_retries": 0, **options})


@pytest.fixture
def on_echo(echo):
    with opened(echo) as client:
        yield client


@pytest.fixture
def on_remote(remote):
    with opened(remote) as client:
        yield client


def test_models_are_listed_and_looked_up(on_echo):
    assert [(model.id, model.type) for model in on_echo.models.list()] == [("echo", "model")]
    assert on_echo.models.retrieve("echo").display_name == "echo"


def test_raw_events_come_in_anthropics_order(on_echo):
    found = [event.type for event in on_echo.messages.create(**ASKED, stream=True)]
    assert found == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_the_asynchronous_client_streams(echo):
    async with opened(echo, anthropic.AsyncAnthropic) as client, client.messages.stream(**ASKED) as streamed:
        texts = [text async for text in streamed.text_stream]
        final = await streamed.get_final_message()
    assert (texts, final.usage.output_tokens) == (["one ", "two ", "three"], 3)
    assert final.id == f"msg_{echo.only()[0].id}"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_usage_is_counted_as_the_upstream_counts_it(remote, on_remote, server, streamed):
    server.next = [says("one ", "two", prompt_tokens=11, completion_tokens=5)]
    asked = {**ASKED, "model": "m"}
    if streamed:
        with on_remote.messages.stream(**asked) as messages:
            answer = messages.get_final_message()
    else:
        answer = on_remote.messages.create(**asked)
    assert (answer.content[0].text, answer.usage.input_tokens, answer.usage.output_tokens) == ("one two", 11, 5)
    _, attempt = remote.only()
    assert (attempt.usage.input, attempt.usage.output, attempt.usage.complete) == (11, 5, True)


def test_a_tool_is_called_and_its_result_goes_on(on_remote, server):
    asked = {**ASKED, "model": "m", "tools": [TOOL]}
    server.next = [calls("weather", '{"ci', 'ty": "Lhasa"}')]
    with on_remote.messages.stream(**asked) as streamed:
        first = streamed.get_final_message()
    (call,) = first.content
    assert (call.name, call.input, first.stop_reason) == ("weather", {"city": "Lhasa"}, "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "rain"}]}
    turns = [
        *ASKED["messages"],
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    server.next = [says("It rains.")]
    second = on_remote.messages.create(**{**asked, "messages": turns})
    assert (second.content[0].text, second.stop_reason) == ("It rains.", "end_turn")
    assert server.bodies[-1]["messages"][1]["tool_calls"][0]["id"] == call.id
    assert server.bodies[-1]["messages"][2] == {"role": "tool", "tool_call_id": call.id, "content": "rain"}


def test_a_request_id_comes_back(on_echo):
    assert on_echo.messages.create(**ASKED)._request_id
    raw = on_echo.messages.with_raw_response.create(**ASKED, extra_headers={"X-Request-Id": "mine-3"})
    assert (raw.request_id, raw.parse().content[0].text) == ("mine-3", "one two three")


def test_errors_are_the_clients_own_classes(on_echo, on_remote, server):
    with pytest.raises(anthropic.NotFoundError) as missing:
        on_echo.messages.create(**{**ASKED, "model": "claude"})
    assert missing.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as wrong:
        on_echo.messages.create(**ASKED, tools=[TOOL])
    assert "'tools'" in wrong.value.body["error"]["message"]
    with pytest.raises(anthropic.NotFoundError) as uncounted:
        on_echo.messages.count_tokens(model="echo", messages=ASKED["messages"])
    assert uncounted.value.body["type"] == "error"
    server.next = [
        status(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"}),
        status(500, {"error": {"message": "boom"}}),
    ]
    with pytest.raises(anthropic.RateLimitError) as limited:
        on_remote.messages.create(**{**ASKED, "model": "m"})
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(anthropic.InternalServerError) as broken:
        on_remote.messages.create(**{**ASKED, "model": "m"})
    assert broken.value.status_code == 502


def test_an_error_in_mid_stream_is_raised_and_not_an_end(on_remote, server):
    first = b'data: {"choices": [{"index": 0, "delta": {"content": "one "}}]}\n\n'
    server.next = [stream(first, "break")]
    with pytest.raises(anthropic.APIError), on_remote.messages.stream(**{**ASKED, "model": "m"}) as streamed:
        streamed.get_final_message()


@pytest.mark.parametrize("header", ["api_key", "auth_token"])
def test_a_key_goes_in_either_header(book, header):
    secret = create(book, "shop", tenant="shop").secret
    with gateways.running(gateways.echo_door(book, gate=Accounts(book, Flat()))) as gateway:
        with anthropic.Anthropic(base_url=gateway.root, max_retries=0, **{header: secret}) as client:
            assert client.messages.create(**ASKED).content[0].text == "one two three"
        with opened(gateway) as client, pytest.raises(anthropic.AuthenticationError):
            client.messages.create(**ASKED)
        assert gateway.only()[0].tenant == "shop"


async def test_a_stream_that_is_left_halfway_is_one_cancelled_row(remote, server):
    server.token_s = 0.01
    asked = {**ASKED, "model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "word " * 400}]}
    with opened(remote) as client:
        with client.messages.stream(**asked) as streamed:
            for _, _ in zip(streamed.text_stream, range(4), strict=False):
                pass
        await until(lambda: server.hung_up_at and remote.records())
    _, attempt = remote.only()
    assert (attempt.finish, attempt.usage.complete) == (Finish.CANCELLED, False)
    assert 1 <= attempt.usage.output < 400
