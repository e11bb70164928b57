"""Chat completions through the door: what the client sees, what the upstream is asked, what is on record."""

import time

import gateways
import openai
import pytest
from gateways import chat_body, events, post, said
from wire_server import status, stream, until

from cput.records import CountedBy, Finish
from cput.serve.outcomes import call_id_of


def client(gateway, key="none"):
    return openai.OpenAI(base_url=gateway.url, api_key=key, max_retries=0)


def data(*chunks):
    import json

    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in chunks]
    return b"".join(b"data: " + part + b"\n\n" for part in parts)


def delta(text, **more):
    return {"choices": [{"index": 0, "delta": {"content": text}, **more}]}


# Any engine


def test_a_whole_answer_is_on_record_before_the_client_has_it(echo):
    answer = client(echo).chat.completions.create(**chat_body("one two three"))
    assert answer.choices[0].message.content == "one two three"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 3, 6)
    call, attempt = echo.only()
    assert answer.id == f"chatcmpl-{call.id}"
    assert call_id_of(answer.id) == call.id
    assert (attempt.finish, attempt.usage.output, attempt.usage.complete) == (Finish.STOP, 3, True)
    assert call.policy == "echoes"


def test_a_streamed_answer_has_a_chunk_for_every_piece_of_the_engine(echo):
    chunks = list(client(echo).chat.completions.create(**chat_body("one two three"), stream=True))
    texts = [chunk.choices[0].delta.content for chunk in chunks]
    assert texts == ["", "one ", "two ", "three", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_usage_chunk_comes_only_where_it_is_asked_for(echo):
    asked = chat_body(stream_options={"include_usage": True})
    *_, last = client(echo).chat.completions.create(**asked, stream=True)
    assert (last.choices, last.usage.completion_tokens) == ([], 3)


async def test_prompts_and_answers_are_not_kept(echo):
    await post(echo, "/v1/chat/completions", chat_body("a secret wish"))
    call, attempt = echo.only()
    assert (call.messages, call.prompt, attempt.text) == ((), None, None)


async def test_the_bound_on_tokens_ends_the_answer_with_length(echo):
    _, _, body = await post(echo, "/v1/chat/completions", chat_body(max_completion_tokens=2))
    assert (body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"]) == ("one two ", "length")


async def test_logprobs_are_given_token_by_token(echo):
    _, _, body = await post(echo, "/v1/chat/completions", chat_body(logprobs=True))
    tokens = body["choices"][0]["logprobs"]["content"]
    assert [(token["token"], token["logprob"]) for token in tokens] == [("one ", 0.0), ("two ", 0.0), ("three", 0.0)]
    chunks = await events(echo, "/v1/chat/completions", chat_body(logprobs=True))
    assert chunks[1]["choices"][0]["logprobs"]["content"][0]["token"] == "one "


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("tool_choice", "required"),
        ("logit_bias", {"1": 5}),
        ("top_logprobs", 3),
        ("store", True),
        ("reasoning_effort", "high"),
        ("a_field_of_tomorrow", 1),
    ],
)
async def test_what_an_engine_of_text_can_not_honour_is_refused_by_name(echo, field, value):
    code, _, body = await post(echo, "/v1/chat/completions", chat_body(**{field: value}))
    assert (code, body["error"]["param"], body["error"]["code"]) == (400, field, "unsupported_parameter")
    assert echo.records() == ()


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]},
        {"role": "user", "content": None},
        {"content": "who?"},
        "hello",
    ],
)
async def test_turns_that_are_not_text_are_refused_by_place(echo, turn):
    code, _, body = await post(echo, "/v1/chat/completions", {"model": "echo", "messages": [turn]})
    assert code == 400
    assert body["error"]["param"].startswith("messages[0]")


async def test_what_asks_for_nothing_special_is_taken(echo):
    asked = chat_body(
        n=1, tools=[], store=False, logit_bias={}, user="u", seed=None, service_tier="auto", metadata={"shop": "7"}
    )
    code, _, _ = await post(echo, "/v1/chat/completions", asked)
    assert code == 200
    assert echo.only()[0].tags == {"shop": "7"}


