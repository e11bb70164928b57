"""An OpenAI-compatible server in a thread on 127.0.0.1, in front of the echo engine, that misbehaves when told to."""

import asyncio
import base64
import json
import struct
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

from aiohttp import web

from cput.engines.echo import Echo
from cput.errors import PromptTooLong
from cput.records import Call, Message, Sampling

CONTEXT_WORDS = 600


class Server:
    """What was asked, and how the next answers are given."""

    def __init__(self):
        self.url = ""
        self.bodies: list[dict] = []
        self.headers: list[dict] = []
        self.peers: list[tuple] = []
        self.hung_up_at: list[float] = []
        self.next: list[Callable] = []  # handlers for the next requests; then echo
        self.token_s = 0.002
        self.knows_stream_options = True
        self.sends_usage = True
        self.usage_extra: dict = {}
        self.line_end = b"\n"
        self.shatter = False
        self.keep_alives = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.peers.append(request.transport.get_extra_info("peername"))
        handler = self.next.pop(0) if self.next else Server.embed if "input" in body else Server.echo
        try:
            return await handler(self, request, body)
        except (asyncio.CancelledError, ConnectionResetError):
            self.hung_up_at.append(time.perf_counter())
            raise

    async def echo(self, request, body) -> web.StreamResponse:
        if "stream_options" in body and not self.knows_stream_options:
            return web.json_response({"error": {"message": "unknown field stream_options"}}, status=400)
        chat = "messages" in body
        most = body.get("max_completion_tokens", body.get("max_tokens", 4096))
        sampling = Sampling(max_new_tokens=most, stop=tuple(body.get("stop", ())))
        turns = tuple(Message(**turn) for turn in body.get("messages", ()))
        answer = Echo(token_s=self.token_s, context_length=CONTEXT_WORDS).answer(
            Call(messages=turns, prompt=body.get("prompt"), sampling=sampling)
        )
        if not body.get("stream"):
            return await self.whole(answer, chat=chat)
        response = None
        try:
            async for piece in answer:
                if response is None:
                    response = await self.begin(request)
                part = {"delta": {"content": piece.text}} if chat else {"text": piece.text}
                await self.send(response, {"model": "echo-1", "choices": [{"index": 0, **part}]})
        except PromptTooLong as error:
            return too_long(error)
        response = response or await self.begin(request)
        last = {"delta": {}} if chat else {"text": ""}
        await self.send(response, {"choices": [{"index": 0, **last, "finish_reason": answer.ending.finish.value}]})
        if self.sends_usage and body.get("stream_options", {}).get("include_usage"):
            usage = answer.ending.usage
            counts = {"prompt_tokens": usage.input, "completion_tokens": usage.output}
            await self.send(response, {"choices": [], "usage": counts | self.usage_extra})
        await self.write(response, b"data: [DONE]" + self.line_end * 2)
        await response.write_eof()
        return response

    async def whole(self, answer, *, chat):
        try:
            text = await answer.text()
        except PromptTooLong as error:
            return too_long(error)
        usage, reason = answer.ending.usage, answer.ending.finish.value
        said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        body = {"model": "echo-1", "choices": [{"index": 0, **said, "finish_reason": reason}]}
        counts = {"prompt_tokens": usage.input, "completion_tokens": usage.output}
        return web.json_response(body | ({"usage": counts | self.usage_extra} if self.sends_usage else {}))

    async def embed(self, request, body) -> web.StreamResponse:
        """Vectors of length 4 by the texts' lengths, as OpenAI gives them; a token is a word."""
        await asyncio.sleep(self.token_s)
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        texts = [texts] if isinstance(texts[0], int) else texts
        data = []
        for at, text in enumerate(texts):
            row = [float(len(text)), 1.0, 0.5, -float(at)]
            said = (
                base64.b64encode(struct.pack("<4f", *row)).decode() if body.get("encoding_format") == "base64" else row
            )
            data.append({"object": "embedding", "index": at, "embedding": said})
        count = sum(len(text.split()) if isinstance(text, str) else len(text) for text in texts)
        usage = (
            {"usage": {"prompt_tokens": count, "total_tokens": count} | self.usage_extra} if self.sends_usage else {}
        )
        return web.json_response({"object": "list", "data": data, "model": "embed-1"} | usage)

    async def begin(self, request, content_type="text/event-stream; charset=utf-8") -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        return response

    async def send(self, response, chunk):
        if self.keep_alives:
            await self.write(response, b": ping" + self.line_end + b"event: message" + self.line_end)
        data = json.dumps(chunk, ensure_ascii=False).encode()
        await self.write(response, b"data: " + data + self.line_end * 2)

    async def write(self, response, data: bytes):
        if not self.shatter:
            await response.write(data)
            return
        for at in range(0, len(data), 3):  # borders inside characters, inside CRLF
            await response.write(data[at : at + 3])
            await asyncio.sleep(0)


def too_long(error):
    message = f"This model's maximum context length is {CONTEXT_WORDS} tokens. {error}"
    return web.json_response({"error": {"message": message, "code": "context_length_exceeded"}}, status=400)


def status(code, body, headers=None):
    async def handler(server, request, asked):
        if isinstance(body, str):
            return web.Response(status=code, text=body, headers=headers)
        return web.json_response(body, status=code, headers=headers)

    return handler


def stream(*parts: bytes | float | str, content_type="text/event-stream"):
    """Send bytes; a number is a pause in seconds; "break" cuts the connection."""

    async def handler(server, request, asked):
        response = await server.begin(request, content_type)
        for part in parts:
            if part == "break":
                await asyncio.sleep(0.05)  # what was written is on its way
                request.transport.abort()
                return response
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                await response.write(part)
        await response.write_eof()
        return response

    return handler


def silent(seconds: float):
    async def handler(server, request, asked):
        await asyncio.sleep(seconds)
        return web.json_response({})

    return handler


async def until(true: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for something that happens in another thread or process."""
    for _ in range(int(within_s / 0.005)):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"it did not happen within {within_s:g} s")


@contextmanager
def serve():
    """Run a server in a thread; stops when left."""
    server, started = Server(), threading.Event()
    loop = asyncio.new_event_loop()

    async def start():
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", server.handle)
        app.router.add_post("/v1/completions", server.handle)
        app.router.add_post("/v1/embeddings", server.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        started.set()
        return runner

    def run():
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
