"""What surrounds every request: ids, logs without prompts, counters, readiness, and how the door closes."""

import asyncio
import io
import json
import re
from pathlib import Path

import aiohttp
import gateways
import pytest
from gateways import chat_body, events, get, post
from wire_server import status, until

from cput.engines.echo import Echo
from cput.errors import InputError
from cput.records import Finish
from cput.serve.dialects.base import Takes
from cput.serve.door import Model
from cput.serve.logs import LOGGER, to_stream
from cput.serve.run import bind, is_loopback
from cput.serve.serving import Serving, Stack
from cput.serve.telemetry import Telemetry
from cput.serve.watch import digest, follow

PAGE = Path(__file__).parents[2] / "docs" / "design" / "serve.md"


@pytest.fixture
def log():
    """What is logged, as text."""
    text = io.StringIO()
    handler = to_stream(text)
    yield text
    LOGGER.removeHandler(handler)


def lines(log):
    return [json.loads(line) for line in log.getvalue().splitlines()]


# Ids


async def test_a_request_id_comes_back_and_goes_on(remote, server):
    headers = {"X-Request-Id": "mine-1"}
    _, answered, _ = await post(remote, "/v1/chat/completions", chat_body(model="m"), headers)
    assert answered["X-Request-Id"] == answered["Request-Id"] == "mine-1"
    assert {name.lower(): value for name, value in server.headers[0].items()}["x-request-id"] == "mine-1"
    call, _ = remote.only()
    assert answered["X-Cput-Call-Id"] == call.id


async def test_a_request_id_that_could_forge_a_log_is_replaced(echo):
    _, answered, _ = await post(echo, "/v1/chat/completions", chat_body(), {"X-Request-Id": "a" * 200})
    assert re.fullmatch(r"[0-9a-f-]{36}", answered["X-Request-Id"])


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Cput-Deadline-S": "soon"},
        {"X-Cput-Deadline-S": "-1"},
        {"X-Cput-Deadline-S": "nan"},
        {"X-Cput-Priority": "1.5"},
    ],
)
async def test_a_wrong_header_is_refused_by_name(echo, headers):
    code, _, body = await post(echo, "/v1/chat/completions", chat_body(), headers)
    assert code == 400
    assert next(iter(headers)).lower() in body["error"]["message"]


# Logs


async def test_a_request_is_one_line_without_prompt_answer_or_key(echo, log):
    headers = {"Authorization": "Bearer sk-cput-topsecret", "X-Request-Id": "r-1"}
    await post(echo, "/v1/chat/completions", chat_body("my secret wish"), headers)
    await until(log.getvalue)
    (line,) = lines(log)
    call, _ = echo.only()
    assert (line["event"], line["request_id"], line["status"], line["call_id"]) == ("request", "r-1", 200, call.id)
    assert (line["input_tokens"], line["output_tokens"], line["attempts"], line["finish"]) == (3, 3, 1, "stop")
    for secret in ("secret", "wish", "topsecret"):
        assert secret not in log.getvalue()


async def test_a_failure_inside_is_a_500_that_tells_nothing_and_a_log_that_tells_where(book, log):
    door = gateways.echo_door(book)

    def broken(_):
        raise ZeroDivisionError("my secret wish")

    stack = Stack(engine_for=broken, close=Echo().aclose)
    door.models = {"echo": Model(serving=Serving(stack), takes=Takes.TEXT)}
    with gateways.running(door) as gateway:
        code, headers, body = await post(gateway, "/v1/chat/completions", chat_body())
    assert (code, body["error"]["code"]) == (500, "internal_error")
    (line,) = lines(log)
    assert (line["level"], line["error"], line["request_id"]) == ("error", "ZeroDivisionError", headers["X-Request-Id"])
    assert any("broken" in where for where in line["where"])
    assert "secret" not in log.getvalue() + str(body)


async def test_a_client_that_hangs_up_is_logged_as_499(book, log):
    with gateways.running(gateways.echo_door(book, token_s=0.02)) as gateway:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2)) as session:
            with pytest.raises(TimeoutError):
                await session.post(gateway.url + "/chat/completions", json=chat_body("a " * 200))
        await until(log.getvalue)
    (line,) = lines(log)
    assert (line["status"], line["finish"]) == (499, "cancelled")


# Pages


async def test_models_are_listed_for_both_kinds_of_clients(echo):
    _, text = await get(echo, "/v1/models")
    (entry,) = json.loads(text)["data"]
    assert (entry["id"], entry["object"], entry["type"], entry["owned_by"]) == ("echo", "model", "model", "cput")
    assert json.loads((await get(echo, "/v1/models/echo"))[1]) == entry
    assert (await get(echo, "/v1/models/none"))[0] == 404


async def test_an_upstream_lists_its_own_models(remote, server):
    code, text = await get(remote, "/v1/models")
    assert (code, json.loads(text)["error"]["code"]) == (404, "upstream_refused")  # this one lists none


async def test_unknown_paths_and_methods_are_errors_in_openais_shape(echo):
    code, text = await get(echo, "/v2/nothing")
    assert (code, json.loads(text)["error"]["code"]) == (404, "unknown_url")
    code, text = await get(echo, "/v1/chat/completions")
    assert (code, json.loads(text)["error"]["code"]) == (405, "method_not_allowed")


async def test_health_is_the_process_and_readiness_the_ledger_and_the_draining(book):
    with gateways.running(gateways.echo_door(book)) as gateway:
        assert (await get(gateway, "/healthz"))[0] == 200
        assert (await get(gateway, "/readyz"))[0] == 200
        gateway.door.draining = True
        assert (await get(gateway, "/healthz"))[0] == 200
        assert (await get(gateway, "/readyz"))[0] == 503
        gateway.door.draining = False


