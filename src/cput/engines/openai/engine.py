"""The client: one HTTP request per call, read as server-sent events piece by piece.

Usage is asked for (``stream_options``) and counted by the provider; where the server does not send it, the arrived
pieces are counted and marked as an estimate. Hanging up closes the connection, which cancels the work upstream. The key
goes into the request's header and nowhere else: where a server's answer repeats it, it is struck out.
"""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
from yarl import URL

from cput.engines.openai.body import from_json, json_bytes, request_body
from cput.engines.openai.connections import Connections
from cput.engines.openai.embeddings import Hearing, embedding_body
from cput.engines.openai.progress import Progress
from cput.engines.openai.refusal import error_sentence, refusal
from cput.engines.openai.sse import EventReader, EventTooLong
from cput.engines.openai.surrogates import whole_characters
from cput.engines.retry import Stalled
from cput.errors import EngineUnavailable, InputError, UpstreamError
from cput.ledger.usage import provider_of
from cput.protocols import Answer
from cput.records import Call, Ending, Piece

DRAIN_S = 0.02


class OpenAI:
    """A remote engine. ``provider`` is who bills it, where its URL tells (see ``Ending``).

    Args:
        model: the model's name at the server.
        base_url: up to and including ``/v1``.
        api_key: sent as a bearer token; None reads ``OPENAI_API_KEY``.
        connect_timeout_s: limit on connecting.
        head_timeout_s: limit from sending to the response's head; None leaves it to the first token's.
        first_token_timeout_s: limit from sending to the first event of the answer.
        idle_timeout_s: limit between two signs of life (events or keep-alives) after it.
        whole_timeout_s: limit from sending to the end of an answer that is not streamed, in place of the other three.
        extra: further fields of the request body, sent as they are.
        resend: send once more, within the same attempt, where a kept connection was dropped (see ``Connections``).
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        api_key: str | None = None,
        connect_timeout_s: float = 10.0,
        head_timeout_s: float | None = None,
        first_token_timeout_s: float = 300.0,
        idle_timeout_s: float = 60.0,
        whole_timeout_s: float = 600.0,
        extra: Mapping[str, Any] | None = None,
        resend: bool = True,
    ) -> None:
        self.name = f"openai:{model}"
        self.base_url = base_url.rstrip("/")
        self._server = _shown(self.base_url)
        self._chat_url, self._text_url = URL(f"{self.base_url}/chat/completions"), URL(f"{self.base_url}/completions")
        self._embed_url = URL(f"{self.base_url}/embeddings")
        self.provider = provider_of(self._server)
        self.model = model
        self._key = (api_key if api_key is not None else os.environ.get("OPENAI_API_KEY", "")).strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise InputError("the API key holds characters that no key has (it is not shown); give the key alone")
        self._key_said = _however_escaped(self._key)
        self._connect_s, self._first_s, self._idle_s = connect_timeout_s, first_token_timeout_s, idle_timeout_s
        self._head_s = min(head_timeout_s or first_token_timeout_s, first_token_timeout_s)
        self._whole_s = whole_timeout_s
        self._extra = dict(extra or {})
        self._ask_usage = True
        self._connections = Connections(connect_timeout_s, resend=resend)

    def answer(self, call: Call) -> Answer:
        """Answer a call; EngineUnavailable, UpstreamError or PromptTooLong come from the stream."""
        if call.embed:
            hearing = self._hearing(call)
            return Answer(self._embed(call, hearing), hearing.so_far)
        progress = Progress(call, self.provider)
        return Answer(self._stream(call, progress), progress.so_far)

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._connections.aclose()

    async def _stream(self, call: Call, progress: Progress) -> AsyncGenerator[Piece | Ending, None]:
        if call.prompt is None and not call.messages:
            raise InputError("the call has no messages and no prompt; give one message or a prompt")
        if call.sampling.echo and call.prompt is None:
            raise InputError("echo scores a raw prompt; the chat endpoint has no way to score messages")
        first_by = time.monotonic() + (self._first_s if self._streams(call) else self._whole_s)
        response = await self._send(call)
        try:
            if not _streamed(response):  # a server that does not stream, or was not asked to, answers in one body
                progress.done = progress.whole = True
                for piece in self._take(progress, self._chunk(await self._read(response, first_by, whole=True))):
                    yield piece
                yield progress.ending(self._server)
                return
            async with contextlib.aclosing(self._chunks(response, progress, first_by)) as chunks:
                async for chunk in chunks:
                    for piece in self._take(progress, chunk):
                        yield piece
            ending = progress.ending(self._server)
            await _drain(response)
            yield ending
        finally:
            response.close()  # where the body was read to its end, the connection went back to the pool already

    def _hearing(self, call: Call) -> Hearing:
        return Hearing(call, self.provider)

    async def _embed(self, call: Call, hearing: Hearing) -> AsyncGenerator[Piece | Ending, None]:
        by = time.monotonic() + self._whole_s
        response = await self._send(call)
        try:
            raw = await self._read(response, by, whole=True)
        finally:
            response.close()
        try:
            piece = hearing.take(raw)
        except (TypeError, ValueError) as error:
            sentence = self._safe(str(error), 300)
            raise UpstreamError(f"{self._server} sent something that is no embeddings: {sentence}") from error
        yield piece
        yield hearing.ending()

    def _take(self, progress: Progress, chunk: dict[str, Any]) -> list[Piece]:
        try:
            return progress.take(chunk)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UpstreamError(f"{self._server} sent a chunk of an unknown shape: {self._safe(str(chunk))}") from error

    async def _send(self, call: Call) -> aiohttp.ClientResponse:
        url = self._embed_url if call.embed else self._text_url if call.prompt is not None else self._chat_url
        body, headers = json_bytes(self._body(call)), self._headers(call)
        text = ""
        try:
            async with asyncio.timeout(self._head_s if self._streams(call) else self._whole_s):
                response = await self._connections.post(url, body=body, headers=headers)
                if response.status >= 300:
                    text = (await response.read()).decode("utf-8", "replace")
        except TimeoutError as error:
            # aiohttp's own is the connection's, over which nothing was sent
            kind = EngineUnavailable if isinstance(error, aiohttp.ClientError) else Stalled
            raise kind(f"{self._server} gave no answer in time ({self._limits()})") from error
        except (aiohttp.ClientError, ConnectionError, ValueError, RuntimeError) as error:
            raise EngineUnavailable(f"{self._server} can't be reached: {self._safe(str(error))}") from error
        if response.status < 300:  # a redirection is not followed: it would take the prompt to a host nobody named
            return response
        response.close()
        if self._ask_usage and response.status in {400, 422} and "stream_options" in text:
            self._ask_usage = False  # an older server; the count will be an estimate
            return await self._send(call)
        raise refusal(self._server, response.status, self._safe(text, len(text)), response.headers.get("Retry-After"))

    def _streams(self, call: Call) -> bool:
        """Whether the server is asked for a stream."""
        return not (call.sampling.echo or call.embed)

    def _body(self, call: Call) -> dict[str, Any]:
        if call.embed:
            return embedding_body(call, self.model, self._extra)
        return request_body(call, self.model, ask_usage=self._ask_usage, extra=self._extra)

    def _headers(self, _: Call | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    async def _chunks(
        self, response: aiohttp.ClientResponse, progress: Progress, first_by: float
    ) -> AsyncGenerator[dict[str, Any], None]:
        events, begun = EventReader(), False
        while data := await self._read(response, None if begun else first_by):
            for event in self._feed(events, data):
                begun = True
                if event.strip() == b"[DONE]":
                    progress.done = True
                    return
                if event.strip():
                    yield self._chunk(event)

    async def _read(self, response: aiohttp.ClientResponse, by: float | None, *, whole: bool = False) -> bytes:
        """Read what has arrived, or the whole body, waiting up to the moment ``by`` or else the idle limit."""
        wait_s = self._idle_s if by is None else max(0.0, by - time.monotonic())
        try:
            async with asyncio.timeout(wait_s):
                return await (response.read() if whole else response.content.readany())
        except TimeoutError as error:
            if whole:
                raise Stalled(f"{self._server} gave no whole answer in time ({self._limits()})") from error
            when = "in the middle of an answer" if by is None else "before the answer began"
            limit = self._idle_s if by is None else self._first_s
            raise Stalled(f"{self._server} sent nothing for {limit:g} s {when}") from error
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:  # RuntimeError: aclose() under way
            raise EngineUnavailable(
                f"{self._server} broke off in the middle of an answer: {self._safe(str(error))}"
            ) from error

    def _feed(self, events: EventReader, data: bytes) -> list[bytes]:
        try:
            return events.feed(data)
        except EventTooLong as error:
            raise UpstreamError(f"{self._server} sent something that is no answer: {error}") from error

    def _chunk(self, data: bytes) -> dict[str, Any]:
        try:
            chunk = from_json(whole_characters(data))
        except (ValueError, RecursionError) as error:
            shown = self._safe(data.decode("utf-8", "replace"))
            raise UpstreamError(f"{self._server} sent something that is not JSON: {shown!r}") from error
        if not isinstance(chunk, dict):
            raise UpstreamError(f"{self._server} sent something that is not a chunk: {self._safe(str(chunk))!r}")
        if chunk.get("error"):
            said = self._safe(error_sentence(json_bytes(chunk).decode()), 300)
            raise UpstreamError(f"{self._server} broke off with an error: {said}")
        return chunk

    def _safe(self, text: str, most: int = 80) -> str:
        """Return the beginning of a server's text without our key."""
        return (self._key_said.sub("***", text) if self._key else text)[:most]

    def _limits(self) -> str:
        head = f", head {self._head_s:g} s" if self._head_s < self._first_s else ""
        first = f"first token {self._first_s:g} s, an answer in one piece {self._whole_s:g} s"
        return f"connect {self._connect_s:g} s{head}, {first}"


