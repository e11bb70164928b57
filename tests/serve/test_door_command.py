"""``cput serve`` as a process: it says where it is, drains when asked to go, and a kill loses nothing acknowledged."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys

import aiohttp
import openai
import pytest
from gateways import chat_body
from wire_server import until

from cput.cli.serve import serve
from cput.errors import InputError
from cput.ledger.store import Ledger
from cput.records import Finish, Role

COMMAND = [sys.executable, "-c", "import cyclopts; from cput.cli.serve import serve; cyclopts.run(serve)"]


class Process:
    def __init__(self, url, ledger, *more):
        self.ledger = ledger
        argv = [*COMMAND, url, "--port", "0", "--ledger", str(ledger), *more]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.first = self.process.stdout.readline()
        self.second = self.process.stdout.readline()
        self.url = self.first.removeprefix("base URL: ").strip()

    def ended(self):
        """Wait for its end; return its exit code and what it logged."""
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    async def ask(self, body):
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + "/chat/completions", json=body) as response,
        ):
            return response.status, await response.read()


@contextlib.contextmanager
def serving(url, ledger, *more):
    opened = Process(url, ledger, *more)
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            opened.process.kill()
        opened.process.communicate(timeout=20)


def rows(ledger):
    with Ledger.open(ledger) as book:
        return book.calls()


async def test_it_says_where_it_is_serves_and_drains_on_sigterm(server, tmp_path):
    server.token_s = 0.02
    with serving(server.url, tmp_path / "l.db", "--workload", "shop", "--keep-text") as gateway:
        assert gateway.url.startswith("http://127.0.0.1:")
        assert gateway.second.startswith(f"curl {gateway.url}/chat/completions ")
        asked = asyncio.create_task(gateway.ask(chat_body("word " * 30, model="m", stream=True)))
        await until(lambda: server.bodies)
        gateway.process.send_signal(signal.SIGTERM)
        status, raw = await asked
        assert (status, raw.endswith(b"data: [DONE]\n\n")) == (200, True)
        code, errors = gateway.ended()
    assert (code, "Traceback" in errors) == (0, False)
    assert any('"status":200' in line for line in errors.splitlines())
    (record,) = rows(tmp_path / "l.db")
    assert (record.call.workload, record.call.messages[0].content) == ("shop", "word " * 30)
    assert (record.attempts[0].finish, record.attempts[0].usage.output) == (Finish.STOP, 30)


async def test_what_is_not_done_when_the_drain_is_over_is_broken_off_and_on_record(server, tmp_path):
    server.token_s = 0.05
    with serving(server.url, tmp_path / "l.db", "--drain-s", "1", "--quiet") as gateway:
        asked = asyncio.create_task(gateway.ask(chat_body("word " * 400, model="m")))
        await until(lambda: server.bodies)
        gateway.process.send_signal(signal.SIGINT)
        status, raw = await asked
        assert (status, json.loads(raw)["error"]["code"]) == (503, "engine_unavailable")
        assert gateway.ended()[0] == 0
    (record,) = rows(tmp_path / "l.db")
    assert (record.attempts[0].finish, record.attempts[0].usage.complete) == (Finish.CANCELLED, False)


async def test_a_kill_loses_no_acknowledged_call(server, tmp_path):
    server.token_s = 0.0
    acknowledged = []

    async def ask_for_ever(gateway):
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            while True:
                status, raw = await gateway.ask(chat_body(model="m"))
                assert status == 200
                acknowledged.append(json.loads(raw)["id"].removeprefix("chatcmpl-"))

    with serving(server.url, tmp_path / "l.db", "--quiet") as gateway:
        askers = [asyncio.create_task(ask_for_ever(gateway)) for _ in range(4)]
        await until(lambda: len(acknowledged) > 40)
        os.kill(gateway.process.pid, signal.SIGKILL)
        await asyncio.gather(*askers)
    on_record = {record.call.id for record in rows(tmp_path / "l.db")}
    assert len(acknowledged) > 40
    assert set(acknowledged) <= on_record


def embedded(url, model):
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    return len(client.embeddings.create(model=model, input="a").data[0].embedding)


def test_an_embedding_model_is_served_by_its_name(minilm, tmp_path):
    with serving(minilm.name, tmp_path / "l.db", "--alias", "text-embedding-3-small") as gateway:
        assert gateway.second.startswith(f"curl {gateway.url}/embeddings ")
        assert f'{{"model": "{minilm.name}", "input": "Hello"}}' in gateway.second
        assert embedded(gateway.url, "text-embedding-3-small") == embedded(gateway.url, minilm.name) == 384


async def test_an_embedding_model_is_served_beside_an_upstream(server, minilm, wordllama, tmp_path):
    more = ("--embed", minilm.name, "--embed", wordllama.name)
    with serving(server.url, tmp_path / "l.db", *more) as gateway:
        sizes = [await asyncio.to_thread(embedded, gateway.url, name) for name in (minilm.name, wordllama.name, "m")]
        status, _ = await gateway.ask(chat_body("one", model="m"))
    assert (sizes, status) == ([384, 256, 4], 200)
    assert [record.attempts[0].role for record in rows(tmp_path / "l.db")] == [Role.EMBED] * 3 + [Role.SERVE]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"what": "http://x/v1", "host": "0.0.0.0"}, "cput key create"),
        ({"what": "http://x/v1", "port": 99999}, "--port is 99999"),
        ({"what": "http://x/v1", "host": "no.such.host.invalid"}, "API keys"),
        ({"what": "http://x/v1", "alias": ("a",)}, "--model"),
        ({"what": "http:///v1"}, "base URL"),
        ({"what": "none.toml"}, "there is no policy file"),
        ({"what": "smollm2-135m-instruct", "model": "x"}, "goes with a URL"),
        ({"what": "http://x/v1", "max_new_tokens": 0}, "--max-new-tokens is 0"),
        ({"what": "http://x/v1", "most_at_once": 0}, "most_at_once is 0"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        serve(ledger=str(tmp_path / "l.db"), quiet=True, **options)


@pytest.mark.parametrize(
    ("what", "embed", "says"),
    [
        ("http://x/v1", "all-minilm", "did you mean 'all-minilm-l6-v2'"),
        ("http://x/v1", "smollm2-135m-instruct", "generates text and makes no embeddings"),
        ("all-minilm-l6-v2", "all-minilm-l6-v2", "is served already"),
    ],
)
@pytest.mark.usefixtures("smollm2", "minilm")
def test_what_can_not_embed_is_one_sentence(tmp_path, what, embed, says):
    with pytest.raises(InputError, match=says):
        serve(what, embed=(embed,), ledger=str(tmp_path / "l.db"), quiet=True)