# Failures of the client's making


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"[1]", "invalid_json", None),
        (b'{"model": "echo", "messages": "\xff"}', "invalid_json", None),
        (b"[" * 100_000, "invalid_json", None),
        (b'{"a":' * 80 + b"1" + b"}" * 80, "invalid_json", None),
        ({"messages": []}, "missing_required_parameter", "model"),
        ({"model": 3, "messages": []}, "invalid_type", "model"),
        ({"model": "echo"}, "missing_required_parameter", "messages"),
        ({"model": "echo", "messages": []}, "invalid_type", "messages"),
        (chat_body(temperature="hot"), "invalid_type", "temperature"),
        (chat_body(max_tokens=0), "invalid_value", "max_tokens"),
        (chat_body(response_format={"type": "yaml"}), "invalid_value", "response_format.type"),
        (chat_body(metadata={"a": 1}), "invalid_type", "metadata[...]"),
    ],
)
async def test_a_wrong_body_is_one_sentence_in_openais_shape(echo, body, code, param):
    found, _, answer = await post(echo, "/v1/chat/completions", body)
    error = answer["error"]
    assert (found, error["code"], error["param"], error["type"]) == (400, code, param, "invalid_request_error")


async def test_a_body_beyond_the_limit_is_refused(book):
    door = gateways.echo_door(book)
    door.limits = type(door.limits)(body_bytes=1000)
    with gateways.running(door) as gateway:
        code, _, body = await post(gateway, "/v1/chat/completions", chat_body("a" * 2000))
    assert (code, body["error"]["code"]) == (413, "request_too_large")


async def test_an_unknown_model_is_404_and_names_the_nearest(echo):
    code, _, body = await post(echo, "/v1/chat/completions", chat_body(model="ecko"))
    assert (code, body["error"]["code"]) == (404, "model_not_found")
    assert "did you mean 'echo'" in body["error"]["message"]
    with pytest.raises(openai.NotFoundError):
        client(echo).chat.completions.create(**chat_body(model="gpt-4o"))


async def test_a_prompt_that_is_too_long_is_openais_own_error(echo):
    code, _, body = await post(echo, "/v1/chat/completions", chat_body("word " * 600))
    assert (code, body["error"]["code"]) == (400, "context_length_exceeded")
    assert len(echo.records()) == 1


async def test_a_deadline_breaks_the_call_off(book):
    with gateways.running(gateways.echo_door(book, token_s=0.05)) as gateway:
        headers = {"X-Cput-Deadline-S": "0.12"}
        code, _, body = await post(gateway, "/v1/chat/completions", chat_body("a " * 50), headers)
        assert (code, body["error"]["code"]) == (504, "deadline_exceeded")
        _, attempt = gateway.only()
    assert (attempt.finish, attempt.usage.complete) == (Finish.CANCELLED, False)
    assert 0 < attempt.usage.output < 50


# A remote upstream


def test_what_the_client_says_goes_to_the_upstream_as_it_is(remote, server):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    picture = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    asked = {
        "model": "m-1",
        "messages": [{"role": "user", "content": picture}],
        "tools": tools,
        "n": 2,
        "max_tokens": 9,
    }
    server.next = [stream(data(delta("yes", finish_reason="stop"), b"[DONE]"))]
    client(remote).chat.completions.create(**asked, extra_body={"field_of_tomorrow": {"a": [1]}})
    (body,) = server.bodies
    assert body == asked | {"field_of_tomorrow": {"a": [1]}}  # a whole answer is asked for as a whole
    assert server.headers[0]["Authorization"] == f"Bearer {gateways.UPSTREAM_KEY}"


def test_a_stream_without_include_usage_is_metered_and_the_extra_chunk_hidden(remote, server):
    chunks = list(client(remote).chat.completions.create(**chat_body(model="m"), stream=True))
    assert server.bodies[0]["stream_options"] == {"include_usage": True}
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    _, attempt = remote.only()
    assert (attempt.usage.output, attempt.usage.complete, attempt.usage.counted_by) == (3, True, CountedBy.PROVIDER)


