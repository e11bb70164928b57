"""A gateway with several upstreams: the next one answers when one fails, hedges race, and every leg is on record."""

import asyncio
import socket
import time

import aiohttp
import pytest
import wire_server
from eventually import eventually
from gateways import chat_body, events, get, post, said
from upstream_gateways import entry, gateway_of, legs
from wire_server import silent, status, stream

from cput.cli.serve import serve
from cput.errors import InputError
from cput.records import Finish
from cput.serve.dialects.base import Defaults

QUICK = ("first_token_s = 0.3", "idle_s = 0.3", "whole_s = 0.3", "attempts = 1")
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def second_upstream():
    with wire_server.serve() as served:
        yield served


@pytest.fixture
def pair(server, second_upstream, tmp_path):
    """Two upstreams that have forgotten the other tests, and a writer of gateway files for them."""
    url = second_upstream.url
    second_upstream.__init__()
    second_upstream.url = url

    def write(*more, first=QUICK, second=QUICK, url=server.url):
        path = tmp_path / "gateway.toml"
        path.write_text("\n".join([entry("a", url, *first), entry("b", second_upstream.url, *second), *more]))
        return path

    return server, second_upstream, write


def refusing():
    """A URL at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


FAULTS = {
    "500": (status(500, "down"), "answered 500"),
    "503": (status(503, "busy", {"Retry-After": "60"}), "answered 503"),
    "429": (status(429, {"error": {"message": "slow down"}}), "answered 429"),
    "404": (status(404, {"error": {"message": "no such model"}}), "answered 404"),
    "401": (status(401, {"error": {"message": "wrong key"}}), "answered 401"),
    "stall": (silent(5.0), "no answer in time"),
    "stall after the head": (stream(5.0), "0.3 s before the answer began"),
    "reset": (stream("break"), "broke off"),
    "close": (stream(), "closed the stream"),
    "no JSON": (stream(b"data: {nope\n\n"), "not JSON"),
    "an error as an event": (stream(b'data: {"error": {"message": "overloaded"}}\n\n'), "overloaded"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("streamed", [True, False])
async def test_when_the_first_upstream_fails_the_second_answers(pair, book, fault, streamed):
    first, second, write = pair
    handler, says = FAULTS[fault]
    first.next = [handler]
    with gateway_of(write(), book) as gateway:
        if streamed:
            assert said(await events(gateway, CHAT, chat_body(model="m"))) == "one two three"
        else:
            code, headers, body = await post(gateway, CHAT, chat_body(model="m"))
            assert (code, body["choices"][0]["message"]["content"]) == (200, "one two three")
            assert headers["x-cput-call-id"] == body["id"].removeprefix("chatcmpl-")
        assert legs(gateway) == [[("a", "serve", "error"), ("b", "serve", "stop")]]
        (record,) = gateway.records()
        assert says in record.attempts[0].error
        assert (record.attempts[1].usage.output, record.call.policy) == (3, "gateway")
    assert (len(first.bodies), len(second.bodies)) == (1, 1)


async def test_an_upstream_that_refuses_the_connection_is_passed_over(pair, book):
    _, second, write = pair
    with gateway_of(write(url=refusing()), book) as gateway:
        code, _, body = await post(gateway, CHAT, chat_body(model="m"))
        assert (code, body["usage"]["completion_tokens"]) == (200, 3)
        assert legs(gateway) == [[("a", "serve", "error"), ("b", "serve", "stop")]]
    assert len(second.bodies) == 1


async def test_a_wrong_request_is_refused_by_the_first_and_no_other_is_asked(pair, book):
    first, second, write = pair
    first.next = [status(400, {"error": {"message": "bad tool", "code": "invalid_tool"}})]
    with gateway_of(write(), book) as gateway:
        code, headers, body = await post(gateway, CHAT, chat_body(model="m"))
        assert (code, body["error"]["code"]) == (400, "invalid_tool")
        (record,) = gateway.records()
        assert (headers["x-cput-call-id"], len(record.attempts)) == (record.call.id, 1)
    assert not second.bodies


async def test_after_the_first_byte_nothing_is_sent_again(pair, book):
    first, second, write = pair
    first.next = [stream(b'data: {"choices": [{"index": 0, "delta": {"content": "on"}}]}\n\n', "break")]
    with gateway_of(write(), book) as gateway:
        found = await events(gateway, CHAT, chat_body(model="m"))
        assert (said(found[:-1]), found[-1]["error"]["code"]) == ("on", "engine_unavailable")
        (record,) = gateway.records()
        (attempt,) = record.attempts
        assert (attempt.finish, attempt.usage.output, attempt.usage.complete) == (Finish.ERROR, 1, False)
    assert (len(first.bodies), len(second.bodies)) == (1, 0)


async def test_when_all_fail_the_client_learns_what_each_said_and_the_calls_id(pair, book):
    first, second, write = pair
    first.next, second.next = [status(500, "down")], [status(503, "busy", {"Retry-After": "7"})]
    with gateway_of(write(), book) as gateway:
        code, headers, body = await post(gateway, CHAT, chat_body(model="m"))
        assert (code, headers["Retry-After"]) == (503, "7")
        message = body["error"]["message"]
        assert "a: " in message
        assert "answered 500: down; b: " in message
        (record,) = gateway.records()
        assert headers["x-cput-call-id"] == record.call.id


async def test_an_upstream_that_rests_is_not_asked_and_metrics_say_so(pair, book):
    first, second, write = pair
    breaker = "breaker = { failures = 2, open_s = 60, share = 0 }"
    path = write(first=(*QUICK, breaker), second=(*QUICK, breaker))
    first.next = [status(500, "down"), status(500, "down")]
    with gateway_of(path, book) as gateway:
        for _ in range(4):
            assert (await post(gateway, CHAT, chat_body(model="m")))[0] == 200
        assert [len(attempts) for attempts in legs(gateway)] == [2, 2, 1, 1]
        assert (len(first.bodies), len(second.bodies)) == (2, 4)
        _, page = await get(gateway, "/metrics")
        assert 'cput_upstream_circuit{state="open",upstream="a"} 1.0' in page
        assert 'cput_upstream_circuit{state="closed",upstream="b"} 1.0' in page
        assert (await get(gateway, "/readyz"))[0] == 200
        second.next = [status(500, "down"), status(500, "down")]
        assert [(await post(gateway, CHAT, chat_body(model="m")))[0] for _ in range(2)] == [502, 502]
        before = len(gateway.records())
        code, headers, body = await post(gateway, CHAT, chat_body(model="m"))  # both rest: no attempt, no call
        assert (code, body["error"]["code"]) == (503, "engine_unavailable")
        assert 55 <= int(headers["Retry-After"]) <= 60
        assert "x-cput-call-id" not in headers
        assert len(gateway.records()) == before


async def test_a_model_has_its_own_upstreams_and_its_name_at_each(pair, book):
    first, second, write = pair
    routes = ('[models."m"]', 'upstreams = ["b", "a"]', 'names = { a = "big/m", b = "m-7b" }', "[models.n]")
    second.next = [status(500, "down")]
    with gateway_of(write(*routes), book) as gateway:
        assert (await post(gateway, CHAT, chat_body(model="m")))[2]["model"] == "m"
        assert (second.bodies[0]["model"], first.bodies[0]["model"]) == ("m-7b", "big/m")
        assert (await post(gateway, CHAT, chat_body(model="n")))[0] == 200
        assert first.bodies[1]["model"] == "n"
        code, _, body = await post(gateway, CHAT, chat_body(model="x"))
        assert (code, body["error"]["code"]) == (404, "model_not_found")
        _, listed = await get(gateway, "/v1/models")
        assert '"id":"m"' in listed
        assert '"id":"n"' in listed
        (failed, _) = gateway.records()[0].attempts
        assert failed.model == "m-7b"


async def test_keys_go_to_their_own_upstreams_and_stand_nowhere_else(pair, book, monkeypatch):
    first, second, write = pair
    monkeypatch.setenv("KEY_A", "sk-aaaa1111")
    path = write(first=(*QUICK, 'api_key_env = "KEY_A"'))
    first.next = [status(401, "bad key sk-aaaa1111"), status(401, "bad key sk-aaaa1111")]
    second.next = [status(500, "down")]
    with gateway_of(path, book) as gateway:
        _, headers, body = await post(gateway, CHAT, chat_body(model="m"), {"Authorization": "Bearer sk-client"})
        assert first.headers[0]["Authorization"] == "Bearer sk-aaaa1111"
        assert "Authorization" not in second.headers[0]
        shown = str(body) + str(headers) + "".join(str(a.error) for a in gateway.records()[0].attempts)
        assert "aaaa1111" not in shown
    monkeypatch.delenv("KEY_A")
    with pytest.raises(InputError, match="upstream 'a' wants its key from the variable KEY_A, which is not set"):
        gateway_of(path, book).__enter__()


HEDGE = ("[hedge]", "after_s = 0.05", "most = 1.0")
SLOW = ("first_token_s = 20", "attempts = 1")


async def test_a_slow_upstream_is_hedged_and_both_legs_are_on_record(pair, book):
    first, _, write = pair
    first.next = [silent(10.0)]
    with gateway_of(write(*HEDGE, first=SLOW), book) as gateway:
        assert said(await events(gateway, CHAT, chat_body(model="m"))) == "one two three"
        assert legs(gateway) == [[("a", "serve", "cancelled"), ("b", "hedge", "stop")]]
        _, page = await get(gateway, "/metrics")
        assert 'cput_attempts_total{finish="stop",model="echo-1",role="hedge"} 1.0' in page
    await eventually(lambda: first.hung_up_at)


async def test_a_whole_answer_is_not_hedged_for_being_long(pair, book):
    first, second, write = pair
    first.token_s = 0.1
    with gateway_of(write(*HEDGE, first=SLOW), book) as gateway:
        assert (await post(gateway, CHAT, chat_body(model="m")))[0] == 200
        assert legs(gateway) == [[("a", "serve", "stop")]]
    assert (len(first.bodies), len(second.bodies)) == (1, 0)


async def test_a_whole_answer_may_be_asked_for_as_a_stream(pair, book):
    first, second, write = pair
    first.next = [stream(b'data: {"choices": [{"index": 0, "delta": {"content": "on"}}]}\n\n', 5.0)]
    quick = ("idle_s = 0.2", "attempts = 1", "always_stream = true")
    with gateway_of(write(first=quick), book) as gateway:
        code, _, body = await post(gateway, CHAT, chat_body(model="m"))
        assert (code, "sent nothing for 0.2 s in the middle" in body["error"]["message"]) == (503, True)
        assert (first.bodies[0]["stream"], first.bodies[0]["stream_options"]) == (True, {"include_usage": True})
        (record,) = gateway.records()
        assert (record.attempts[0].usage.output, record.attempts[0].ttft_s is None) == (1, False)
    assert not second.bodies


async def test_a_redirection_is_not_followed(pair, book):
    first, second, write = pair
    first.next = [status(307, "elsewhere", {"Location": second.url + "/chat/completions"})]
    with gateway_of(write("[models.m]", 'upstreams = ["a"]'), book) as gateway:
        code, _, body = await post(gateway, CHAT, chat_body(model="m"))
        assert (code, "answered 307" in body["error"]["message"]) == (502, True)
    assert not second.bodies


@pytest.mark.parametrize("speaks", [False, True])
async def test_a_client_that_hangs_up_during_a_hedge_cancels_both(pair, book, speaks):
    first, second, write = pair
    first.next = [silent(10.0)]
    second.next = (
        [stream(b'data: {"choices": [{"index": 0, "delta": {"content": "on"}}]}\n\n', 10.0)]
        if speaks
        else [silent(10.0)]
    )
    with gateway_of(write(*HEDGE, first=SLOW, second=SLOW), book) as gateway:
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(
                session.post(gateway.url + "/chat/completions", json=chat_body(model="m", stream=True))
            )
            await eventually(lambda: second.bodies)
            if speaks:
                await (await asking).content.readany()
                await eventually(lambda: first.hung_up_at)  # the loser went when the winner spoke
            gone = time.perf_counter()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await eventually(lambda: first.hung_up_at and second.hung_up_at)
        took_s = max(first.hung_up_at[0], second.hung_up_at[0]) - gone
        assert took_s < 1, took_s
        await eventually(lambda: legs(gateway))
        await eventually(lambda: len(legs(gateway)[0]) == 2)
        assert [(leg[0], leg[2]) for leg in legs(gateway)[0]] == [("a", "cancelled"), ("b", "cancelled")]


async def test_the_whole_answer_has_a_limit(pair, book):
    first, _, write = pair
    first.token_s = 0.05
    with gateway_of(write(first=("total_s = 0.3", "attempts = 1")), book) as gateway:
        found = await events(gateway, CHAT, chat_body("word " * 100, model="m"))
        assert "had not answered in full after 0.3 s" in found[-1]["error"]["message"]
        (record,) = gateway.records()
        assert 1 <= record.attempts[0].usage.output < 100


async def test_a_head_has_a_limit_of_its_own(pair, book):
    first, _, write = pair
    first.next = [silent(5.0)]
    with gateway_of(write(first=("head_s = 0.1", "attempts = 2")), book) as gateway:
        assert said(await events(gateway, CHAT, chat_body(model="m"))) == "one two three"
        assert "head 0.1 s" in gateway.records()[0].attempts[0].error
        assert legs(gateway) == [[("a", "serve", "error"), ("b", "serve", "stop")]]


# The file changes while it serves


async def reloaded(gateway, path, text, *, refused=False):
    """Let the gateway look at a changed file; its stack is another one then."""
    before = gateway.door.other.serving.stack
    path.write_text(text)
    watching = asyncio.run_coroutine_threadsafe(gateway.watch(), gateway.loop)
    try:
        if refused:
            await asyncio.sleep(1.5)
            assert gateway.door.other.serving.stack is before
        else:
            await eventually(lambda: gateway.door.other.serving.stack is not before)
    finally:
        watching.cancel()


async def test_a_changed_file_takes_over_and_unchanged_upstreams_keep_connections_and_circuits(pair, book):
    first, second, write = pair
    breaker = "breaker = { failures = 1, open_s = 60 }"
    path = write(first=(*QUICK, breaker), second=(*QUICK, breaker))
    first.next = [status(500, "down")]
    with gateway_of(path, book) as gateway:
        await post(gateway, CHAT, chat_body(model="m"))
        second.token_s = 0.1
        slow = asyncio.create_task(events(gateway, CHAT, chat_body("word " * 25, model="m")))
        await eventually(lambda: len(second.bodies) == 2)
        await reloaded(gateway, path, path.read_text() + '\n[models.only]\nupstreams = ["a", "b"]\n')
        second.token_s = 0.0
        assert (await post(gateway, CHAT, chat_body(model="m")))[0] == 404
        assert (await post(gateway, CHAT, chat_body(model="only")))[0] == 200
        assert len(first.bodies) == 1  # it rests still
        assert said(await slow) == "word " * 25
        assert (await post(gateway, CHAT, chat_body(model="only")))[0] == 200
        assert len(set(second.peers)) <= 2  # as many connections as calls at once
        await reloaded(gateway, path, path.read_text().replace("open_s = 60", "open_s = 61"))
        assert (await post(gateway, CHAT, chat_body(model="only")))[0] == 200
        assert len(first.bodies) == 2  # changed: it begins anew


async def test_a_broken_file_changes_nothing(pair, book):
    _, _, write = pair
    path = write()
    with gateway_of(path, book) as gateway:
        await reloaded(gateway, path, "[[upstreams]]\n", refused=True)
        assert (await post(gateway, CHAT, chat_body(model="m")))[0] == 200


# A model of this machine at the end of the line


async def test_a_model_of_this_machine_is_the_last_resort_and_refuses_what_it_cannot_honour(pair, book, smollm2):
    first, second, write = pair
    here = ("[[upstreams]]", 'name = "here"', f'model = "{smollm2.name}"')
    down = [status(500, "down") for _ in range(4)]
    first.next, second.next = list(down), list(down)
    body = chat_body("Say hello.", model="m", max_tokens=4, temperature=0)
    with gateway_of(write(*here), book, defaults=Defaults(max_new_tokens=8)) as gateway:
        code, _, found = await post(gateway, CHAT, body)
        assert (code, found["usage"]["completion_tokens"]) == (200, 4)
        assert found["choices"][0]["message"]["content"]
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        code, _, found = await post(gateway, CHAT, {**body, "tools": [tool]})
        assert code == 502
        assert "here: 'tools' is not supported here" in found["error"]["message"]
        streamed = {"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]}
        code, _, found = await post(gateway, "/v1/messages", streamed)
        assert (code, found["usage"]["output_tokens"]) == (200, 4)
        kinds = [[(leg[0], leg[2]) for leg in call] for call in legs(gateway)]
        failed = [("a", "error"), ("b", "error")]
        assert kinds == [[*failed, ("here", "length")], failed, [*failed, ("here", "length")]]


# The command


@pytest.mark.parametrize(
    ("more", "options", "says"),
    [
        ("", {"alias": ("x",)}, r"--alias x goes with one model; name it in .*gateway\.toml"),
        ("", {"model": "x"}, "--model x goes with a URL"),
        ("[hegde]\n", {}, "did you mean 'hedge'"),
    ],
)
def test_a_mistake_with_a_gateway_file_is_one_sentence(pair, tmp_path, more, options, says):
    _, _, write = pair
    with pytest.raises(InputError, match=says):
        serve(str(write(more)), ledger=str(tmp_path / "l.db"), quiet=True, **options)
