"""Contestants behind our call shape: the embedded engine, and llama-server through our ``openai`` engine.

    python engine_client.py openvino | llama-server

A closed loop: as many clients as the job's concurrency, each sends its next request when its last one has ended.
Setup of openvino: ``folder``, ``threads``, ``max_seqs``, ``max_batched_tokens``. Setup of llama-server: ``server``
(the program), ``model`` (GGUF), ``threads``, ``context`` (tokens per slot).
"""

import asyncio
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from engine_llama import LlamaServer
from engine_wire import Job, Loaded, Request, serve

from cput.engines.openai import OpenAI
from cput.engines.openvino import OpenVino
from cput.engines.retry import Retried
from cput.models import load_manifest
from cput.protocols import Engine
from cput.records import Call, Message, Sampling


async def closed_loop(engine: Engine, job: Job) -> list[Request]:
    """Answer the job's prompts, ``concurrency`` at a time."""
    prompts: list[dict[str, Any]] = job["prompts"]
    done: list[Request | None] = [None] * len(prompts)
    waiting = iter(range(len(prompts)))

    async def client() -> None:
        for index in waiting:
            done[index] = await ask(engine, prompts[index]["content"], job["new_tokens"])

    async with asyncio.TaskGroup() as group:
        for _ in range(job["concurrency"]):
            group.create_task(client())
    return [request for request in done if request is not None]


async def ask(engine: Engine, content: str, new_tokens: int) -> Request:
    """Send one request, read it as it streams, and time it."""
    sampling = Sampling(max_new_tokens=new_tokens, ignore_eos=True)
    call = Call(messages=(Message(role="user", content=content),), sampling=sampling)
    began = time.perf_counter()
    texts: list[str] = []
    first_s = last_s = 0.0
    answer = engine.answer(call)
    async for piece in answer:
        last_s = time.perf_counter() - began
        first_s = first_s or last_s
        texts.append(piece.text)
    usage = answer.ending.usage
    if usage.input is None or usage.output is None:
        raise RuntimeError("the engine did not count the tokens of an answer")
    return Request(
        ttft_s=first_s, e2e_s=last_s, input_tokens=usage.input, output_tokens=usage.output, text="".join(texts)
    )


class Loop:
    """An event loop that lives between jobs, because the engine's process and connections do."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run ``work`` to its end and return what it returns."""
        return self._runner.run(work)

    def close(self) -> None:
        """End the loop."""
        self._runner.close()


def load_openvino(setup: dict[str, Any]) -> Loaded:
    """Start the embedded engine without its grammar tokenizer, which the bare contestant does not load either."""
    folder, loop = Path(setup["folder"]), Loop()
    engine = OpenVino(
        load_manifest(folder),
        folder,
        max_seqs=setup["max_seqs"],
        max_batched_tokens=setup["max_batched_tokens"],
        cache_gb=setup["cache_gb"],
        grammar=False,
        properties={"INFERENCE_NUM_THREADS": setup["threads"]},
    )

    def close() -> None:
        loop.run(engine.aclose())
        loop.close()

    ready = loop.run(engine.start())
    return Loaded(run=lambda job: list(loop.run(closed_loop(engine, job))), about=dict(ready.versions), close=close)


def load_llama(setup: dict[str, Any]) -> Loaded:
    """Start llama-server anew for every concurrency, because its slots are fixed when it starts."""
    loop, server = Loop(), LlamaServer(**setup)

    async def run(job: Job) -> list[Request]:
        base_url = await asyncio.to_thread(server.with_slots, job["concurrency"])
        # llama-server closes a kept connection now and then just as the next request is written to it
        engine = Retried(
            OpenAI("smollm2", base_url, api_key="", extra={"cache_prompt": False}), attempts=2, backoff_s=0
        )
        try:
            return await closed_loop(engine, job)
        finally:
            await engine.aclose()

    def close() -> None:
        server.close()
        loop.close()

    return Loaded(run=lambda job: list(loop.run(run(job))), about={"llama.cpp": server.version()}, close=close)


if __name__ == "__main__":
    serve({"openvino": load_openvino, "llama-server": load_llama}[sys.argv[1]])