def test_a_whole_answer_that_nobody_counted_is_unknown_and_not_one_token(remote, server):
    server.sends_usage = False
    answer = client(remote).chat.completions.create(**chat_body("one two three", model="m"))
    assert (answer.choices[0].message.content, answer.usage) == ("one two three", None)
    _, attempt = remote.only()
    assert (attempt.usage.output, attempt.usage.complete, attempt.ttft_s) == (None, False, None)


def test_the_upstreams_usage_is_given_as_it_came(remote, server):
    server.usage_extra = {"prompt_tokens_details": {"cached_tokens": 2}}
    answer = client(remote).chat.completions.create(**chat_body(model="m"))
    assert answer.usage.prompt_tokens_details.cached_tokens == 2


def test_tool_calls_come_through_streamed_and_whole(remote, server):
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    parts = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": [first]}}]},
        *(
            {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}}]}
            for part in ('{"ci', 'ty": "Lhasa"}')
        ),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}},
        b"[DONE]",
    ]
    server.next = [stream(data(*parts)), stream(data(*parts))]
    whole = client(remote).chat.completions.create(**chat_body(model="m"))
    (call,) = whole.choices[0].message.tool_calls
    assert (call.id, call.function.name, call.function.arguments) == ("c1", "weather", '{"city": "Lhasa"}')
    assert (whole.choices[0].finish_reason, whole.choices[0].message.content) == ("tool_calls", None)
    chunks = list(client(remote).chat.completions.create(**chat_body(model="m"), stream=True))
    calls = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or ()]
    assert "".join(part.function.arguments for part in calls) == '{"city": "Lhasa"}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_several_choices_come_through_streamed_and_whole(remote, server):
    parts = [
        {"choices": [{"index": at, "delta": {"content": text}}]}
        for at, text in [(0, "a"), (1, "x"), (0, "b"), (1, "y")]
    ]
    parts += [
        {"choices": [{"index": at, "delta": {}, "finish_reason": why}]} for at, why in [(0, "stop"), (1, "length")]
    ]
    server.next = [stream(data(*parts, b"[DONE]")), stream(data(*parts, b"[DONE]"))]
    whole = client(remote).chat.completions.create(**chat_body(model="m", n=2))
    said_whole = [(choice.message.content, choice.finish_reason) for choice in whole.choices]
    assert said_whole == [("ab", "stop"), ("xy", "length")]
    texts, reasons = {0: "", 1: ""}, {}
    for chunk in client(remote).chat.completions.create(**chat_body(model="m", n=2), stream=True):
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        reasons |= {choice.index: choice.finish_reason} if choice.finish_reason else {}
    assert (texts, reasons) == ({0: "ab", 1: "xy"}, {0: "stop", 1: "length"})


async def test_paced_chunks_are_neither_merged_nor_lost_and_come_while_the_upstream_still_sends(remote, server):
    count, sent = 64, []

    async def paced(served, request, body):
        import asyncio

        response = await served.begin(request)
        for at in range(count):
            sent.append(time.perf_counter())
            await served.send(response, delta(f"{at} "))
            await asyncio.sleep(0.02)
        await served.write(response, data(delta("", finish_reason="stop"), b"[DONE]"))
        await response.write_eof()
        return response

    server.next = [paced]
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.post(remote.url + "/chat/completions", json=chat_body(model="m", stream=True)) as response,
    ):
        lines = [(time.perf_counter(), line) async for line in response.content]
    got = [(at, gateways.parsed(line)[0]) for at, line in lines if line.startswith(b"data: {")]
    texts = [(at, chunk["choices"][0]["delta"].get("content")) for at, chunk in got]
    texts = [(at, text) for at, text in texts if text]
    assert [text for _, text in texts] == [f"{at} " for at in range(count)]
    # Each one was read by the client before the upstream had sent the fifth after it (100 ms later).
    assert all(at < sent[number + 5] for number, (at, _) in enumerate(texts[:-5]))


# Hang-ups


