"""A door with a cache: equal calls cost once, tenants share nothing, a bad outcome evicts, streams are given again."""

import asyncio
import contextlib
import json

import openai
import pytest
from flat_tariff import Flat
from gateways import chat_body, events, get, post, said
from upstream_gateways import entry, gateway_of, legs
from wire_server import status, stream

from cput.errors import InputError
from cput.ledger.charged import avoided, charged
from cput.policy.upstreams import load_gateway
from cput.serve.accounts import Accounts
from cput.serve.keys import create

CHAT, OUTCOMES = "/v1/chat/completions", "/v1/outcomes"
GREEDY = {"model": "m", "temperature": 0}


@pytest.fixture
def opened(server, tmp_path, book):
    @contextlib.contextmanager
    def gateway(*lines, **options):
        path = tmp_path / "gateway.toml"
        path.write_text("\n".join([entry("a", server.url), "[cache]", *lines, ""]))
        with gateway_of(path, book, **options) as found:
            yield found

    return gateway


async def ask(gateway, text="one two three", headers=None, **more):
    code, found, body = await post(gateway, CHAT, chat_body(text, **{**GREEDY, **more}), headers)
    assert code == 200, body
    return body["choices"][0]["message"]["content"], body, found


async def test_the_same_call_is_asked_once_and_says_what_it_avoided(opened, server):
    with opened() as gateway:
        bodies = [(await ask(gateway))[1] for _ in range(3)]
        assert [each["choices"] for each in bodies] == [bodies[0]["choices"]] * 3
        assert len({each["id"] for each in bodies}) == 3
        assert legs(gateway) == [[("a", "serve", "stop")], *[[("cache", "serve", "stop")]] * 2]
        assert [charged(record) for record in gateway.records()[1:]] == [0, 0]
        assert all(avoided(record) >= 0 for record in gateway.records())
        _, page = await get(gateway, "/metrics")
        assert 'cput_cache_hits_total{reason="cache_exact"} 2.0' in page
        assert "cput_cache_misses_total 1.0" in page
    assert len(server.bodies) == 1


@pytest.mark.parametrize("first", [True, False])
async def test_a_stream_is_given_again_as_a_stream_and_whole(opened, server, first):
    with opened() as gateway:
        for streamed in (first, not first, first):
            if streamed:
                assert said(await events(gateway, CHAT, chat_body(**GREEDY))) == "one two three"
            else:
                assert (await ask(gateway))[0] == "one two three"
    assert len(server.bodies) == 1


def test_the_openai_client_gets_the_same_answer_streamed_and_whole(opened, server):
    with opened() as gateway, openai.OpenAI(base_url=gateway.url, api_key="none", max_retries=0) as client:
        wanted = chat_body(**GREEDY)
        whole = client.chat.completions.create(**wanted)
        chunks = list(client.chat.completions.create(**wanted, stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert (text, chunks[-1].usage.completion_tokens) == (whole.choices[0].message.content, 3)
        vectors = [client.embeddings.create(model="m", input=["a", "b"]).data[1].embedding for _ in range(2)]
        assert vectors[0] == vectors[1]
    assert len(server.bodies) == 2


async def test_a_tool_call_that_came_whole_streams_with_its_index(opened, server):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    answer = {
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": usage,
    }
    server.next = [status(200, answer)]
    tools = {"tools": [{"type": "function", "function": {"name": "f"}}]}
    with opened() as gateway:
        _, body, _ = await ask(gateway, **tools)
        assert body["choices"][0]["message"]["tool_calls"] == [call]
        found = await events(gateway, CHAT, chat_body(**GREEDY, **tools))
        deltas = [each["choices"][0]["delta"] for each in found if each != "[DONE]"]
        assert [each["tool_calls"] for each in deltas if each.get("tool_calls")] == [[{"index": 0, **call}]]
    assert len(server.bodies) == 1


async def test_many_equal_calls_at_once_reach_the_upstream_once(opened, server):
    server.token_s = 0.02
    with opened() as gateway:
        found = await asyncio.gather(*(ask(gateway) for _ in range(12)))
        assert {text for text, _, _ in found} == {"one two three"}
        assert len(gateway.records()) == 12
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({"X-Cput-Cache": "off"}, 3),
        ({"X-Cput-Cache": "fresh"}, 3),
        ({"Cache-Control": "no-store"}, 3),
        ({"Cache-Control": "max-age=0, no-cache"}, 3),
        ({"X-Cput-Cache": "auto", "Cache-Control": "no-store"}, 1),
        ({}, 1),
    ],
)
async def test_a_header_passes_the_cache_by(opened, server, headers, asked):
    with opened() as gateway:
        for more in ({}, headers, headers):
            await ask(gateway, headers=more)
    assert len(server.bodies) == asked


