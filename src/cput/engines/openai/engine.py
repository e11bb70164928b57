"""The client: one HTTP request per call, read as server-sent events piece by piece.

Usage is asked for (``stream_options``) and counted by the provider; where the server does not send it, the arrived
pieces are counted and marked as an estimate. Hanging up closes the connection, which cancels the work upstream.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp

from cput.engines.openai.body import finish_of, request_body, usage_of
from cput.errors import EngineError, EngineUnavailable, InputError, PromptTooLong, UpstreamError
from cput.protocols import Answer
from cput.records import Call, CountedBy, Ending, Piece, Usage

TOO_LONG = (
    "context length",
    "context_length",
    "context size",
    "maximum context",
    "too many tokens",
    "exceeds the model",
)
SSE_LINE_BYTES = 1 << 22


class OpenAI:
    """A remote engine.

    Args:
        model: the model's name at the server.
        base_url: up to and including ``/v1``.
        api_key: sent as a bearer token; None reads ``OPENAI_API_KEY``.
        connect_timeout_s: limit on connecting.
        first_token_timeout_s: limit from sending to the first byte of the answer.
        idle_timeout_s: limit between two pieces.
        extra: further fields of the request body, sent as they are.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        api_key: str | None = None,
        connect_timeout_s: float = 10.0,
        first_token_timeout_s: float = 300.0,
        idle_timeout_s: float = 60.0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise InputError(f"base URL '{base_url}' is not allowed; it starts with http:// or https://")
        self.name = f"openai:{model}"
        self.base_url = base_url.rstrip("/")
        self._model = model
        self._key = api_key if api_key is not None else os.environ.get("OPENAI_API_KEY")
        self._timeouts = (connect_timeout_s, first_token_timeout_s, idle_timeout_s)
        self._extra = dict(extra or {})
        self._ask_usage = True
        self._session: aiohttp.ClientSession | None = None

    def answer(self, call: Call) -> Answer:
        """Answer a call; EngineUnavailable, UpstreamError or PromptTooLong come from the stream."""
        progress = _Progress()
        return Answer(self._stream(call, progress), progress.so_far)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _stream(self, call: Call, progress: "_Progress") -> AsyncGenerator[Piece | Ending, None]:
        response = await self._send(call)
        try:
            if "text/event-stream" in response.headers.get("Content-Type", ""):
                async for chunk in self._events(response):
                    for piece in progress.take(chunk, call):
                        yield piece
            else:
                for piece in progress.take(await self._whole(response), call):
                    yield piece
            yield progress.ending()
        finally:
            response.close()

    async def _send(self, call: Call) -> aiohttp.ClientResponse:
        path = "/completions" if call.prompt is not None else "/chat/completions"
        body = request_body(call, self._model, ask_usage=self._ask_usage, extra=self._extra)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            response = await self._connection().post(self.base_url + path, json=body, headers=headers)
        except TimeoutError as error:
            raise EngineUnavailable(f"{self.base_url} gave no answer within {self._timeouts[1]:g} s") from error
        except aiohttp.ClientError as error:
            raise EngineUnavailable(f"{self.base_url} can't be reached: {error}") from error
        if response.status < 400:
            return response
        text = await response.text(errors="replace")
        response.close()
        if self._ask_usage and response.status in {400, 422} and "stream_options" in text:
            self._ask_usage = False  # an older server; the count will be an estimate
            return await self._send(call)
        raise self._refusal(response.status, text)

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            connect, first, _ = self._timeouts
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=first)
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(
                timeout=timeout, connector=connector, read_bufsize=SSE_LINE_BYTES, trust_env=True
            )
        return self._session

    def _refusal(self, status: int, text: str) -> EngineError:
        message = _message(text)
        if status in {400, 413, 422} and any(mark in message.lower() for mark in TOO_LONG):
            return PromptTooLong(f"{self.base_url} refused the prompt as too long: {message}")
        return UpstreamError(f"{self.base_url} answered {status}: {message}", status=status, body=text)

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncGenerator[dict[str, Any], None]:
        idle = self._timeouts[2]
        while True:
            try:
                async with asyncio.timeout(idle):
                    line = await response.content.readline()
            except TimeoutError as error:
                raise EngineUnavailable(
                    f"{self.base_url} sent nothing for {idle:g} s in the middle of an answer"
                ) from error
            except (aiohttp.ClientError, ConnectionError) as error:
                raise EngineUnavailable(f"{self.base_url} broke off in the middle of an answer: {error}") from error
            if not line:
                return
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            yield self._chunk(data)

    def _chunk(self, data: bytes) -> dict[str, Any]:
        try:
            chunk = json.loads(data)
        except json.JSONDecodeError as error:
            raise UpstreamError(f"{self.base_url} sent something that is not JSON: {data[:80]!r}") from error
        if not isinstance(chunk, dict):
            raise UpstreamError(f"{self.base_url} sent something that is not a chunk: {data[:80]!r}")
        if chunk.get("error"):
            raise UpstreamError(f"{self.base_url} broke off with an error: {_message(json.dumps(chunk))}")
        return chunk

    async def _whole(self, response: aiohttp.ClientResponse) -> dict[str, Any]:
        """A server that ignores ``stream`` answers in one body."""
        try:
            return self._chunk(await response.read())
        except aiohttp.ClientError as error:
            raise EngineUnavailable(f"{self.base_url} broke off in the middle of an answer: {error}") from error