def _however_escaped(key: str) -> re.Pattern[str]:
    r"""Return what a key looks like in a server's text: as it is, or with characters as JSON escapes (\/, \u002b)."""
    return re.compile("".join(rf"(?:\\?{re.escape(char)}|\\u(?i:{ord(char):04x}))" for char in key))


def _shown(base_url: str) -> str:
    """Return the URL as it may stand in messages: without user and password.

    Raises:
        InputError: not an http or https URL with a host.
    """
    try:
        url = URL(base_url)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        without = re.sub(r"//[^/]*@", "//***@", base_url)
        raise InputError(f"base URL '{without}' is not allowed; it starts with http:// or https:// and names a host")
    return str(url.with_user(None)).rstrip("/")


def _streamed(response: aiohttp.ClientResponse) -> bool:
    return "text/event-stream" in response.headers.get("Content-Type", "")


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read the body's last bytes, so that the connection can carry the next call, where they come at once."""
    if response.content.at_eof():
        return
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError, RuntimeError):
        async with asyncio.timeout(DRAIN_S):
            while await response.content.readany():
                pass


def open_engine(
    model: str,
    *,
    base_url: str,
    api_key: str | None = None,
    connect_timeout_s: float = 10.0,
    head_timeout_s: float | None = None,
    first_token_timeout_s: float = 300.0,
    idle_timeout_s: float = 60.0,
    whole_timeout_s: float = 600.0,
    extra: dict[str, Any] | None = None,
) -> OpenAI:
    """Open a remote engine; the options are those of ``OpenAI``."""
    return OpenAI(
        model,
        base_url,
        api_key=api_key,
        connect_timeout_s=connect_timeout_s,
        head_timeout_s=head_timeout_s,
        first_token_timeout_s=first_token_timeout_s,
        idle_timeout_s=idle_timeout_s,
        whole_timeout_s=whole_timeout_s,
        extra=extra,
    )