async def test_a_sampled_call_is_cached_where_its_header_or_its_tag_says_so(opened, server):
    with opened() as gateway:
        for _ in range(2):
            await ask(gateway, temperature=1)
        assert len(server.bodies) == 2
        await ask(gateway, temperature=1, headers={"X-Cput-Cache": "on"})
        await ask(gateway, temperature=1, metadata={"x-cput-cache": "on"})
        assert len(server.bodies) == 3
        code, _, body = await post(gateway, CHAT, chat_body(**GREEDY), {"X-Cput-Cache": "yes"})
        assert (code, body["error"]["param"]) == (400, "x-cput-cache")
        assert "auto, on, off, fresh" in body["error"]["message"]


def keyed(book, name, tenant):
    return {"Authorization": f"Bearer {create(book, name, tenant=tenant).secret}"}


async def test_another_tenants_key_never_hits_and_its_outcome_evicts_nothing(opened, server, book):
    alice, again, bob = (keyed(book, name, tenant) for name, tenant in (("k1", "a"), ("k2", "a"), ("k3", "b")))
    with opened(gate=Accounts(book, Flat())) as gateway:
        _, body, _ = await ask(gateway, headers=alice)
        await ask(gateway, headers=again)
        assert len(server.bodies) == 1
        await ask(gateway, headers=bob)
        await ask(gateway, headers=bob, metadata={"tenant": "a"})
        assert len(server.bodies) == 2
        said_ = {"name": "thumbs", "value": 0, "source": "user"}
        assert (await post(gateway, OUTCOMES, {"call_id": body["id"], **said_}, bob))[0] == 404
        await ask(gateway, headers=alice)
        assert len(server.bodies) == 2
        assert (await post(gateway, OUTCOMES, {"call_id": body["id"], **said_}, alice))[0] == 200
        await ask(gateway, headers=alice)
        assert len(server.bodies) == 3
        await ask(gateway, headers=bob)
        assert len(server.bodies) == 3


async def test_a_bad_outcome_of_a_hit_by_external_key_evicts(opened, server):
    with opened() as gateway:
        await ask(gateway)
        await ask(gateway, headers={"X-Cput-External-Key": "order-1"})
        good = {"external_key": "order-1", "name": "thumbs", "source": "user"}
        await post(gateway, OUTCOMES, {**good, "value": 1})
        await ask(gateway)
        assert len(server.bodies) == 1
        await post(gateway, OUTCOMES, {**good, "value": 0})
        await ask(gateway)
        assert len(server.bodies) == 2


async def test_what_failed_broke_off_or_was_filtered_is_asked_again(opened, server):
    chunk = {"model": "m", "choices": [{"index": 0, "delta": {"content": "on"}, "finish_reason": "content_filter"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    filtered = stream(
        *(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (chunk, usage)), b"data: [DONE]\n\n"
    )
    with opened() as gateway:
        server.next = [filtered]
        assert said(await events(gateway, CHAT, chat_body(**GREEDY))) == "on"
        server.next = [status(400, {"error": {"message": "bad"}})]
        assert (await post(gateway, CHAT, chat_body(**GREEDY)))[0] == 400
        assert (await ask(gateway))[0] == "one two three"
    assert len(server.bodies) == 3


async def test_a_changed_file_keeps_the_answers_where_its_cache_and_upstreams_are_the_same(opened, server, tmp_path):
    with opened("ttl_s = 600") as gateway:
        await ask(gateway)
        path = tmp_path / "gateway.toml"
        task = asyncio.run_coroutine_threadsafe(gateway.watch(), gateway.loop)
        await asyncio.sleep(0.1)
        path.write_text(path.read_text().replace("[cache]", "[hedge]\nmost = 0.01\n\n[cache]"))
        before = gateway.door.other.serving.stack
        for _ in range(100):
            if gateway.door.other.serving.stack is not before:
                break
            await asyncio.sleep(0.1)
        task.cancel()
        assert gateway.door.other.serving.stack is not before
        await ask(gateway)
    assert len(server.bodies) == 1


async def test_a_file_is_shared_by_doors_one_after_the_other(opened, server):
    for _ in range(2):
        with opened('file = "cache.db"') as gateway:
            await ask(gateway)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["ttl_s = 0"], "ttl_s of [cache] is 0; allowed: a number above 0"),
        (["size = 3"], "unknown key of [cache]"),
        (["threshold = 0.9"], "threshold, which is for a semantic cache"),
        (['semantic = "all-minilm-l6-v2"'], "rate ="),
        (["exact = false", 'semantic = "all-minilm-l6-v2"', 'rate = "1/h"'], "an exact one too"),
        (["max_bytes = 10"], "1048576"),
    ],
)
def test_a_wrong_cache_table_is_one_sentence(tmp_path, lines, says):
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join([entry("a", "http://127.0.0.1:1/v1"), "[cache]", *lines]))
    with pytest.raises(InputError) as found:
        load_gateway(path)
    assert says in str(found.value)


def test_exact_false_is_no_cache(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join([entry("a", "http://127.0.0.1:1/v1"), "[cache]", "exact = false"]))
    assert load_gateway(path).cache is None
