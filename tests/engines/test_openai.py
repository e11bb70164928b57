"""The remote engine against a real server on a local socket: the contract, the counts, and everything a server may do."""

import asyncio
import json
import time

import pytest
from aiohttp import web
from wire_server import CONTEXT_WORDS, silent, status, stream, until

from cput.engines import open_engine
from cput.engines.openai.body import request_body
from cput.errors import EngineError, EngineUnavailable, InputError, PromptTooLong, UpstreamError
from cput.records import Call, CountedBy, Finish, Grammar, GrammarKind, Message, Sampling
from cput.testing import LAWS, check_engine

KEY = "sk-top-secret-0123456789"


def chat(text="one two three", **sampling):
    return Call(messages=(Message(role="user", content=text),), sampling=Sampling(**sampling))


def data(*chunks):
    return b"".join(
        b"data: " + (part if isinstance(part, bytes) else json.dumps(part).encode()) + b"\n\n" for part in chunks
    )


def delta(text, **more):
    return {"choices": [{"delta": {"content": text}, **more}]}


@pytest.fixture
async def engine(server):
    opened = open_engine("openai", model="echo-1", base_url=server.url, api_key=KEY, idle_timeout_s=5.0)
    yield opened
    await opened.aclose()


async def ended(engine, call=None):
    answer = engine.answer(call or chat())
    return await answer.text(), answer.ending


# The contract


@pytest.mark.parametrize("law", LAWS, ids=str)
async def test_openai_keeps_the_contract(server, law):
    await check_engine(
        lambda: open_engine("openai", model="echo-1", base_url=server.url),
        laws=[law],
        too_long="a " * (CONTEXT_WORDS + 1),
        timeout_s=15,
    )


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
async def test_odd_borders_line_ends_and_keep_alives_change_nothing(server, engine, end):
    server.shatter, server.keep_alives, server.line_end = True, True, end
    text, ending = await ended(engine, chat("数据 😀 naïve"))
    assert (text, ending.finish, ending.usage.output) == ("数据 😀 naïve", Finish.STOP, 3)


async def test_a_raw_prompt_goes_to_completions(server, engine):
    text, ending = await ended(engine, Call(prompt="a b c", sampling=Sampling(max_new_tokens=2)))
    assert (text, ending.finish, ending.model) == ("a b ", Finish.LENGTH, "echo-1")
    assert server.bodies[0]["prompt"] == "a b c"
    assert "messages" not in server.bodies[0]


async def test_connections_are_used_again(server, engine):
    for _ in range(5):
        await ended(engine)
    assert len(set(server.peers)) == 1


# Counting


async def test_usage_is_asked_for_and_is_the_providers(server, engine):
    server.usage_extra = {
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    _, ending = await ended(engine)
    assert server.bodies[0]["stream_options"] == {"include_usage": True}
    usage = ending.usage
    assert (usage.input_uncached, usage.input_cache_read, usage.input) == (1, 2, 3)
    assert (usage.output, usage.reasoning, usage.complete, usage.counted_by) == (3, 1, True, CountedBy.PROVIDER)


async def test_the_tier_is_said_and_an_own_server_bills_nothing(server, engine):
    chunks = (delta("yes", finish_reason="stop") | {"service_tier": "flex"}, b"[DONE]")
    server.next = [stream(data(*chunks))]
    _, ending = await ended(engine)
    assert (ending.service_tier, ending.provider) == ("flex", None)
    assert open_engine("openai", model="m", base_url="https://api.deepseek.com/v1").provider == "deepseek"


async def test_usage_in_the_last_choice_is_found(server, engine):
    """Moonshot's streams."""
    counted = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "cached_tokens": 4}
    server.next = [stream(data(delta("yes", finish_reason="stop", usage=counted), b"[DONE]"))]
    usage = (await ended(engine))[1].usage
    assert (usage.input_uncached, usage.input_cache_read, usage.output, usage.complete) == (5, 4, 1, True)


@pytest.mark.parametrize("odd", [{"prompt_tokens": -1}, {"tokens_in": 3}, {"prompt_tokens": None}])
async def test_usage_that_cannot_be_read_loses_the_count_and_not_the_answer(server, engine, odd):
    server.next = [stream(data(delta("yes", finish_reason="stop"), {"choices": [], "usage": odd}, b"[DONE]"))]
    text, ending = await ended(engine)
    usage = ending.usage
    assert text == "yes"
    assert (usage.input, usage.output, usage.complete, usage.counted_by) == (None, 1, False, CountedBy.ESTIMATED)


