"""Anthropic's Messages and OpenAI's Responses on the same engines, by their official clients."""

import anthropic
import openai
import pytest
from gateways import events, post
from wire_server import stream

from cput.records import Finish

ASKED = {"model": "echo", "max_tokens": 64, "messages": [{"role": "user", "content": "one two three"}]}
CALLED = [
    {"choices": [{"index": 0, "delta": {"content": "Let me look."}}]},
    {
        "choices": [
            {
                "index": 0,
                "delta": {
                    "tool_calls": [
                        {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
                    ]
                },
            }
        ]
    },
    *(
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}}]}
        for part in ('{"city"', ': "Lhasa"}')
    ),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {
        "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}},
    },
]


def called():
    import json

    return stream(b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in CALLED) + b"data: [DONE]\n\n")


@pytest.fixture
def claude(echo):
    return anthropic.Anthropic(base_url=echo.root, api_key="none", max_retries=0)


# Anthropic's Messages


def test_a_message_is_answered_whole(echo, claude):
    answer = claude.messages.create(**ASKED, system="be brief")
    call, attempt = echo.only()
    assert (answer.id, answer.content[0].text, answer.stop_reason) == (f"msg_{call.id}", "one two three", "end_turn")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 3)
    assert attempt.usage.output == 3


def test_a_message_is_streamed_piece_by_piece(echo, claude):
    with claude.messages.stream(**ASKED) as streamed:
        texts = list(streamed.text_stream)
        final = streamed.get_final_message()
    assert texts == ["one ", "two ", "three"]
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 3, 3)


def test_the_bound_on_tokens_is_max_tokens(claude):
    assert claude.messages.create(**{**ASKED, "max_tokens": 1}).stop_reason == "max_tokens"


async def test_an_empty_answer_is_a_message_too(echo):
    asked = {**ASKED, "messages": [{"role": "user", "content": "x"}], "stop_sequences": ["x"]}
    found = [event["type"] for event in await events(echo, "/v1/messages", asked)]
    assert found == ["message_start", "message_delta", "message_stop"]


def test_tools_go_to_an_upstream_and_their_calls_come_back(remote, server):
    client = anthropic.Anthropic(base_url=remote.root, api_key="none", max_retries=0)
    tools = [{"name": "weather", "description": "d", "input_schema": {"type": "object"}}]
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    earlier = [
        {"role": "user", "content": [{"type": "text", "text": "and here?"}, picture]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c0", "name": "weather", "input": {"city": "X"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c0", "content": "rain"}]},
    ]
    asked = {"model": "m", "max_tokens": 50, "messages": earlier, "tools": tools, "tool_choice": {"type": "any"}}
    server.next = [called(), called()]
    whole = client.messages.create(**asked)
    text, call = whole.content
    assert (text.text, call.type, call.id, call.name, call.input) == (
        "Let me look.",
        "tool_use",
        "c1",
        "weather",
        {"city": "Lhasa"},
    )
    assert (whole.stop_reason, whole.usage.input_tokens, whole.usage.cache_read_input_tokens) == ("tool_use", 5, 4)
    body = server.bodies[0]
    assert body["tool_choice"] == "required"
    assert body["tools"][0]["function"] == {"name": "weather", "description": "d", "parameters": {"type": "object"}}
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "tool"]
    assert body["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,AAAA"},
    }
    with client.messages.stream(**asked) as streamed:
        final = streamed.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use"]
    assert final.content[1].input == {"city": "Lhasa"}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"tools": [{"name": "t", "input_schema": {}}]}, "tools"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages[0].content[0]"),
        ({"mcp_servers": [{"url": "http://x"}]}, "mcp_servers"),
        ({"max_tokens": None}, "max_tokens"),
    ],
)
async def test_what_can_not_be_honoured_is_refused_in_anthropics_shape(echo, more, param):
    code, _, body = await post(echo, "/v1/messages", {**ASKED, **more})
    assert (code, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert f"'{param}'" in body["error"]["message"]


async def test_errors_of_messages_are_in_anthropics_shape(echo, claude):
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(**{**ASKED, "model": "claude"})
    _, _, body = await post(echo, "/v1/messages", b"{")
    assert body["error"]["type"] == "invalid_request_error"


# OpenAI's Responses


@pytest.fixture
def client(echo):
    return openai.OpenAI(base_url=echo.url, api_key="none", max_retries=0)


def test_a_response_is_answered_whole(echo, client):
    answer = client.responses.create(model="echo", input="one two three", instructions="be brief")
    call, _ = echo.only()
    assert (answer.id, answer.status, answer.output_text) == (f"resp_{call.id}", "completed", "one two three")
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (5, 3, 8)


def test_a_response_is_streamed_with_numbered_events(client):
    found = list(client.responses.create(model="echo", input="one two", stream=True))
    assert [event.sequence_number for event in found] == list(range(len(found)))
    assert [event.type.removeprefix("response.") for event in found] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert found[-1].response.output_text == "one two"


async def test_an_incomplete_response_of_64_tokens_bills_64(echo):
    asked = {"model": "echo", "input": "word " * 100, "max_output_tokens": 64}
    *_, last = await events(echo, "/v1/responses", asked)
    assert (last["type"], last["response"]["incomplete_details"]) == (
        "response.incomplete",
        {"reason": "max_output_tokens"},
    )
    assert last["response"]["usage"]["output_tokens"] == 64
    _, attempt = echo.only()
    assert (attempt.usage.output, attempt.usage.complete, attempt.finish) == (64, True, Finish.LENGTH)


def test_function_calls_of_a_response(remote, server):
    client = openai.OpenAI(base_url=remote.url, api_key="none", max_retries=0)
    given = [
        {"role": "user", "content": [{"type": "input_text", "text": "and here?"}]},
        {"type": "function_call", "call_id": "c0", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c0", "output": "rain"},
    ]
    tools = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}]
    server.next = [called(), called()]
    answer = client.responses.create(model="m", input=given, tools=tools, max_output_tokens=9)
    text, call = answer.output
    assert (text.content[0].text, call.call_id, call.name, call.arguments) == (
        "Let me look.",
        "c1",
        "weather",
        '{"city": "Lhasa"}',
    )
    body = server.bodies[0]
    assert body["max_completion_tokens"] == 9
    assert body["tools"][0]["function"] == {"name": "weather", "parameters": {"type": "object"}, "strict": True}
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "tool"]
    *_, last = client.responses.create(model="m", input=given, tools=tools, stream=True)
    assert last.response.output[1].arguments == '{"city": "Lhasa"}'


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
    ],
)
async def test_what_needs_a_server_that_remembers_is_refused_by_name(echo, more, param):
    code, _, body = await post(echo, "/v1/responses", {"model": "echo", "input": "x", **more})
    assert (code, body["error"]["param"]) == (400, param)


async def test_an_upstream_that_breaks_off_is_an_error_event_in_every_dialect(remote, server):
    part = b'data: {"choices": [{"index": 0, "delta": {"content": "one "}}]}\n\n'
    server.next = [stream(part, "break") for _ in range(2)]
    *_, last = await events(remote, "/v1/messages", {**ASKED, "model": "m"})
    assert (last["type"], last["error"]["type"]) == ("error", "overloaded_error")
    *_, last = await events(remote, "/v1/responses", {"model": "m", "input": "x"})
    assert (last["type"], last["code"]) == ("error", "engine_unavailable")
    assert [record.attempts[0].finish for record in remote.records()] == [Finish.ERROR, Finish.ERROR]
