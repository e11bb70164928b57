"""Contestant: openvino-genai's continuous batching with nothing of ours around it.

The same prompts as token ids, the same scheduler, properties and generation settings as the embedded engine's process;
requests are added and ``step()`` is called in one thread of one process. What the embedded engine is slower than this
is what its process boundary, its tokenizing and its detokenizing cost.

Setup: ``folder``, ``threads``, ``max_seqs``, ``max_batched_tokens``, ``cache_gb``, ``eos_token_ids``.
"""

import time
from importlib.metadata import version
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai
from engine_wire import Job, Loaded, Request, serve


def load(setup: dict[str, Any]) -> Loaded:
    """Load the pipeline as ``cput.engines.openvino.worker.load`` does."""
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = setup["cache_gb"]
    scheduler.max_num_seqs = setup["max_seqs"]
    scheduler.max_num_batched_tokens = setup["max_batched_tokens"]
    scheduler.dynamic_split_fuse = True
    scheduler.enable_prefix_caching = False
    properties = {"INFERENCE_NUM_THREADS": setup["threads"]}
    pipeline = genai.ContinuousBatchingPipeline(setup["folder"], scheduler, "CPU", properties)
    about = {name: version(name) for name in ("openvino", "openvino-genai")}
    return Loaded(run=Runner(pipeline, setup["eos_token_ids"]).run, about=about)


class InFlight:
    """A request in the batch. Dropping its handle would cancel it."""

    def __init__(self, index: int, handle: Any) -> None:
        self.index = index
        self.handle = handle
        self.sent = time.perf_counter()
        self.first_s = 0.0
        self.ids: list[int] = []

    def read(self) -> bool:
        """Take what the last step brought; True once the answer is whole."""
        while self.handle.can_read():
            for output in self.handle.read().values():
                self.ids += output.generated_ids
        if self.ids and not self.first_s:
            self.first_s = time.perf_counter() - self.sent
        return str(self.handle.get_status().name) != "RUNNING"


class Runner:
    """Answers jobs with a pipeline."""

    def __init__(self, pipeline: Any, eos_token_ids: list[int]) -> None:
        self._pipeline = pipeline
        self._eos_token_ids = eos_token_ids
        self._last_id = 0

    def run(self, job: Job) -> list[Request]:
        """Keep ``concurrency`` requests in the batch until all prompts are answered."""
        prompts: list[dict[str, Any]] = job["prompts"]
        waiting = iter(range(len(prompts)))
        done: list[Request | None] = [None] * len(prompts)
        live = [self._add(index, job) for _, index in zip(range(job["concurrency"]), waiting, strict=False)]
        while live:
            self._pipeline.step()
            still: list[InFlight] = []
            for request in live:
                if not request.read():
                    still.append(request)
                    continue
                done[request.index] = _finished(request, len(prompts[request.index]["ids"]))
                following = next(waiting, None)
                if following is not None:
                    still.append(self._add(following, job))
            live = still
        return [request for request in done if request is not None]

    def _add(self, index: int, job: Job) -> InFlight:
        self._last_id += 1
        config = genai.GenerationConfig()
        config.max_new_tokens = job["new_tokens"]
        config.set_eos_token_id(self._eos_token_ids[0])
        config.stop_token_ids = set(self._eos_token_ids)
        config.ignore_eos = True
        config.do_sample = False
        ids = np.asarray([job["prompts"][index]["ids"]], dtype=np.int64)
        return InFlight(index, self._pipeline.add_request(self._last_id, openvino.Tensor(ids), config))


def _finished(request: InFlight, input_tokens: int) -> Request:
    e2e_s = time.perf_counter() - request.sent
    return Request(
        ttft_s=request.first_s,
        e2e_s=e2e_s,
        input_tokens=input_tokens,
        output_tokens=len(request.ids),
        ids=request.ids,
    )


if __name__ == "__main__":
    serve(load)