async def test_counters_count_requests_attempts_and_tokens(book, server):
    server.next = [status(500, "boom")]
    with gateways.running(gateways.remote_door(book, server.url)) as gateway:
        await post(gateway, "/v1/chat/completions", chat_body(model="m"))
        await post(gateway, "/v1/chat/completions", chat_body(model="m"))
        _, text = await get(gateway, "/metrics")
    for line in (
        'cput_requests_total{endpoint="chat",status="200"} 1.0',
        'cput_requests_total{endpoint="chat",status="502"} 1.0',
        'cput_attempts_total{finish="error",model="m",role="serve"} 1.0',
        'cput_tokens_total{kind="output",model="echo-1"} 3.0',
    ):
        assert line in text


async def test_with_a_token_set_counters_are_its_bearers_only(book):
    with gateways.running(gateways.echo_door(book, admin_token="t0ken")) as gateway:
        assert (await get(gateway, "/metrics"))[0] == 401
        assert (await get(gateway, "/metrics", {"Authorization": "Bearer t0k"}))[0] == 401
        assert (await get(gateway, "/metrics", {"Authorization": "Bearer t0ken"}))[0] == 200


def test_every_counter_is_on_the_design_page():
    named = {metric.name for metric in Telemetry().registry.collect()}
    page = PAGE.read_text(encoding="utf-8")
    assert {name for name in named if f"`{name}`" not in page} == set()


def test_models_beyond_the_bound_count_as_other():
    from cput.records import Attempt, Usage
    from cput.serve.telemetry import MOST_MODELS

    telemetry = Telemetry()
    for number in range(MOST_MODELS + 5):
        one = Attempt(
            call_id="c", seq=0, engine="e", model=f"m{number}", usage=Usage(output=1), started_s=0.0, finish=Finish.STOP
        )
        telemetry.heard(one, None)
    assert telemetry.registry.get_sample_value("cput_tokens_total", {"model": "other", "kind": "output"}) == 5


# Replacing what serves


async def test_calls_under_way_end_on_the_stack_that_they_began_on():
    closed = []

    def stack(name):
        async def close():
            closed.append(name)

        return Stack(engine_for=lambda _: Echo(), close=close, policy=name)

    serving = Serving(stack("old"))
    with serving.taken() as first, serving.taken() as second:
        serving.replace(stack("new"))
        await asyncio.sleep(0)
        assert (first.policy, second.policy, closed) == ("old", "old", [])
        with serving.taken() as third:
            assert third.policy == "new"
    await asyncio.sleep(0.01)
    assert closed == ["old"]
    await serving.aclose()
    assert closed == ["old", "new"]


async def test_a_policy_file_that_changes_is_read_again_and_a_broken_one_changes_nothing(tmp_path, log):
    path, built = tmp_path / "policy.toml", []
    path.write_text("first")

    async def build():
        text = path.read_text()
        built.append(text)
        if text == "broken":
            raise InputError("the policy is broken")
        return Stack(engine_for=lambda _: Echo(), close=Echo().aclose, policy=text)

    serving = Serving(await build())
    task = asyncio.create_task(follow(path, serving, build, seen=digest(path), every_s=0.005))
    path.write_text("broken")
    await until(lambda: built[-1] == "broken")
    assert serving.stack.policy == "first"
    path.write_text("second")
    await until(lambda: serving.stack.policy == "second")
    task.cancel()
    assert [line["event"] for line in lines(log)] == ["policy refused", "policy replaced"]


# Closing


async def test_a_draining_server_lets_answers_under_way_end(book):
    with gateways.running(gateways.echo_door(book, token_s=0.02), drain_s=10) as gateway:
        asked = asyncio.create_task(events(gateway, "/v1/chat/completions", chat_body("a " * 30)))
        await until(lambda: gateway.server.server_state.tasks)
        gateway.server.should_exit = True
        assert (await asked)[-1] == "[DONE]"
        assert gateway.only()[1].finish is Finish.STOP


async def test_what_draining_can_not_wait_for_is_broken_off_and_on_record(book):
    with gateways.running(gateways.echo_door(book, token_s=0.02), drain_s=1) as gateway:
        asked = asyncio.create_task(post(gateway, "/v1/chat/completions", chat_body("a " * 400)))
        await until(lambda: gateway.server.server_state.tasks)
        gateway.server.should_exit = True
        code, headers, body = await asked
        assert (code, body["error"]["code"], headers["Retry-After"]) == (503, "engine_unavailable", "1")
        await until(gateway.records)
        _, attempt = gateway.only()
    assert (attempt.finish, attempt.usage.complete) == (Finish.CANCELLED, False)
    assert 0 < attempt.usage.output < 400


async def test_eight_at_once_are_eight_calls(book):
    with gateways.running(gateways.echo_door(book, token_s=0.005)) as gateway:
        asked = [post(gateway, "/v1/chat/completions", chat_body(f"call number {at}")) for at in range(8)]
        answers = await asyncio.gather(*asked)
        texts = {answer[2]["choices"][0]["message"]["content"] for answer in answers}
        assert texts == {f"call number {at}" for at in range(8)}
        assert {answer[2]["id"].removeprefix("chatcmpl-") for answer in answers} == {
            record.call.id for record in gateway.records()
        }


def test_only_loopback_is_loopback():
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", "")] == [False] * 5


def test_a_port_that_is_none_is_refused():
    with pytest.raises(InputError, match="--port is 70000"):
        bind("127.0.0.1", 70000)