@pytest.mark.parametrize("chunks", [1, 5])
async def test_a_client_that_hangs_up_cancels_the_upstream_and_leaves_one_row(remote, server, chunks):
    server.token_s = 0.01
    import aiohttp

    async with aiohttp.ClientSession() as session:
        body = chat_body("word " * 400, model="m", stream=True)
        async with session.post(remote.url + "/chat/completions", json=body) as response:
            read = 0
            async for line in response.content:
                read += line.startswith(b"data:")
                if read == chunks + 1:
                    response.close()
                    break
    await until(lambda: server.hung_up_at and remote.records())
    _, attempt = remote.only()
    usage = attempt.usage
    assert (attempt.finish, usage.complete, usage.counted_by) == (Finish.CANCELLED, False, CountedBy.ESTIMATED)
    assert chunks <= usage.output < 400


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_hangs_up_before_the_first_token_cancels_the_upstream(remote, server, streamed):
    import asyncio

    import aiohttp

    async def slow(served, request, body):
        await asyncio.sleep(30)

    server.next = [slow]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3)) as session:
        with pytest.raises(TimeoutError):
            await session.post(remote.url + "/chat/completions", json=chat_body(model="m", stream=streamed))
    await until(lambda: server.hung_up_at and remote.records())
    _, attempt = remote.only()
    assert (attempt.finish, attempt.usage.complete, attempt.usage.output) == (Finish.CANCELLED, False, 0)


async def test_one_that_waits_for_a_whole_answer_may_hang_up_as_well(book):
    import aiohttp

    with gateways.running(gateways.echo_door(book, token_s=0.02)) as gateway:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3)) as session:
            with pytest.raises(TimeoutError):
                await session.post(gateway.url + "/chat/completions", json=chat_body("word " * 400))
        await until(gateway.records)
        _, attempt = gateway.only()
    assert (attempt.finish, attempt.usage.complete) == (Finish.CANCELLED, False)
    assert 0 < attempt.usage.output < 400


# What an upstream may do