async def test_without_usage_the_pieces_are_counted_and_called_an_estimate(server, engine):
    server.sends_usage = False
    _, ending = await ended(engine)
    usage = ending.usage
    assert (usage.output, usage.input, usage.complete, usage.counted_by) == (3, None, False, CountedBy.ESTIMATED)


async def test_a_server_that_refuses_stream_options_is_asked_without_and_never_with_again(server, engine):
    server.knows_stream_options = False
    assert (await ended(engine))[0] == "one two three"
    assert (await ended(engine))[0] == "one two three"
    assert ["stream_options" in body for body in server.bodies] == [True, False, False]


async def test_a_body_that_is_not_streamed_is_read_whole(server, engine):
    whole = {"model": "m", "choices": [{"message": {"content": "hi 😀"}, "finish_reason": "length"}]}
    server.next = [status(200, whole | {"usage": {"prompt_tokens": 4, "completion_tokens": 2}})]
    text, ending = await ended(engine)
    assert (text, ending.finish, ending.usage.output, ending.model) == ("hi 😀", Finish.LENGTH, 2, "m")


async def test_usage_so_far_of_a_running_count_is_not_complete(server, engine):
    running = delta("a") | {"usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    server.next = [stream(data(running), 3.0)]
    answer = engine.answer(chat())
    assert (await anext(aiter(answer))).text == "a"
    await answer.aclose()
    usage = answer.ending.usage
    assert (usage.input, usage.output, usage.complete) == (9, 1, False)


async def test_hidden_reasoning_is_timed_but_not_shown(server, engine):
    thought = {"choices": [{"delta": {"reasoning_content": "hmm"}}]}
    server.next = [stream(data(thought, delta("yes"), delta("", finish_reason="stop"), b"[DONE]"))]
    answer = engine.answer(chat())
    pieces = [piece async for piece in answer]
    assert [(piece.text, piece.tokens) for piece in pieces] == [("", 1), ("yes", 1)]


async def test_logprobs_are_those_of_the_chosen_tokens(server, engine):
    scored = {"choices": [{"delta": {"content": "ab"}, "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1}]}}]}
    server.next = [stream(data(scored, delta("", finish_reason="stop"), b"[DONE]"))]
    pieces = [piece async for piece in engine.answer(chat(logprobs=True))]
    assert (pieces[0].tokens, pieces[0].logprobs) == (2, (-0.5, -1.0))


@pytest.mark.parametrize(("counted", "prompt"), [(1, (-1.0, -2.0)), (2, (-1.0,))])
async def test_an_echo_is_asked_whole_and_split_by_the_providers_count(server, engine, counted, prompt):
    choice = {"text": "a b c d", "logprobs": {"token_logprobs": [None, -1.0, -2.0, -3.0]}, "finish_reason": "length"}
    usage = {"prompt_tokens": 4 - counted, "completion_tokens": counted}
    server.next = [status(200, {"choices": [choice], "usage": usage})]
    call = Call(prompt="a b c", sampling=Sampling(echo=True, logprobs=True, max_new_tokens=4))
    (piece,) = [piece async for piece in engine.answer(call)]
    assert (piece.prompt_logprobs, piece.tokens, piece.text) == (prompt, counted, " d")
    assert server.bodies[0]["stream"] is False
    assert "stream_options" not in server.bodies[0]
    with pytest.raises(InputError, match="echo scores a raw prompt"):
        await ended(engine, chat(echo=True))


# The request


async def test_the_key_is_a_bearer_token_and_in_no_error(server, engine):
    server.next = [
        status(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}),
        status(500, f"trace {KEY}"),
        stream(b"data: {" + KEY.encode() + b"\n\n"),
        stream(data({"error": {"message": f"bad {KEY}"}})),
        stream(data({"choices": [KEY]})),
    ]
    for _ in range(len(server.next)):
        with pytest.raises(EngineError) as error:
            await ended(engine)
        assert "secret" not in str(error.value) + getattr(error.value, "body", "")
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown():
    with pytest.raises(InputError) as error:
        open_engine("openai", model="m", base_url="http://h/v1", api_key="secret\nline")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://h/v1", "http://", "http://[", ""])
def test_a_base_url_without_scheme_or_host_is_refused(url):
    with pytest.raises(InputError, match="base URL"):
        open_engine("openai", model="m", base_url=url)


def test_every_field_of_the_sampling_that_was_set_is_sent():
    sampling = Sampling(
        max_new_tokens=7, temperature=0.5, top_p=0.9, top_k=4, seed=1, stop=("x",), repetition_penalty=1.1,
        presence_penalty=0.2, frequency_penalty=0.3, logprobs=True, ignore_eos=True,
    )  # fmt: skip
    body = request_body(
        chat("q", **{name: getattr(sampling, name) for name in sampling.__slots__}),
        "m",
        ask_usage=False,
        extra={"n": 1},
    )
    assert body == {
        "model": "m", "stream": True, "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "seed": 1,
        "stop": ["x"], "repetition_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": 0.3, "logprobs": True,
        "ignore_eos": True, "messages": [{"role": "user", "content": "q"}], "n": 1,
    }  # fmt: skip


def test_what_was_not_set_is_not_sent():
    body = request_body(chat("q"), "m", ask_usage=True, extra={})
    assert set(body) == {"model", "stream", "stream_options", "max_tokens", "temperature", "messages"}


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        (
            GrammarKind.JSON_SCHEMA,
            '{"type": "object"}',
            ("response_format", "json_schema", "schema", {"type": "object"}),
        ),
        (GrammarKind.CHOICE, ("yes", "no"), ("structured_outputs", "choice", ["yes", "no"])),
        (GrammarKind.CHOICE, "yes", ("structured_outputs", "choice", ["yes"])),
        (GrammarKind.REGEX, "a+", ("structured_outputs", "regex", "a+")),
        (GrammarKind.EBNF, "root ::= x", ("structured_outputs", "grammar", "root ::= x")),
    ],
)
def test_a_grammar_is_sent_in_its_place(kind, value, sent):
    found = request_body(chat("q", grammar=Grammar(kind=kind, value=value)), "m", ask_usage=False, extra={})
    for name in sent[:-1]:
        found = found[name]
    assert found == sent[-1]


async def test_a_schema_that_is_not_json_is_refused_before_it_is_sent(server, engine):
    with pytest.raises(InputError, match="the JSON schema is not JSON"):
        await ended(engine, chat(grammar=Grammar(kind=GrammarKind.JSON_SCHEMA, value="{")))
    assert server.bodies == []


# What servers do


@pytest.mark.parametrize(
    ("code", "body", "says"),
    [
        (404, {"error": {"message": "no such model"}}, "answered 404: no such model"),
        (404, {"error": "no such model"}, "answered 404: no such model"),
        (404, {"message": "no such model"}, "answered 404: no such model"),
        (422, {"detail": [{"msg": "field required", "loc": ["body"]}]}, "answered 422: field required"),
        (502, "<html>Bad Gateway</html>", "answered 502: <html>Bad Gateway</html>"),
        (500, "", r"answered 500: \(empty body\)"),
        (500, "[" * 100_000, "answered 500: "),
        (400, {"error": {}}, "answered 400: "),
        (400, [], "answered 400: "),
    ],
)
async def test_a_refusal_is_one_sentence_whatever_its_body(server, engine, code, body, says):
    server.next = [status(code, body)]
    with pytest.raises(UpstreamError, match=says) as error:
        await ended(engine)
    assert len(str(error.value)) < 400
    assert (error.value.status, error.value.retryable) == (code, code >= 500)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",  # OpenAI, vLLM
        "the request exceeds the available context size, try increasing it",  # llama-server
        "prompt is too long: 9 tokens > 4 maximum",  # Anthropic's door
    ],
)
async def test_a_prompt_that_is_too_long_is_known_by_its_message(server, engine, message):
    server.next = [status(400, {"error": {"message": message, "type": "exceed_context_size_error"}})]
    with pytest.raises(PromptTooLong, match="refused the prompt as too long"):
        await ended(engine)


