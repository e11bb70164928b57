"""How the bench and its contestants talk: one JSON object a line over standard input and output.

A contestant is a script that calls ``serve(load)``. It reads a setup, answers ``{"ready": ...}``, then reads jobs and
answers each with the times of its requests; it ends when its input closes. Whatever libraries print goes to standard
error, so nothing but answers is ever on its standard output. Standard library only: contestants live in other venvs.

Job: ``{"concurrency": int, "new_tokens": int, "prompts": [{"content", "text", "ids"}, ...]}``, one request a prompt.
Times are seconds from the moment a request was handed to the engine.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

Job = dict[str, Any]
Run = Callable[[Job], "list[Request]"]


@dataclass(slots=True, kw_only=True)
class Request:
    """What one request of a job did."""

    ttft_s: float
    """Sending to the first generated token."""
    e2e_s: float
    """Sending to the last generated token."""
    input_tokens: int
    """Prompt tokens, as the engine counts them."""
    output_tokens: int
    """Generated tokens, as the engine counts them."""
    text: str | None = None
    """The answer, where the engine gives text."""
    ids: list[int] | None = None
    """The answer's tokens, where it does not."""


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A contestant that is ready for jobs."""

    run: Run
    """Answers a job's prompts, ``concurrency`` at a time, and returns one Request for each in their order."""
    about: dict[str, Any]
    """Versions and settings for the report."""
    close: Callable[[], None] = lambda: None
    """Ends what it started."""


def serve(load: Callable[[dict[str, Any]], Loaded]) -> None:
    """Be a contestant: read the setup, load, answer jobs until the input closes.

    An error becomes ``{"error": sentence}``; after one while loading the process ends.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines = _objects()
    try:
        setup = next(lines)
        began = time.perf_counter()
        loaded = load(setup)
    except Exception as error:  # noqa: BLE001  # whatever an outside library raises must reach the card as a sentence
        _say(out, {"error": sentence(error)})
        return
    try:
        _say(out, {"ready": loaded.about | {"load_s": time.perf_counter() - began}})
        for job in lines:
            _say(out, _answer(loaded.run, job))
    finally:
        loaded.close()


def _answer(run: Run, job: Job) -> dict[str, Any]:
    try:
        began = time.perf_counter()
        requests = run(job)
        wall_s = time.perf_counter() - began
        _check(requests, job)
    except Exception as error:  # noqa: BLE001  # as above
        return {"error": sentence(error)}
    return {"wall_s": wall_s, "requests": [asdict(request) for request in requests]}


def _check(requests: list[Request], job: Job) -> None:
    """A contestant that generates fewer tokens than asked for would look faster than it is."""
    if len(requests) != len(job["prompts"]):
        raise RuntimeError(f"{len(requests)} of {len(job['prompts'])} requests were answered")
    short = [request.output_tokens for request in requests if request.output_tokens != job["new_tokens"]]
    if short:
        raise RuntimeError(f"an answer has {short[0]} tokens where {job['new_tokens']} were asked for")


def sentence(error: BaseException) -> str:
    """Return an error's last line, which in outside libraries carries the reason."""
    while isinstance(error, BaseExceptionGroup):  # a client's failure comes wrapped by its group
        error = error.exceptions[0]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def _objects() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _say(out: Any, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()
