"""From the samples of all rounds to figures: medians with their spread, and ratios taken within each round.

A ratio of two contestants is computed round by round, between runs that stood next to each other in time, and then the
median is taken; what the machine does to both in one round cancels out. Ratios are contestant / ours: 0.5 in tokens/s
is half our rate, 2.0 in TTFT is twice our wait.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine_options import BARE, OURS

BOUNDARY_TARGET = 0.03
AGREE_CHARS = 32
Key = tuple[str, str, int]
"""Contestant, precision, concurrency."""


class Spread(NamedTuple):
    """A median over rounds with the lowest and the highest."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One contestant's run of one concurrency in one round."""

    contestant: str
    """Its name."""
    precision: str
    """Precision of the weights."""
    concurrency: int
    """Requests in flight."""
    round: int
    """Counts from 0."""
    requests: int
    """Requests answered."""
    input_tokens: int
    """Prompt tokens over all requests, as the contestant counted them."""
    tokens_per_s: float
    """Generated tokens per wall second of the run, prompts' time included."""
    ttft_s: float
    """Median over requests of sending to first token."""
    tpot_s: float
    """Median over requests of (E2E - TTFT) / (tokens - 1)."""
    answers: tuple[str, ...] = ()
    """The texts, to see that it is the same model."""

    @property
    def key(self) -> Key:
        """What it is a sample of."""
        return (self.contestant, self.precision, self.concurrency)

    @property
    def decode_tokens_per_s(self) -> float:
        """Tokens per second while all requests decode: one per request every TPOT."""
        return self.concurrency / self.tpot_s


def sample_of(answer: Mapping[str, Any], *, contestant: str, precision: str, concurrency: int, round_: int) -> Sample:
    """Return a sample from a contestant's answer to a job (``engine_wire``); texts must be filled in already."""
    requests: list[dict[str, Any]] = answer["requests"]
    tokens = sum(request["output_tokens"] for request in requests)
    tpots = [(request["e2e_s"] - request["ttft_s"]) / (request["output_tokens"] - 1) for request in requests]
    return Sample(
        contestant=contestant,
        precision=precision,
        concurrency=concurrency,
        round=round_,
        requests=len(requests),
        input_tokens=sum(request["input_tokens"] for request in requests),
        tokens_per_s=tokens / answer["wall_s"],
        ttft_s=statistics.median(request["ttft_s"] for request in requests),
        tpot_s=statistics.median(tpots),
        answers=tuple(request["text"] or "" for request in requests),
    )


def spread(values: Iterable[float]) -> Spread | None:
    """Return median, lowest and highest; None of nothing."""
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found), len(found)) if found else None


def figure(samples: Iterable[Sample], key: Key, name: str) -> Spread | None:
    """Return one figure of one contestant over the rounds."""
    return spread(getattr(sample, name) for sample in samples if sample.key == key)


def ratio(samples: Sequence[Sample], key: Key, name: str, base: str = OURS) -> Spread | None:
    """Return contestant / ``base`` of a figure, over the rounds in which both were measured."""
    own = _by_round(samples, key, name)
    others = _by_round(samples, (base, *key[1:]), name)
    return spread(own[number] / others[number] for number in own if number in others)


def boundary_cost(pairs: Sequence[Sample], precision: str, concurrency: int) -> Spread | None:
    """Return the share of the bare library's tokens/s that our process boundary costs: 1 - ours / bare, pair by pair.

    Median and quartiles: the cost is a few percent, and one pair among many meets a neighbour's burst.
    """
    ours = _by_round(pairs, (OURS, precision, concurrency), "tokens_per_s")
    bare = _by_round(pairs, (BARE, precision, concurrency), "tokens_per_s")
    costs = [1 - ours[number] / bare[number] for number in ours if number in bare]
    if len(costs) < 2:
        return spread(costs)
    low, median, high = statistics.quantiles(costs, n=4, method="inclusive")
    return Spread(median, low, high, len(costs))


def agreement(samples: Iterable[Sample], key: Key) -> float | None:
    """Return the share of answers whose first characters are ours, in runs of the same round.

    Greedy answers of the same weights differ where rounding tips a near tie, so this is near 1, not 1; different
    weights, templates or prompts bring it near 0.
    """
    found = list(samples)
    ours = {sample.round: sample.answers for sample in found if sample.key == (OURS, *key[1:])}
    same = [
        theirs.strip()[:AGREE_CHARS] == own.strip()[:AGREE_CHARS]
        for sample in found
        if sample.key == key and sample.round in ours
        for theirs, own in zip(sample.answers, ours[sample.round], strict=True)
    ]
    return sum(same) / len(same) if same else None


def same_prompts(samples: Iterable[Sample]) -> bool:
    """Whether all contestants counted the same prompt tokens in every run."""
    counts: dict[int, set[int]] = {}
    for sample in samples:
        counts.setdefault(sample.concurrency, set()).add(sample.input_tokens)
    return all(len(found) == 1 for found in counts.values())


def decode_flops_per_token(*, parameters: int, layers: int, heads: int, head_dim: int, context: float) -> float:
    """Return the operations of one decoded token: 2 per active parameter, and attention over ``context`` positions.

    A tied embedding counts once, as the output layer; looking a row up is no multiplication. Per layer and head the
    scores and the weighted sum are 2 x head_dim operations a position each.
    """
    return 2.0 * parameters + 4.0 * layers * heads * head_dim * context


def _by_round(samples: Iterable[Sample], key: Key, name: str) -> dict[int, float]:
    return {sample.round: getattr(sample, name) for sample in samples if sample.key == key}
