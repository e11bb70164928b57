"""The embedded engine: openvino-genai's continuous batching in a process of its own.

    engine = OpenVino(load_manifest(folder), folder, max_seqs=32)
    text = await engine.answer(Call(messages=(Message(role="user", content="Hello"),))).text()
    await engine.aclose()

Many calls at once share the batch; late calls join it between two steps; a caller that hangs up leaves it before the
next. Tokenising and detokenising happen in the caller's process, so the engine process does nothing but step.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from cput.engines.openvino.counter import Counter
from cput.engines.openvino.process import EngineProcess, Ticket
from cput.engines.openvino.submit import submit
from cput.engines.openvino.text import ChatTemplate, Detokenizer
from cput.engines.openvino.wire import Event, Ready
from cput.errors import EngineError, EngineUnavailable, InputError, PromptTooLong
from cput.models import Manifest, load_manifest
from cput.protocols import Answer
from cput.records import Call, Ending, Finish, Piece, Sampling

KV_BYTES = {None: 2.0, "f16": 2.0, "bf16": 2.0, "u8": 1.25, "u4": 0.75}
LONG_TEXT_CHARS = 50_000
DEATHS_PER_MINUTE = 4


class OpenVino:
    """A model served on this machine. See the module for an example.

    Args:
        manifest: the model folder's manifest.
        folder: the model folder (OpenVINO IR, tokenizer.json, tokenizer.gguf).
        max_seqs: most calls in the batch at once; further ones wait their turn in the engine.
        max_batched_tokens: most tokens in one step; longer prompts are cut into chunks.
        cache_gb: whole gigabytes of KV cache; None takes what ``max_seqs`` calls of 1,024 tokens need.
        kv_precision: f16, bf16, u8 or u4; None leaves it to the engine.
        prefix_cache: reuse the KV of prompt prefixes seen before.
        prompt_lookup: speculate from n-grams of the prompt.
        draft: folder of a smaller model with the same tokenizer, for speculative decoding.
        grammar: load the engine's tokenizer so that calls may carry grammars (adds seconds to the start).
        device: OpenVINO device.
        properties: further OpenVINO properties.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        *,
        max_seqs: int = 64,
        max_batched_tokens: int = 2048,
        cache_gb: int | None = None,
        kv_precision: str | None = None,
        prefix_cache: bool = False,
        prompt_lookup: bool = False,
        draft: Path | None = None,
        grammar: bool = True,
        device: str = "CPU",
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        if kv_precision not in KV_BYTES:
            raise InputError(f"KV precision '{kv_precision}' is not allowed; allowed: f16, bf16, u8, u4, or none")
        for option, value in (
            ("max_seqs", max_seqs),
            ("max_batched_tokens", max_batched_tokens),
            ("cache_gb", cache_gb),
        ):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(f"{option} is {value}; allowed: whole numbers from 1")
        if prompt_lookup and draft is not None:
            raise InputError("prompt lookup and a draft model exclude each other; give one of them")
        if draft is not None and (size := load_manifest(draft).vocab_size) != manifest.vocab_size:
            raise InputError(
                f"the draft model in '{draft}' has {size:,} tokens and {manifest.name} {manifest.vocab_size:,}; "
                f"a draft needs the same tokenizer"
            )
        self.manifest = manifest
        self.folder = folder
        self.name = f"openvino:{manifest.name}:{manifest.precision}"
        self.kv_bytes_per_token = 2 * manifest.layers * manifest.kv_heads * manifest.head_dim * KV_BYTES[kv_precision]
        if cache_gb is None:
            cache_gb = max(1, math.ceil(max_seqs * 1024 * self.kv_bytes_per_token / (1 << 30)))
        self.kv_cache_tokens = int(cache_gb * (1 << 30) / self.kv_bytes_per_token)
        self._options: dict[str, Any] = {
            "folder": str(folder),
            "tokenizer": str(folder / "tokenizer.gguf") if grammar else None,
            "vocab_size": manifest.vocab_size,
            "eos_token_ids": list(manifest.eos_token_ids),
            "max_seqs": max_seqs,
            "max_batched_tokens": max_batched_tokens,
            "cache_gb": cache_gb,
            "kv_precision": kv_precision,
            "prefix_cache": prefix_cache,
            "prompt_lookup": prompt_lookup,
            "draft": str(draft) if draft is not None else None,
            "device": device,
            "properties": dict(properties or {}),
        }
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._template = _template(manifest, self._tokenizer)
        self._process: EngineProcess | None = None
        self._starting = asyncio.Lock()
        self._deaths: list[float] = []
        self._busy_before_s = 0.0

    @property
    def pid(self) -> int | None:
        """Process id of the engine process while it runs."""
        return self._process.pid if self._process else None

    @property
    def busy_s(self) -> float:
        """Seconds spent in engine steps since the engine was made, over all its processes."""
        return self._busy_before_s + (self._process.busy_s if self._process else 0.0)

    @property
    def steps(self) -> int:
        """Engine steps of the running engine process."""
        return self._process.steps if self._process else 0

    async def start(self) -> Ready:
        """Start the engine process if none runs, and return what it said when it was ready.

        Raises:
            EngineUnavailable: it can't be started.
        """
        async with self._starting:
            if self._process is not None and self._process.loop is not asyncio.get_running_loop():
                self._busy_before_s += self._process.busy_s
                self._process.abandon()  # the loop that it was started in is over, as after a second asyncio.run
                self._process = None
            elif self._process is not None and self._process.dead is not None:
                self._deaths.append(time.monotonic())
                self._busy_before_s += self._process.busy_s
                await self._process.stop()
                self._process = None
            if self._process is None:
                self._refuse_restart_loop()
                process = EngineProcess(self._options)
                try:
                    await process.start()
                except BaseException as error:
                    if isinstance(error, EngineUnavailable):
                        self._deaths.append(time.monotonic())
                    await process.stop()
                    raise
                self._process = process
            assert self._process.ready is not None
            return self._process.ready

    def answer(self, call: Call) -> Answer:
        """Answer a call; see ``cput.protocols.Answer``. Raises EngineError kinds from the stream."""
        usage = Counter()
        return Answer(self._stream(call, usage), usage.so_far)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens this model makes of a raw text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    async def aclose(self) -> None:
        """End the engine process."""
        async with self._starting:
            if self._process is None:
                return
            self._busy_before_s += self._process.busy_s
            if self._process.loop is asyncio.get_running_loop():
                await self._process.stop()
            else:
                self._process.abandon()
            self._process = None

    def _refuse_restart_loop(self) -> None:
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if now - at < 60]
        if len(self._deaths) >= DEATHS_PER_MINUTE:
            raise EngineUnavailable(
                f"the engine process died {len(self._deaths)} times within a minute and is not started again yet"
            )

    async def _stream(self, call: Call, usage: Counter) -> AsyncGenerator[Piece | Ending, None]:
        ids = await self._prompt_ids(call)
        wanted = submit(call.sampling, ids, self._room(len(ids)), grammars=self._options["tokenizer"] is not None)
        usage.prompt = len(ids)
        await self.start()
        process = self._process
        assert process is not None
        ticket = process.submit(wanted)
        text = Detokenizer(self._tokenizer, call.sampling.stop)
        try:
            async for part in self._pieces(call.sampling, ticket, text, usage):
                yield part
        finally:
            process.cancel(ticket)

    async def _pieces(
        self, sampling: Sampling, ticket: Ticket, text: Detokenizer, usage: Counter
    ) -> AsyncGenerator[Piece | Ending, None]:
        echo_left = usage.prompt if sampling.echo else 0
        while True:
            event = await ticket.events.get()
            if isinstance(event, EngineError):
                raise event
            usage.engine_s = event.engine_s
            if event.finish == "ignored":
                raise PromptTooLong(f"the engine's KV cache ({self.kv_cache_tokens} tokens) had no room for this call")
            tokens, logprobs = event.tokens, event.logprobs
            if echo_left and event.tokens:
                yield Piece(prompt_logprobs=tuple(logprobs[1:echo_left]))
                tokens, logprobs, echo_left = tokens[echo_left:], logprobs[echo_left:], 0
            usage.output += len(tokens)
            shown = text.push(tokens)
            last = shown.stopped or event.finish is not None
            tail = text.finish() if last and not shown.stopped else ""
            if tokens or tail:
                kept = tuple(logprobs) if sampling.logprobs else ()
                yield Piece(text=shown.text + tail, tokens=len(tokens), logprobs=kept)
            if last:
                yield self._ending(event, usage, stopped=shown.stopped)
                return

    def _ending(self, event: Event, usage: Counter, *, stopped: bool) -> Ending:
        finish = Finish.STOP if stopped else Finish(event.finish or "stop")
        return Ending(finish=finish, usage=usage.final(), model=self.manifest.name)

    async def _prompt_ids(self, call: Call) -> list[int]:
        if call.prompt is None and not call.messages:
            raise InputError("the call has no messages and no prompt; give one message or a prompt")
        text = self._template.render(call.messages) if call.prompt is None else call.prompt
        if not _encodable(text):
            raise InputError("the prompt holds half of a surrogate pair, which is no character; send whole characters")
        encode = self._tokenizer.encode
        special = call.prompt is not None
        if len(text) > LONG_TEXT_CHARS:
            ids = (await asyncio.to_thread(encode, text, add_special_tokens=special)).ids
        else:
            ids = encode(text, add_special_tokens=special).ids
        if not ids:
            raise InputError("the prompt is empty after tokenising; send at least one character")
        return list(ids)

    def _room(self, prompt_tokens: int) -> int:
        """Tokens that may still be generated after a prompt."""
        limit = min(self.manifest.context_length, self.kv_cache_tokens)
        if prompt_tokens >= limit:
            what = "context" if limit == self.manifest.context_length else "KV cache"
            raise PromptTooLong(f"the prompt has {prompt_tokens:,} tokens; the model's {what} holds {limit:,}")
        return limit - prompt_tokens


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _template(manifest: Manifest, tokenizer: Tokenizer) -> ChatTemplate:
    if not manifest.chat_template:
        # A base model: the turns, one a line, opened as its tokenizer opens a text (Gemma is lost without its bos).
        opening = "{{ bos_token }}" if manifest.add_bos else ""
        source = opening + "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    else:
        source = manifest.chat_template
    special = {"eos_token": tokenizer.id_to_token(manifest.eos_token_ids[0]) or ""}
    if manifest.bos_token_id is not None:
        special["bos_token"] = tokenizer.id_to_token(manifest.bos_token_id) or ""
    return ChatTemplate(source, special)
