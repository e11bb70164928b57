"""The engine process: owns openvino-genai's continuous batching and calls ``step()`` back to back.

``ContinuousBatchingPipeline.step()`` holds the GIL for the whole forward pass, so nothing else may live in this
process. Between two steps it reads what the caller sent (new calls join the running batch), and after each step it
writes one ``Tick``. It ends when the caller's end of the socket closes, however the caller died.

    python -m cput.engines.openvino.worker FD OPTIONS_JSON
"""

import json
import re
import select
import socket
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai

from cput.engines.openvino.load import load
from cput.engines.openvino.trial import GrammarTrial
from cput.engines.openvino.wire import Cancel, Event, Ready, Refused, Submit, Tick, frame, frames, to_worker

CPP_PLACE = re.compile(r"^.*\.(?:cc|cpp|hpp|h):\d+:\s*")
FINISHES = {"LENGTH": "length", "STOP": "stop", "TOOL_CALL": "stop"}


class Live:
    """A call in the batch. Its handle must stay referenced: dropping it cancels the request in openvino-genai."""

    __slots__ = ("engine_s", "handle", "prompt_left", "skip_last")

    def __init__(self, handle: Any, prompt_tokens: int, *, skip_last: bool) -> None:
        self.handle = handle
        self.prompt_left = prompt_tokens
        self.engine_s = 0.0
        self.skip_last = skip_last


