"""The clients of the fault load test: each asks, now and then hangs up, and writes down what it was told."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum

import aiohttp
from faults_upstream import answer_of

PREFIX = "chatcmpl-"
AGAIN_S = 0.05
PATIENCE_S = 30.0


class Kind(Enum):
    """What a client knows of its call in the end."""

    WHOLE = "whole"
    """It has the whole answer."""
    ERROR = "error"
    """It was told an error, as a status or as an event."""
    GAVE_UP = "gave up"
    """It hung up."""
    LOST = "lost"
    """The connection broke: the gateway was killed."""


@dataclass(slots=True)
class Told:
    """What one call's client was told."""

    name: str
    """The call's own name: its prompt, and its external key."""
    kind: Kind | None = None
    """How it ended."""
    call_id: str | None = None
    """The call's id, where one was told."""
    tokens: int | None = None
    """Output tokens, of a whole answer."""
    why: str = ""
    """The error, or what was wrong with the answer."""
    ended_at: float = 0.0
    """When, on the monotonic clock."""


class Clients:
    """Asks ``calls`` times, ``at_once`` at a time. Who is refused the connection asks again: nothing was sent."""

    def __init__(self, url: Callable[[], str], *, calls: int, at_once: int, hang_up_share: float, seed: int) -> None:
        self._url = url
        self._waiting = iter(range(calls))
        self._at_once = at_once
        self._hang_up_share = hang_up_share
        self._random = random.Random(seed)
        self._seed = seed
        self.told: list[Told] = []

    async def run(self) -> None:
        """Ask until all calls have ended."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(self._worker(session) for _ in range(self._at_once)))

    async def _worker(self, session: aiohttp.ClientSession) -> None:
        for number in self._waiting:
            told = Told(f"n{self._seed}x{number}")
            hang_up_s = self._random.uniform(0.0, 0.15) if self._random.random() < self._hang_up_share else None
            try:
                async with asyncio.timeout(hang_up_s):
                    await self._ask(session, told, stream=bool(number % 2))
            except TimeoutError:
                told.kind = Kind.GAVE_UP
            told.ended_at = time.monotonic()
            self.told.append(told)

    async def _ask(self, session: aiohttp.ClientSession, told: Told, *, stream: bool) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": told.name}], "stream": stream}
        if stream:
            body["stream_options"] = {"include_usage": True}
        while told.kind is None:
            try:
                await self._once(session, told, body)
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(AGAIN_S)
            except (aiohttp.ClientError, ConnectionError) as error:
                told.kind, told.why = Kind.LOST, str(error)

    async def _once(self, session: aiohttp.ClientSession, told: Told, body: dict[str, object]) -> None:
        headers = {"X-Cput-External-Key": told.name}
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with session.post(
            f"{self._url()}/chat/completions", json=body, headers=headers, timeout=timeout
        ) as response:
            told.call_id = response.headers.get("x-cput-call-id")
            if response.status != 200:
                told.why = f"{response.status}: {(await response.text())[:200]}"
                told.kind = Kind.ERROR
            elif body["stream"]:
                await read_stream(response, told)
            else:
                answer = json.loads(await response.read())
                whole(told, answer["choices"][0]["message"]["content"], answer["usage"], answer["id"])


async def read_stream(response: aiohttp.ClientResponse, told: Told) -> None:
    """Read events until the mark, an error, or a broken connection."""
    text, usage, said_id = "", None, ""
    async for data in events(response):
        if data == b"[DONE]":
            whole(told, text, usage, said_id)
            return
        chunk = json.loads(data)
        if "error" in chunk:
            told.kind, told.why = Kind.ERROR, f"event: {chunk['error']['message'][:200]}"
            return
        said_id, usage = chunk["id"], chunk.get("usage") or usage
        text += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
    told.kind, told.why = Kind.LOST, "the stream ended without its mark"


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for line in response.content:
        if line.startswith(b"data: "):
            yield line.removeprefix(b"data: ").strip()


def whole(told: Told, text: str, usage: dict[str, int] | None, said_id: str) -> None:
    """Take in a whole answer; it must be the one to this request, to the word, and name its call once."""
    words, prompt_tokens = answer_of(told.name)
    told.kind = Kind.WHOLE
    told.tokens = (usage or {}).get("completion_tokens")
    if text != "".join(words):
        told.why = f"the text is {text!r}"
    elif (usage or {}).get("prompt_tokens") != prompt_tokens or told.tokens != len(words):
        told.why = f"the usage is {usage}"
    elif said_id != f"{PREFIX}{told.call_id}":
        told.why = f"the id is {said_id} and the call {told.call_id}"
