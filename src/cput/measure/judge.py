"""Judging one item: either its answer's text, or the log-probabilities of the texts that its check names."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from cput.errors import EngineError
from cput.protocols import Engine
from cput.records import Call, Outcome, Piece, Sampling, Source
from cput.workloads import Check, Item, Judgement, Score, ScoredCheck, Workload

CONFIDENCE = "confidence"
"""Key in an outcome's ``detail``: the geometric mean of the chosen tokens' probabilities."""
SCORING = Sampling(max_new_tokens=0, echo=True)


class Scored(NamedTuple):
    """A text's prompt log-probabilities and its token count."""

    logprobs: tuple[float, ...]
    tokens: int


async def answer_and_judge(workload: Workload, item: Item, call: Call, engine: Engine) -> Outcome | None:
    """Ask ``engine`` and return what the item's check says; None where nobody judges the item.

    Raises:
        EngineError: the call failed.
    """
    check = workload.check_for(item)
    if isinstance(check, ScoredCheck):
        judgement = check.judge_scores(item, await _scores(check.texts(item), call, engine))
    else:
        answer = engine.answer(call)
        pieces = [piece async for piece in answer]
        if check is None:
            return None
        judgement = check.judge(item, "".join(piece.text for piece in pieces))
        said = outcome_of(call, check.name, judgement, answer.ending.attempt)
        return replace(said, detail=dict(said.detail) | confidence_in(pieces))
    return outcome_of(call, check.name, judgement)


def confidence_in(pieces: Sequence[Piece]) -> dict[str, float]:
    """Return what an answer says of itself, where its tokens came with log-probabilities: their geometric mean."""
    logprobs = [logprob for piece in pieces for logprob in piece.logprobs]
    return {CONFIDENCE: math.exp(sum(logprobs) / len(logprobs))} if logprobs else {}


def useful(workload: Workload, item: Item, text: str) -> bool:
    """Return whether the item's check passes a text; False where it has none that reads text."""
    check = workload.check_for(item)
    return isinstance(check, Check) and check.judge(item, text).passed


def outcome_of(call: Call, name: str, judgement: Judgement, attempt: int | None = None) -> Outcome:
    """Return a judgement of an attempt's answer as the outcome that the ledger keeps: 1 is useful, 0 is not."""
    return Outcome(
        call_id=call.id,
        attempt=attempt,
        name=name,
        value=float(judgement.passed),
        source=Source.CHECK,
        detail=dict(judgement.detail) | {"value": judgement.value},
    )


def failure_of(call: Call, name: str | None, error: EngineError) -> Outcome:
    """Return the outcome of a call that failed: an answer that never came is useless."""
    return Outcome(
        call_id=call.id, name=name or "answered", value=0.0, source=Source.CHECK, detail={"error": str(error)}
    )


async def _scores(texts: Sequence[tuple[str, str]], call: Call, engine: Engine) -> list[Score]:
    """Score each continuation given its prompt; each text is one attempt of the call."""
    prompts = list(dict.fromkeys(prompt for prompt, _ in texts if prompt))
    whole = [prompt + continuation for prompt, continuation in texts]
    scored = await asyncio.gather(*(_echo(text, call, engine) for text in [*prompts, *whole]))
    prompt_tokens = {prompt: found.tokens for prompt, found in zip(prompts, scored, strict=False)}
    scores = []
    for (prompt, _), found in zip(texts, scored[len(prompts) :], strict=True):
        tokens = found.tokens - prompt_tokens.get(prompt, 0)
        kept = found.logprobs[-tokens:] if 0 < tokens <= len(found.logprobs) else found.logprobs
        scores.append(Score(logprob_sum=sum(kept), tokens=max(1, len(kept))))
    return scores


async def _echo(text: str, call: Call, engine: Engine) -> Scored:
    answer = engine.answer(replace(call, messages=(), prompt=text, sampling=SCORING))
    logprobs: tuple[float, ...] = ()
    async for piece in answer:
        logprobs += piece.prompt_logprobs
    tokens = answer.ending.usage.input
    if tokens is None or len(logprobs) < tokens - 1:
        raise EngineError(f"engine {engine.name} gives no log-probabilities of a prompt, which this check needs")
    return Scored(logprobs, tokens)
