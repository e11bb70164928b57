"""An OpenAI-compatible upstream that costs next to nothing: bytes made beforehand, written by a bare asyncio protocol.

The model's name in the request says how it answers: ``mock`` at once, ``paced`` with ``PACE_S`` between its chunks,
``slow`` after ``SLOW_S``, ``fails`` with a 500, ``refuses`` with a 400. A stream tells its usage where that was asked
for, as OpenAI does. Each chunk of a paced stream carries the moment at which it was written (the machine's monotonic
clock), so that a client can tell what the way added.

    python benches/gateway_mock.py        # prints its base URL, then serves until its standard input closes
"""

import asyncio
import json
import os
import re
import sys
import time

CHUNKS = 64
"""Chunks of a paced stream."""
PACE_S = 0.02
SLOW_S = 0.5
TOKENS = 16
"""Tokens of an answer that is not paced."""
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n"
_CHUNK = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1, "model": "mock"}
_USAGE = {"prompt_tokens": 12, "completion_tokens": TOKENS, "total_tokens": 12 + TOKENS}


def _whole(body: bytes, kind: bytes = b"application/json", status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 " + status + b"\r\ncontent-type: " + kind + b"\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def _event(data: dict) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _delta(text: str, reason: str | None = None) -> dict:
    delta = {"content": text} if text else {}
    return {**_CHUNK, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}


def _framed(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


def _stream(*, usage: bool) -> bytes:
    events = [_event(_delta(f"word{index} ")) for index in range(TOKENS)] + [_event(_delta("", "stop"))]
    events += [_event({**_CHUNK, "choices": [], "usage": _USAGE})] if usage else []
    framed = b"".join(_framed(event) for event in [*events, b"data: [DONE]\n\n"])
    return _HEAD % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


ANSWER = _whole(
    json.dumps(
        {
            **_CHUNK,
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "".join(f"word{index} " for index in range(TOKENS))},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": _USAGE,
        }
    ).encode()
)
STREAM = {usage: _stream(usage=usage) for usage in (False, True)}
FAILURE = _whole(b'{"error": {"message": "mock failure", "type": "server_error"}}', status=b"500 Internal Server Error")
REFUSAL = _whole(b'{"error": {"message": "mock refusal", "type": "invalid_request_error"}}', status=b"400 Bad Request")
MODELS = _whole(json.dumps({"object": "list", "data": [{"id": "mock", "object": "model"}]}).encode())


class Mock(asyncio.Protocol):
    """One connection; requests are answered in order, one at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._pacing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if self._pacing is not None:
            self._pacing.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._data, 0, end)
            length = int(found[1]) if found else 0
            if len(self._data) < end + 4 + length:
                return
            body, self._data = self._data[end + 4 : end + 4 + length], self._data[end + 4 + length :]
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        asked = json.loads(body) if body else {}
        model = asked.get("model")
        assert self._transport is not None
        if model == "paced":
            self._pacing = asyncio.create_task(self._pace())
        elif model == "slow":
            self._pacing = asyncio.create_task(self._wait(asked))
        elif model in {"fails", "refuses"}:
            self._transport.write(FAILURE if model == "fails" else REFUSAL)
        else:
            self._transport.write(MODELS if not asked else _plain(asked))

    async def _wait(self, asked: dict) -> None:
        await asyncio.sleep(SLOW_S)
        if self._transport is not None:
            self._transport.write(_plain(asked))

    async def _pace(self) -> None:
        assert self._transport is not None
        self._transport.write(_HEAD % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n")
        due = time.monotonic()
        for index in range(CHUNKS):
            self._transport.write(_framed(_event(_delta(f"{index}@{time.monotonic():.6f} "))))
            due += PACE_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        last = _event(_delta("", "stop")) + _event({**_CHUNK, "choices": [], "usage": _USAGE})
        self._transport.write(_framed(last + b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _plain(asked: dict) -> bytes:
    if not asked.get("stream"):
        return ANSWER
    return STREAM[bool((asked.get("stream_options") or {}).get("include_usage"))]


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Mock, "127.0.0.1", 0, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: os.read(sys.stdin.fileno(), 4096) or over.set())
    await over.wait()


if __name__ == "__main__":
    asyncio.run(main())
