"""A mock upstream as a process of its own, which counts what it reads and fails as it is told.

    python faults_upstream.py --name a --port 0 --log a.log --fault-share 0.3 --seed 1

A request carries its own name (the last message's text). The answer is known from that name alone, so that whoever asks
can check it to the word and to the token. The name goes to the log, one line a request, in one write before anything is
answered: what a SIGKILL can't take back.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import sys
import zlib
from collections.abc import Sequence

from aiohttp import web

STALL_S = 60.0
FAULTS = (
    "status 500",
    "status 503",
    "status 429",
    "stall",
    "stall after the head",
    "stall in the middle",
    "reset",
    "reset in the middle",
    "close early",
    "close in the middle",
    "no JSON",
    "error event",
)


def answer_of(name: str) -> tuple[list[str], int]:
    """Return the words of the answer to a request, and the tokens of its prompt; each word is a token."""
    number = zlib.crc32(name.encode())
    return [f"{name}-{at} " for at in range(1 + number % 16)], 5 + number % 50


class Upstream:
    """Answers, or fails in one of twelve ways."""

    def __init__(self, log: int, fault_share: float, seed: str, token_s: float) -> None:
        self._log = log
        self._fault_share = fault_share
        self._random = random.Random(seed)
        self._token_s = token_s

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        body = await request.json()
        name = body["messages"][-1]["content"]
        os.write(self._log, f"{name}\n".encode())
        fault = self._random.choice(FAULTS) if self._random.random() < self._fault_share else None
        if fault is not None and fault.startswith("status"):
            return refused(int(fault.split()[1]))
        if fault == "stall":
            await asyncio.sleep(STALL_S)
        if fault == "reset":
            return broken(request)
        if not body.get("stream"):
            return await self._whole(request, name, fault)
        return await self._streamed(request, name, fault)

    async def _whole(self, request: web.Request, name: str, fault: str | None) -> web.StreamResponse:
        words, prompt_tokens = answer_of(name)
        await asyncio.sleep(self._token_s * len(words))
        if fault in {"stall after the head", "stall in the middle"}:
            await asyncio.sleep(STALL_S)
        if fault is not None:
            return broken(request)
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(words)}
        return web.json_response({"model": "mock", "choices": [choice], "usage": usage})

    async def _streamed(self, request: web.Request, name: str, fault: str | None) -> web.StreamResponse:
        words, prompt_tokens = answer_of(name)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if fault == "stall after the head":
            await asyncio.sleep(STALL_S)
        middle = len(words) // 2 if fault is not None and "middle" in fault else None
        if fault in {"no JSON", "error event"}:
            data = b"{nope" if fault == "no JSON" else b'{"error": {"message": "overloaded"}}'
            await response.write(b"data: " + data + b"\n\n")
        if fault is None or middle is not None:
            for word in words[:middle]:
                await asyncio.sleep(self._token_s)
                await said(response, {"choices": [{"index": 0, "delta": {"content": word}}]})
        if fault == "stall in the middle":
            await asyncio.sleep(STALL_S)
        if fault == "reset in the middle":
            return broken(request)
        if fault is None:
            await said(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            counts = {"prompt_tokens": prompt_tokens, "completion_tokens": len(words)}
            await said(response, {"choices": [], "usage": counts})
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


async def said(response: web.StreamResponse, chunk: dict[str, object]) -> None:
    await response.write(b"data: " + json.dumps({"model": "mock", **chunk}).encode() + b"\n\n")


def refused(status: int) -> web.Response:
    headers = {"Retry-After": "0"} if status == 503 else {}
    return web.json_response({"error": {"message": "as told"}}, status=status, headers=headers)


def broken(request: web.Request) -> web.Response:
    """Cut the connection."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def serve(arguments: argparse.Namespace) -> None:
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # its connections break all the time
    log = os.open(arguments.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    upstream = Upstream(log, arguments.fault_share, arguments.seed, arguments.token_s)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", arguments.port).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", required=True)
    parser.add_argument("--fault-share", type=float, default=0.3)
    parser.add_argument("--token-s", type=float, default=0.005)
    parser.add_argument("--seed", default="0")
    asyncio.run(serve(parser.parse_args(argv)))


if __name__ == "__main__":
    main(sys.argv[1:])