class Worker:
    """Reads frames, steps, writes frames."""

    def __init__(self, sock: socket.socket, options: dict[str, Any]) -> None:
        self.sock = sock
        self.inbox = bytearray()
        self.waiting: dict[int, Submit] = {}
        self.live: dict[int, Live] = {}
        self.eos_token_ids: list[int] = options["eos_token_ids"]
        self.prompt_lookup: bool = options["prompt_lookup"]
        self.speculative: bool = options["draft"] is not None
        self.max_batched_tokens: int = options["max_batched_tokens"]
        self.max_seqs: int = options["max_seqs"]
        self.pipeline, tokenizer = load(options)
        self.trial = GrammarTrial(tokenizer, options["vocab_size"]) if tokenizer is not None else None

    def run(self) -> None:
        """Serve until the caller goes away."""
        while self.receive(wait=not self.live):
            if self.live:
                self.sock.sendall(frame(self.step()))

    def receive(self, *, wait: bool) -> bool:
        """Take in every whole frame that has arrived; False once the caller is gone."""
        while wait or select.select([self.sock], [], [], 0)[0]:
            chunk = self.sock.recv(1 << 20)
            if not chunk:
                return False
            self.inbox += chunk
            wait = False
        for body in frames(self.inbox):
            self.handle(to_worker.decode(body))
        return True

    def handle(self, message: Submit | Cancel) -> None:
        """Put a call into the queue for the batch, or take one out of either."""
        if isinstance(message, Submit):
            self.waiting[message.id] = message
        elif self.waiting.pop(message.id, None) is None:
            gone = self.live.pop(message.id, None)
            if gone is not None:
                gone.handle.cancel()
        self.admit()

    def admit(self) -> None:
        """Fill the batch in the order of arrival.

        openvino-genai 2026.4 does not keep ``max_num_seqs`` where prompts are cut into chunks (dynamic split-fuse), so
        it is kept here.
        """
        while self.waiting and len(self.live) < self.max_seqs:
            self.add(self.waiting.pop(next(iter(self.waiting))))

    def add(self, message: Submit) -> None:
        """Put a call into the batch, or refuse it with the library's reason."""
        ids = np.frombuffer(message.ids, dtype=np.int64)[np.newaxis, :]
        try:
            config = self.config(message)
            if self.trial is not None and message.grammar_kind is not None:
                self.trial.check(message.grammar_kind, message.grammar_value or "", config)
            handle = self.pipeline.add_request(message.id, openvino.Tensor(ids), config)
        except Exception as error:  # noqa: BLE001  # whatever the library raises must reach the caller as a sentence
            self.sock.sendall(frame(Refused(id=message.id, reason=short(error))))
            return
        self.live[message.id] = Live(handle, ids.shape[1], skip_last=message.max_new_tokens == 0)

    def config(self, call: Submit) -> Any:
        """Return the library's generation config for a call."""
        config = genai.GenerationConfig()
        config.max_new_tokens = max(1, call.max_new_tokens)
        config.set_eos_token_id(self.eos_token_ids[0])
        config.stop_token_ids = set(self.eos_token_ids)
        config.ignore_eos = call.ignore_eos
        config.do_sample = call.temperature > 0
        if config.do_sample:
            config.temperature = call.temperature
            config.top_p = call.top_p
            if call.top_k is not None:
                config.top_k = call.top_k
            config.rng_seed = call.seed if call.seed is not None else time.time_ns() & 0x7FFF_FFFF
        config.repetition_penalty = call.repetition_penalty
        config.presence_penalty = call.presence_penalty
        config.frequency_penalty = call.frequency_penalty
        config.logprobs = 1 if call.logprobs or call.echo else 0
        config.echo = call.echo
        if self.prompt_lookup:
            config.num_assistant_tokens, config.max_ngram_size = 5, 3
        elif self.speculative:
            config.num_assistant_tokens = 5
        if call.grammar_kind is not None:
            config.structured_output_config = genai.StructuredOutputConfig(
                **{"json_schema": {"json_schema": call.grammar_value}, "regex": {"regex": call.grammar_value}}.get(
                    call.grammar_kind, {"grammar": call.grammar_value}
                )
            )
        return config

    def step(self) -> Tick:
        """Run one engine step and collect what it did for each call."""
        began = time.perf_counter()
        self.pipeline.step()
        step_s = time.perf_counter() - began
        self.share(step_s)
        events = []
        for call_id, live in list(self.live.items()):
            event = self.collect(call_id, live)
            if event is not None:
                events.append(event)
                if event.finish is not None:
                    del self.live[call_id]
        self.admit()
        return Tick(step_s=step_s, events=events)

    def share(self, step_s: float) -> None:
        """Split a step's time over the calls in it by the tokens they had in the batch (prompt chunks count whole)."""
        budget = self.max_batched_tokens
        weights: list[tuple[Live, int]] = []
        for live in self.live.values():
            tokens = 1 if live.prompt_left == 0 else min(live.prompt_left, budget)
            budget = max(0, budget - tokens)
            weights.append((live, tokens))
        total = sum(tokens for _, tokens in weights) or 1
        for live, tokens in weights:
            live.engine_s += step_s * tokens / total
            live.prompt_left = max(0, live.prompt_left - tokens)

    @staticmethod
    def collect(call_id: int, live: Live) -> Event | None:
        """Read a call's new tokens; None where the step brought none and it goes on."""
        tokens: list[int] = []
        logprobs: list[float] = []
        finish: str | None = None
        while live.handle.can_read():
            live.prompt_left = 0
            for output in live.handle.read().values():
                tokens += output.generated_ids
                logprobs += output.generated_log_probs
                finish = FINISHES.get(output.finish_reason.name, finish)
        status = live.handle.get_status().name
        if status == "IGNORED":
            finish = "ignored"
        elif status in {"STOP", "CANCEL"}:
            finish = "cancelled"
        elif status == "FINISHED":
            finish = finish or "stop"
        else:
            finish = None
        if not tokens and finish is None:
            return None
        if live.skip_last:
            tokens, logprobs = tokens[:-1], logprobs[:-1]
        return Event(id=call_id, tokens=tokens, logprobs=logprobs, finish=finish, engine_s=live.engine_s)


def short(error: Exception) -> str:
    """Return the last line of a library's message, which carries the reason, without the C++ file that it names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return CPP_PLACE.sub("", lines[-1]) if lines else type(error).__name__


def main() -> None:
    """Load, say Ready, serve."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(True)
    options = json.loads(sys.argv[2])
    began = time.perf_counter()
    try:
        worker = Worker(sock, options)
    except Exception as error:  # noqa: BLE001  # the caller prints it as one sentence
        sock.sendall(frame(Refused(id=-1, reason=short(error))))
        return
    names = ("openvino", "openvino-genai")
    ready = Ready(
        load_s=time.perf_counter() - began,
        kv_cache_bytes=int(options["cache_gb"] * (1 << 30)),
        versions={name: version(name) for name in names},
    )
    sock.sendall(frame(ready))
    worker.run()


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        sys.exit(0)  # the caller is gone; nobody is left to tell
