"""No key of the gateway's or of its upstream's gets into a log line, an error or the ledger, however it goes wrong."""

import io
import json

import aiohttp
import gateways
import pytest
import wire_server
from flat_tariff import Flat
from gateways import chat_body, post

from cput.engines import open_engine
from cput.errors import InputError
from cput.govern.redact import Redacted, Redactor
from cput.serve.accounts import Accounts
from cput.serve.keys import create
from cput.serve.logs import LOGGER, to_stream

UPSTREAM = "sk-up+stream/0123456789=="
ADMIN = "admin-token-0123456789"


class World:
    """A gateway with keys, in front of an upstream that wants one; all that it ever logged."""

    def __init__(self, gateway, key, log, folder):
        self.gateway, self.key, self.log, self.folder = gateway, key, log, folder
        self.bodies = []

    async def ask(self, path="/v1/chat/completions", *, key=None, body=None, headers=None, **more):
        name = "x-api-key" if path == "/v1/messages" else "Authorization"
        sent = key or self.key
        given = {name: sent if name == "x-api-key" else f"Bearer {sent}", **(headers or {})}
        status, got, raw = await post(self.gateway, path, body or chat_body("hi", model="m", **more), given)
        self.bodies += [str(raw), str(dict(got))]
        return status

    def holds(self, *secrets):
        """Where any of these is, in any of its usual spellings."""
        files = b"".join(path.read_bytes() for path in sorted(self.folder.glob("ledger.db*"))).decode(
            "utf-8", "replace"
        )
        places = {"log": self.log.getvalue(), "ledger": files, "bodies": "\n".join(self.bodies)}
        return [
            (place, secret)
            for place, text in places.items()
            for secret in secrets
            for spelling in {secret, json.dumps(secret)[1:-1], secret.replace("/", "\\/"), secret.strip("=")}
            if spelling in text
        ]


@pytest.fixture
def world(server, book, tmp_path, monkeypatch):
    monkeypatch.setattr(gateways, "UPSTREAM_KEY", UPSTREAM)
    log = io.StringIO()
    handler = to_stream(log)
    door = gateways.remote_door(book, server.url, gate=Accounts(book, Flat()), admin_token=ADMIN)
    with gateways.running(door) as running:
        yield World(running, create(book, "app", tenant="shop").secret, log, tmp_path)
    LOGGER.removeHandler(handler)
    LOGGER.propagate = True


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_call_that_goes_well(world, path):
    body = chat_body("hi", model="m")
    assert [await world.ask(path, body=body), await world.ask(path, body={**body, "stream": True})] == [200, 200]
    await wire_server.until(lambda: world.log.getvalue().count('"status":200') == 2)
    assert not world.holds(UPSTREAM, world.key, ADMIN)


ECHOES = {
    "in a sentence": {"error": {"message": f"Incorrect API key provided: {UPSTREAM}.", "code": UPSTREAM}},
    "in a plain text": f"Bearer {UPSTREAM} is not allowed",
    "escaped as PHP and .NET do": '{"error": {"message": "bad key ' + UPSTREAM.replace("/", "\\/").replace("+", "\\u002B")
    + '", "param": "' + UPSTREAM.replace("=", "\\u003d") + '"}}',
    "after a long word": {"detail": "x" * 280 + UPSTREAM},
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500, 503])
async def test_an_upstream_that_repeats_its_key_in_a_refusal(world, server, code, echo, stream):
    server.next.append(wire_server.status(code, echo))
    assert await world.ask(stream=stream) >= 400
    assert world.gateway.only()[1].error
    assert not world.holds(UPSTREAM, world.key)


BROKEN_STREAMS = {
    "an error in an event": b'data: {"error": {"message": "key %s"}}\n\n',
    "not JSON": b"data: %s\n\n",
    "a chunk of an unknown shape": b'data: {"choices": "%s"}\n\n',
    "no object": b'data: ["%s"]\n\n',
}


@pytest.mark.parametrize("sent", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS)
async def test_an_upstream_that_repeats_its_key_in_a_broken_stream(world, server, sent):
    begun = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
    for first in (b"", begun):
        server.next.append(wire_server.stream(first, sent % UPSTREAM.encode(), "break"))
        await world.ask(stream=bool(first))
    assert all(attempt.error for record in world.gateway.records() for attempt in record.attempts)
    assert not world.holds(UPSTREAM, world.key)


async def test_a_client_that_hangs_up(world, server):
    server.token_s = 0.05
    headers = {"Authorization": f"Bearer {world.key}"}
    async with aiohttp.ClientSession() as session:
        body = chat_body("word " * 100, model="m", stream=True)
        async with session.post(world.gateway.url + "/chat/completions", json=body, headers=headers) as response:
            await response.content.readany()
    await wire_server.until(lambda: '"status":499' in world.log.getvalue())
    assert not world.holds(UPSTREAM, world.key)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/outcomes", "/v1/models"])
async def test_a_key_that_is_none(world, path):
    wrong = "sk-cput-" + "W" * 43
    assert await world.ask(path, key=wrong) in {401, 405}
    assert await world.ask("/v1/chat/completions", key="some-other-secret-0123") == 401
    assert not world.holds(wrong, "some-other-secret-0123")


async def test_counters_and_their_token(world):
    assert (await gateways.get(world.gateway, "/metrics", {"Authorization": f"Bearer {ADMIN}x"}))[0] == 401
    status, page = await gateways.get(world.gateway, "/metrics", {"Authorization": f"Bearer {ADMIN}"})
    assert status == 200
    world.bodies.append(page)
    assert not world.holds(UPSTREAM, world.key, ADMIN)


async def test_an_upstream_that_hangs_up(world, server):
    server.next.append(wire_server.stream("break"))
    assert await world.ask() >= 500
    assert not world.holds(UPSTREAM, world.key)


async def test_a_failure_of_the_gateway_itself(world, monkeypatch):
    """Its traceback is logged without the values in it. The ledger has its sentence; a redactor knows the keys."""

    def fail(*_, **__):
        raise RuntimeError(f"a bug that quotes {UPSTREAM} and {world.key}")

    door = world.gateway.door
    monkeypatch.setattr("cput.serve.forward.Forward.answer", fail)
    monkeypatch.setattr(door.tally, "_ledger", Redacted(door.ledger, Redactor(secrets=[UPSTREAM])))
    assert await world.ask() == 500
    await wire_server.until(lambda: "RuntimeError" in world.log.getvalue())
    assert world.gateway.only()[1].error == "a bug that quotes <SECRET> and <API_KEY>"
    assert not world.holds(UPSTREAM, world.key)


def test_a_url_that_is_none_is_named_without_its_password():
    with pytest.raises(InputError) as raised:
        open_engine("openai", model="m", base_url="ftp://me:hunter2-0123@host/v1")
    assert "hunter2" not in str(raised.value)
