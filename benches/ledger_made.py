"""Made calls for the ledger's bench: one attempt with its charge, sometimes a retry, mostly one outcome."""

import random
import time
from collections.abc import Iterator
from typing import NamedTuple

from cput.records import Attempt, Call, Charge, CountedBy, Finish, Outcome, Source, Usage

DAYS = 30
DAY_S = 86_400.0
WORKLOADS = tuple(f"workload-{number}" for number in range(5))
MODELS = tuple(f"model-{number}" for number in range(4))
USEFUL, JUDGED, RETRIED = 0.3, 0.8, 0.1
PRICE = "bench@2025-11-01"


class Made(NamedTuple):
    """All that is recorded of one call."""

    call: Call
    attempts: list[Attempt]
    charges: list[Charge]
    outcomes: list[Outcome]


def made_calls(count: int, gaps: int, seed: int) -> Iterator[Made]:
    """Yield calls that started evenly over the last 30 days; the same seed gives the same, but for ids and clock."""
    rng, now_s = random.Random(seed), time.time()
    for number in range(count):
        started_s = now_s - DAYS * DAY_S * (1 - number / count)
        yield made_call(rng, number, gaps, started_s)


def made_call(rng: random.Random, number: int, gaps: int, started_s: float) -> Made:
    call = Call(
        workload=rng.choice(WORKLOADS),
        item=str(number),
        tenant=f"tenant-{rng.randrange(50)}",
        external_key=f"order-{number}" if rng.random() < 0.1 else None,
        tags={"slice": rng.choice("abc")},
    )
    attempts = [made_attempt(rng, call, seq, gaps, started_s) for seq in range(1 + (rng.random() < RETRIED))]
    charges = [
        Charge(
            call_id=call.id,
            seq=attempt.seq,
            incremental_nano_usd=250 * (attempt.usage.input_uncached or 0) + 1250 * (attempt.usage.output or 0),
            price_version=PRICE,
            basis="usage",
        )
        for attempt in attempts
    ]
    outcomes = [said(rng, call, started_s)] if rng.random() < JUDGED else []
    return Made(call, attempts, charges, outcomes)


def made_attempt(rng: random.Random, call: Call, seq: int, gaps: int, started_s: float) -> Attempt:
    return Attempt(
        call_id=call.id,
        seq=seq,
        engine="openai",
        provider="openai",
        model=rng.choice(MODELS),
        usage=Usage(
            input_uncached=rng.randrange(2000),
            input_cache_read=rng.randrange(500),
            output=1 + rng.randrange(2 * gaps + 1),
            complete=True,
            counted_by=CountedBy.PROVIDER,
        ),
        started_s=started_s + seq,
        ttft_s=rng.random(),
        e2e_s=1 + rng.random(),
        finish=Finish.STOP,
        gaps_s=tuple(rng.random() for _ in range(gaps)),
    )


def said(rng: random.Random, call: Call, started_s: float) -> Outcome:
    """Return an outcome by the caller's key where the call has one, else by its id."""
    return Outcome(
        call_id=None if call.external_key else call.id,
        external_key=call.external_key,
        name="refund" if call.external_key else "thumbs",
        value=float(rng.random() < USEFUL),
        source=Source.BUSINESS if call.external_key else Source.USER,
        observed_s=started_s + 60,
    )
