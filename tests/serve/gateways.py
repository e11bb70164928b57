"""A gateway in a thread on 127.0.0.1, as ``cput serve`` runs it, and its door to look into."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass

import aiohttp
import msgspec

from cput.engines.echo import Echo
from cput.engines.retry import Retried
from cput.ledger.meter import Metered
from cput.ledger.price import PriceBook
from cput.serve.app import application
from cput.serve.dialects.base import Takes
from cput.serve.door import Door, Model
from cput.serve.forward import Forward
from cput.serve.run import Server, bind, url_of
from cput.serve.serving import Serving, Stack

UPSTREAM_KEY = "sk-upstream-0123456789"
PRICES = PriceBook()


@dataclass
class Gateway:
    url: str
    door: Door
    loop: asyncio.AbstractEventLoop
    server: Server

    @property
    def root(self):
        return self.url.removesuffix("/v1")

    def writing_to(self, book):
        """The same gateway with another ledger."""
        self.door.ledger = self.door.tally._ledger = book
        return self

    def records(self):
        return self.door.ledger.calls()

    def only(self):
        """The only call on record, and its only attempt."""
        (record,) = self.records()
        (attempt,) = record.attempts
        return record.call, attempt


def echo_door(book, *, token_s=0.0, **options):
    door = Door(ledger=book, models={}, **options)
    engine = Metered(Echo(token_s=token_s, context_length=500), door.tally)
    stack = Stack(engine_for=lambda _: engine, close=engine.aclose, policy="echoes")
    door.models = {"echo": Model(serving=Serving(stack), takes=Takes.TEXT)}
    return door


def remote_door(book, url, *, attempts=1, prices=PRICES, timeouts=None, keep_text=False, **options):
    door = Door(ledger=book, models={}, **options)
    leaf = Forward("any", url, any_model=True, api_key=UPSTREAM_KEY, **(timeouts or {}))

    def engine_for(model):
        metered = Metered(leaf, door.tally, prices=prices, model=model, keep_text=keep_text)
        return Retried(metered, attempts=attempts, backoff_s=0.0, max_wait_s=0.0)

    stack = Stack(engine_for=engine_for, close=leaf.aclose)
    door.other = Model(serving=Serving(stack), takes=Takes.WIRE)
    door.list_other = leaf.models
    return door


@contextlib.contextmanager
def running(door, *, drain_s=1):
    """Run the door's application in a thread until left."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    listening = bind("127.0.0.1", 0)
    server = Server(application(door), door, drain_s=drain_s, ready=ready.set)

    def run():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(server.serve(sockets=[listening]))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    url = url_of(listening)
    thread.start()
    assert ready.wait(10)
    try:
        yield Gateway(url, door, loop, server)
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()


def chat_body(text="one two three", model="echo", **more):
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 500, **more}


async def post(gateway, path, body, headers=None):
    """Post JSON (or bytes); return status, headers and the body as JSON where it is."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.root + path, data=data, headers=headers or {}) as response,
    ):
        raw = await response.read()
        kind = response.headers.get("content-type", "")
        return response.status, response.headers, msgspec.json.decode(raw) if "json" in kind else raw


async def get(gateway, path, headers=None):
    async with (
        aiohttp.ClientSession() as session,
        session.get(gateway.root + path, headers=headers or {}) as response,
    ):
        return response.status, await response.text()


async def events(gateway, path, body, headers=None):
    """Post a streamed request; return the data of each event, decoded, in order ("[DONE]" as it is)."""
    status, _, raw = await post(gateway, path, {**body, "stream": True}, headers)
    assert status == 200, raw
    assert isinstance(raw, bytes), raw
    return parsed(raw)


def parsed(raw):
    found = []
    for block in raw.decode().split("\n\n"):
        for line in block.split("\n"):
            if line.startswith("data: "):
                data = line.removeprefix("data: ")
                found.append(data if data == "[DONE]" else msgspec.json.decode(data))
    return found


def said(chunks):
    """The text of a stream of chat chunks."""
    deltas = [c["choices"][0]["delta"] for c in chunks if c != "[DONE]" and c["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)