class _Progress:
    """What has arrived of one answer."""

    def __init__(self) -> None:
        self._tokens = 0
        self._usage: Usage | None = None
        self._reason: str | None = None
        self._model: str | None = None

    def take(self, chunk: Mapping[str, Any], call: Call) -> list[Piece]:
        """Return the pieces of a chunk (none or one)."""
        self._model = chunk.get("model") or self._model
        if chunk.get("usage"):
            self._usage = usage_of(chunk["usage"])
        pieces = []
        for choice in (chunk.get("choices") or [])[:1]:
            self._reason = choice.get("finish_reason") or self._reason
            piece = _piece(choice, call)
            if piece.text or piece.tokens or piece.prompt_logprobs:
                self._tokens += piece.tokens
                pieces.append(piece)
        return pieces

    def so_far(self) -> Usage:
        """Return the last usage seen, else an estimate from the pieces that arrived."""
        if self._usage is not None:
            return self._usage
        return Usage(output=self._tokens, complete=False, counted_by=CountedBy.ESTIMATED)

    def ending(self) -> Ending:
        """Return how the answer closed; a stream that just stopped is an error, not an end."""
        if self._reason is None and self._usage is None:
            raise EngineUnavailable("the server closed the stream before the answer's end")
        return Ending(finish=finish_of(self._reason), usage=self.so_far(), model=self._model)


def _piece(choice: Mapping[str, Any], call: Call) -> Piece:
    delta = choice.get("delta") or choice.get("message") or {}
    text = delta.get("content") or choice.get("text") or ""
    reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
    logprobs = choice.get("logprobs") or {}
    chosen = [part["logprob"] for part in logprobs.get("content") or []]
    flat = logprobs.get("token_logprobs") or []
    prompt: tuple[float, ...] = ()
    if call.sampling.echo and call.prompt is not None and flat:
        scored = [value for value in flat if value is not None]
        generated = min(call.sampling.max_new_tokens, len(scored))
        prompt, chosen = tuple(scored[: len(scored) - generated]), scored[len(scored) - generated :]
        text = text.removeprefix(call.prompt)
    elif flat:
        chosen = [value for value in flat if value is not None]
    tokens = len(chosen) or (1 if text or reasoning else 0)
    kept = tuple(chosen) if call.sampling.logprobs else ()
    return Piece(text=text, tokens=tokens, logprobs=kept, prompt_logprobs=prompt)


def _message(text: str) -> str:
    """Return the sentence in an error body, or the body's beginning."""
    try:
        body = json.loads(text)
    except json.JSONDecodeError:
        return text.strip()[:300] or "(empty body)"
    error = body.get("error", body) if isinstance(body, dict) else body
    found = error.get("message") if isinstance(error, dict) else error
    return str(found or text)[:300]


def open_engine(
    model: str,
    *,
    base_url: str,
    api_key: str | None = None,
    connect_timeout_s: float = 10.0,
    first_token_timeout_s: float = 300.0,
    idle_timeout_s: float = 60.0,
    extra: dict[str, Any] | None = None,
) -> OpenAI:
    """Open a remote engine; the options are those of ``OpenAI``."""
    return OpenAI(
        model,
        base_url,
        api_key=api_key,
        connect_timeout_s=connect_timeout_s,
        first_token_timeout_s=first_token_timeout_s,
        idle_timeout_s=idle_timeout_s,
        extra=extra,
    )