BROKEN = {
    "break in mid-stream": (stream(data(delta("a")), "break"), EngineUnavailable, "broke off in the middle"),
    "end without finish": (stream(data(delta("a"))), EngineUnavailable, "closed the stream before the answer's end"),
    "running usage and no finish": (
        stream(data(delta("a") | {"usage": {"prompt_tokens": 1, "completion_tokens": 1}})),
        EngineUnavailable,
        "closed the stream before the answer's end",
    ),
    "nothing at all": (stream(), EngineUnavailable, "closed the stream before the answer's end"),
    "garbage": (stream(b"data: {nope\n\n"), UpstreamError, "not JSON: '{nope'"),
    "not UTF-8": (stream(b'data: "\xff\xfe"\n\n'), UpstreamError, "not JSON"),
    "a number": (stream(b"data: 3\n\n"), UpstreamError, "not a chunk: '3'"),
    "an error event": (stream(data({"error": {"message": "out of memory"}})), UpstreamError, "error: out of memory"),
    "choices that are none": (stream(data({"choices": ["x"]})), UpstreamError, "unknown shape"),
    "text that is none": (stream(data(delta(3))), UpstreamError, "unknown shape"),
    "usage that is none": (stream(data({"usage": "x"})), UpstreamError, "unknown shape"),
    "an HTML page": (status(200, "<html>log in</html>"), UpstreamError, "not JSON: '<html>log in</html>'"),
    "a whole body cut off": (stream(b'{"choices"', "break", content_type="application/json"), EngineUnavailable, "broke off"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_is_a_sentence(server, engine, name):
    handler, kind, says = BROKEN[name]
    server.next = [handler]
    with pytest.raises(kind, match=says):
        await ended(engine)
    assert (await ended(engine))[0] == "one two three"


async def test_done_without_a_finish_reason_is_an_end(server, engine):
    server.next = [stream(data(delta("a"), b"[DONE]"))]
    text, ending = await ended(engine)
    assert (text, ending.finish) == ("a", Finish.STOP)


async def test_an_answer_that_stops_coming_is_given_up(server):
    engine = open_engine("openai", model="m", base_url=server.url, idle_timeout_s=0.1, first_token_timeout_s=0.4)
    server.next = [stream(data(delta("a")), 3.0), stream(3.0), silent(3.0)]
    for says in (r"nothing for 0\.1 s in the middle", r"nothing for 0\.4 s before the answer", "no answer in time"):
        with pytest.raises(EngineUnavailable, match=says):
            await ended(engine)
    await engine.aclose()


async def test_the_first_token_may_take_longer_than_the_next(server):
    engine = open_engine("openai", model="m", base_url=server.url, idle_timeout_s=0.1, first_token_timeout_s=5)
    server.next = [stream(0.3, data(delta("a", finish_reason="stop"), b"[DONE]"))]
    assert (await ended(engine))[0] == "a"
    await engine.aclose()


async def test_keep_alives_keep_an_answer_alive(server):
    engine = open_engine("openai", model="m", base_url=server.url, idle_timeout_s=0.2)
    pings = [part for _ in range(4) for part in (0.1, b": ping\n\n")]
    server.next = [stream(data(delta("a")), *pings, data(delta("b", finish_reason="stop"), b"[DONE]"))]
    assert (await ended(engine))[0] == "ab"
    await engine.aclose()


async def test_a_server_that_is_not_there_is_named_without_user_and_password():
    engine = open_engine("openai", model="m", base_url="http://me:pw@127.0.0.1:9/v1", api_key="")
    with pytest.raises(EngineUnavailable, match=r"http://127\.0\.0\.1:9/v1 can't be reached") as error:
        await ended(engine)
    assert "pw" not in str(error.value)
    await engine.aclose()


# Hanging up


async def test_hanging_up_closes_the_connection_upstream_at_once(server, engine):
    server.token_s = 0.01
    answer = engine.answer(chat("word " * 500))
    async for _ in answer:
        break
    began = time.perf_counter()
    await answer.aclose()
    await until(lambda: server.hung_up_at)
    assert server.hung_up_at[0] >= began
    print(f"the server saw the hang-up after {1000 * (server.hung_up_at[0] - began):.1f} ms")


async def test_a_cancelled_task_hangs_up_while_the_server_still_thinks(server, engine):
    server.next = [silent(5.0)]
    task = asyncio.create_task(engine.answer(chat()).text())
    await until(lambda: server.bodies)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.hung_up_at)


def test_one_engine_may_be_used_in_two_event_loops_after_another(server):
    engine = open_engine("openai", model="m", base_url=server.url)

    async def ask():
        text, _ = await ended(engine)
        await engine.aclose()
        return text

    assert asyncio.run(ask()) == asyncio.run(ask()) == "one two three"


async def drops(server, request, asked):
    request.transport.abort()
    return web.Response()


async def test_a_kept_connection_that_the_server_drops_is_replaced_and_the_call_goes_on(server, engine):
    await ended(engine)
    server.next = [drops]
    _, ending = await ended(engine)
    assert ending.finish is Finish.STOP
    assert len(server.bodies) == 3
    assert server.peers[0] == server.peers[1] != server.peers[2]


async def test_a_new_connection_that_the_server_drops_is_an_error(server, engine):
    server.next = [drops]
    with pytest.raises(EngineUnavailable, match="can't be reached"):
        await ended(engine)
    assert len(server.bodies) == 1
    await ended(engine)
    server.next = [drops, drops]
    with pytest.raises(EngineUnavailable, match="can't be reached"):
        await ended(engine)
    assert len(server.bodies) == 4, "once more, and no more"
