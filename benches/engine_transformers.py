"""Contestant: transformers' ``generate()`` on batches with left padding, in a venv of its own (torch, transformers).

It has no continuous batching: ``concurrency`` prompts go in together, and the next ones when all of them are done.
Setup: ``folder`` (Hugging Face), ``threads``, ``dtype`` (float32, bfloat16, or auto: both are tried on the first
prompts of ``probe`` and the faster one stays).
"""

import time
from typing import Any

import torch  # type: ignore[import-not-found]  # in a venv of its own
import transformers  # type: ignore[import-not-found]
from engine_wire import Job, Loaded, Request, serve
from transformers import AutoModelForCausalLM, AutoTokenizer, StoppingCriteria, StoppingCriteriaList

PROBE_TOKENS = 8


class Clock(StoppingCriteria):  # type: ignore[misc]  # transformers is absent where types are checked
    """Notes when each step ended; it stops nothing."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, input_ids: Any, _scores: Any, **_: Any) -> Any:
        """Return, for each sequence, that it goes on."""
        self.times.append(time.perf_counter())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


class Runner:
    """A model in one dtype."""

    def __init__(self, folder: str, dtype: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        self.model.eval()
        self.model.generation_config.eos_token_id = None  # every answer has its full length
        self.model.generation_config.pad_token_id = self.tokenizer.pad_token_id

    def run(self, job: Job) -> list[Request]:
        """Answer the job's prompts in batches."""
        prompts, size = job["prompts"], job["concurrency"]
        batches = [prompts[at : at + size] for at in range(0, len(prompts), size)]
        return [request for batch in batches for request in self._batch(batch, job["new_tokens"])]

    def _batch(self, prompts: list[dict[str, Any]], new_tokens: int) -> list[Request]:
        clock = Clock()
        began = time.perf_counter()
        texts = [prompt["text"] for prompt in prompts]
        encoded = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = self.model.generate(
                **encoded,
                max_new_tokens=new_tokens,
                do_sample=False,
                stopping_criteria=StoppingCriteriaList([clock]),
            )
        answers = out[:, encoded["input_ids"].shape[1] :]
        texts = self.tokenizer.batch_decode(answers, skip_special_tokens=True)
        first, last = clock.times[0] - began, clock.times[-1] - began
        return [
            Request(ttft_s=first, e2e_s=last, input_tokens=int(size), output_tokens=answers.shape[1], text=text)
            for size, text in zip(encoded["attention_mask"].sum(dim=1).tolist(), texts, strict=True)
        ]


def load(setup: dict[str, Any]) -> Loaded:
    """Load the model in the dtype asked for, or in the faster one."""
    torch.set_num_threads(setup["threads"])
    torch.set_num_interop_threads(1)
    about: dict[str, Any] = {"torch": torch.__version__, "transformers": transformers.__version__}
    dtype = setup["dtype"]
    if dtype == "auto":
        speeds = {name: _speed(Runner(setup["folder"], name), setup["probe"]) for name in ("float32", "bfloat16")}
        dtype = max(speeds, key=lambda name: speeds[name])
        about["probed_tokens_per_s"] = speeds
    return Loaded(run=Runner(setup["folder"], dtype).run, about=about | {"dtype": dtype})


def _speed(runner: Runner, prompts: list[dict[str, Any]]) -> float:
    """Tokens per second of one batch, after one that warms up."""
    job = {"concurrency": len(prompts), "new_tokens": PROBE_TOKENS, "prompts": prompts}
    runner.run(job | {"new_tokens": 2})
    began = time.perf_counter()
    runner.run(job)
    return PROBE_TOKENS * len(prompts) / (time.perf_counter() - began)


if __name__ == "__main__":
    serve(load)