DONE = b"data: [DONE]\n\n"
ODD = {
    "a 500": (status(500, {"error": {"message": "boom"}}), 502),
    "a 200 with an error body": (status(200, {"error": {"message": "no such thing"}}), 502),
    "a 200 with a page": (status(200, "<html>busy</html>", {"Content-Type": "text/html"}), 502),
    "a broken stream": (stream(data(delta("one ")), "break"), 503),
    "a stream that just stops": (stream(data(delta("one "))), 503),
    "invalid UTF-8": (stream(data(delta("one ")), b"data: \xff\xfe{\n\n", DONE), 502),
    "half an event": (stream(data(delta("one ")), b'data: {"choices": [{"del'), 503),
    "no JSON": (stream(b"data: hello\n\n", DONE), 502),
    "choices that are none": (stream(data({"choices": "none"}), DONE), 502),
    "an error event": (stream(data(delta("one "), {"error": {"message": "overloaded"}})), 502),
    "refused credentials": (status(401, {"error": {"message": f"bad key {gateways.UPSTREAM_KEY}"}}), 502),
    "nothing at all": (stream(DONE), 200),
    "usage of null": (stream(data({**delta("one ", finish_reason="stop"), "usage": None}), DONE), 200),
    "an empty choices chunk": (stream(data({"choices": []}, delta("one ", finish_reason="stop")), DONE), 200),
    "choices of null": (stream(data({"choices": None}, delta("one ", finish_reason="stop")), DONE), 200),
    "CRLF and comments": (
        stream(
            b": hi\r\n\r\ndata: " + data(delta("one ", finish_reason="stop"))[6:-2] + b"\r\n\r\n: bye\r\n\r\n", DONE
        ),
        200,
    ),
    "split events": (
        stream(*[bytes([byte]) for byte in data(delta("né", finish_reason="stop"))], DONE),
        200,
    ),
    "a whole body": (
        status(200, {"choices": [{"index": 0, "message": {"content": "one"}, "finish_reason": "stop"}], "usage": None}),
        200,
    ),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("odd", ODD)
async def test_whatever_an_upstream_does_there_is_no_500_and_one_row(remote, server, odd, streamed):
    handler, expected = ODD[odd]
    server.next = [handler]
    code, _, body = await post(remote, "/v1/chat/completions", chat_body(model="m", stream=streamed))
    if streamed and code == 200 and isinstance(body, bytes):
        found = gateways.parsed(body)
        if expected == 200:
            assert found[-1] == "[DONE]"
        else:  # the error came after the first byte
            assert "error" in found[-1]
            assert said(found[:-1]) == "one "
        code = expected
    assert code == expected
    assert gateways.UPSTREAM_KEY not in str(body)
    _, attempt = remote.only()
    assert (attempt.finish is Finish.ERROR) == (expected != 200)
    assert attempt.error is None or gateways.UPSTREAM_KEY not in attempt.error
    if odd not in {"a whole body", "nothing at all"} and attempt.ttft_s is not None:
        assert attempt.usage.output >= 1


async def test_an_upstreams_own_refusal_is_passed_on_with_its_code(remote, server):
    error = {"message": "Unknown parameter: 'x'.", "code": "unknown_parameter", "param": "x"}
    server.next = [status(400, {"error": error})]
    code, _, body = await post(remote, "/v1/chat/completions", chat_body(model="m", x=1))
    assert (code, body["error"]["code"], body["error"]["param"]) == (400, "unknown_parameter", "x")
    assert "Unknown parameter: 'x'." in body["error"]["message"]


async def test_a_throttling_upstream_says_when_to_come_back(remote, server):
    server.next = [status(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"})]
    code, headers, body = await post(remote, "/v1/chat/completions", chat_body(model="m"))
    assert (code, headers["Retry-After"], body["error"]["type"]) == (429, "7", "rate_limit_error")


async def test_an_upstream_that_is_gone_is_503_with_retry_after(book):
    with gateways.running(gateways.remote_door(book, "http://127.0.0.1:9/v1")) as gateway:
        code, headers, body = await post(gateway, "/v1/chat/completions", chat_body(model="m"))
        assert (code, body["error"]["code"]) == (503, "engine_unavailable")
        assert int(headers["Retry-After"]) >= 1
        assert gateway.only()[1].finish is Finish.ERROR


async def test_every_leg_of_a_retried_call_is_an_attempt(book, server):
    with gateways.running(gateways.remote_door(book, server.url, attempts=3)) as gateway:
        server.next = [status(500, "boom"), status(500, "boom")]
        code, _, body = await post(gateway, "/v1/chat/completions", chat_body(model="m"))
        assert (code, body["choices"][0]["message"]["content"]) == (200, "one two three")
        (record,) = gateway.records()
    assert [attempt.finish for attempt in record.attempts] == [Finish.ERROR, Finish.ERROR, Finish.STOP]


async def test_nothing_is_sent_again_after_the_first_byte(book, server):
    with gateways.running(gateways.remote_door(book, server.url, attempts=3)) as gateway:
        server.next = [stream(data(delta("one ")), "break")]
        chunks = await events(gateway, "/v1/chat/completions", chat_body(model="m"))
        assert "error" in chunks[-1]
        assert len(server.bodies) == 1


async def test_raw_prompts_go_through_completions(remote, server):
    answer = client(remote).completions.create(model="m", prompt="a b c", max_tokens=2)
    call, _ = remote.only()
    assert (answer.id, answer.choices[0].text, answer.choices[0].finish_reason) == (f"cmpl-{call.id}", "a b ", "length")
    assert (server.bodies[0]["prompt"], server.bodies[0]["max_tokens"]) == ("a b c", 2)
    chunks = list(client(remote).completions.create(model="m", prompt="a b c", max_tokens=5, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "a b c"


async def test_completions_of_an_engine_of_text(echo):
    _, _, body = await post(echo, "/v1/completions", {"model": "echo", "prompt": ["a b"], "logprobs": 0})
    choice = body["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["logprobs"]["text_offset"]) == ("a b", "stop", [0, 2])
    for more in ({"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"logprobs": 2}, {"echo": True}, {"suffix": "x"}):
        code, _, body = await post(echo, "/v1/completions", {"model": "echo", "prompt": "a", **more})
        assert (code, body["error"]["param"]) == (400, next(iter(more)))
