"""Measurements that tests draw: their summary figures follow from their calls, as in a real run."""

import math
import random
from dataclasses import replace

from cput.ledger.interval import Interval, share_interval
from cput.measure.optimization import Candidate, Optimization
from cput.measure.result import CallRow, Level, Measurement, Percentiles, SliceRow

UNKNOWN = Interval(None, None, None)
SLICES = ("length_constraints", "keywords", "detectable_format", "change_case", "punctuation", "startend", "language")


def measurement(
    calls: int = 60,
    *,
    useful: float = 0.3,
    speed: float = 1.0,
    rate: float | None = 0.08,
    slo: bool = True,
    pending: float = 0.0,
    seed: int = 7,
) -> Measurement:
    """Return a run of ``calls`` calls at ``speed`` times a small machine's speed."""
    draw = random.Random(seed)
    limits = {"ttft_s": 1.0, "e2e_s": 20.0} if slo else {}
    rows = tuple(_row(index, draw, (useful, pending), speed, limits) for index in range(calls))
    duration = sum(row.e2e_s or 0 for row in rows) / 8 + 1
    served = [row for row in rows if row.error is None]
    good = [row for row in rows if row.verdict == "useful"]
    in_slo = [row for row in served if row.slo_met is not False]
    judged = [row for row in rows if row.verdict != "pending"]
    cost = None if rate is None else rate * duration / 3600
    total = duration if cost is None else cost
    tokens = sum(row.output_tokens or 0 for row in rows)
    levels = [("generated", list(rows)), *([("within SLO", in_slo)] if slo else []), ("useful", good)]
    return Measurement(
        run="0198c1d2-7d53-7c11-9f20-3a1b2c3d4e5f",
        workload="ifeval",
        engine="openvino, SmolLM2-135M-Instruct, F16",
        load="closed loop, 8 at once",
        started_s=1_795_000_000.0,
        duration_s=duration,
        calls=calls,
        failed=calls - len(served),
        attempts=sum(row.attempts for row in rows),
        input_tokens=calls * 61,
        output_tokens=tokens,
        tokens_per_s=tokens / duration,
        busy_share=0.971,
        ttft=_percentiles([row.ttft_s for row in served]),
        tpot=_percentiles([row.tpot_s for row in served]),
        itl=_percentiles([row.tpot_s for row in served]),
        e2e=_percentiles([row.e2e_s for row in served]),
        slo=limits,
        goodput_share=len(in_slo) / calls if slo else None,
        goodput_calls_per_s=len(in_slo) / duration if slo else None,
        useful_rate=share_interval(len(good), len(judged)),
        coverage=len(judged) / calls,
        rate_usd_per_h=rate,
        rate_source="given on the command line" if rate else "no price known for this machine",
        cost_usd=cost,
        cput=_cost_per(total, [row.output_tokens or 0 for row in good], judged),
        cput_unit="device-seconds" if rate is None else "USD",
        cost_per_useful_answer=_cost_per(total, [1] * len(good), judged),
        floor=0.2,
        waterfall=tuple(_level(label, kept, cost, duration) for label, kept in levels),
        slices=_slices(rows, total),
        rows=rows,
        environment={"cpu": "2 cores, AVX-512", "versions": {"openvino-genai": "2026.4.1", "cput": "0.1.0"}, "seed": 0},
        notes=("The useful rate is strict: every instruction of a prompt must be followed.",),
    )


def optimization(*, calls: int = 120, not_lower: bool = True, rate: float | None = 0.08) -> Optimization:
    """Return a search whose winner is about six times cheaper."""
    baseline = measurement(calls, useful=0.28, speed=1.0, rate=rate, seed=3)
    winner = replace(
        measurement(calls, useful=0.30, speed=6.0, rate=rate, seed=4),
        engine="openvino, INT8",
        load="closed loop, 32 at once",
    )
    return Optimization(
        workload="ifeval",
        floor=0.2,
        baseline=baseline,
        winner=winner,
        winner_name="INT8 weights, KV u8, 32 at once, prefix cache",
        candidates=tuple(_candidate(index, baseline, winner) for index in range(9)),
        ratio=Interval(0.171, 0.139, 0.208),
        useful_rate_difference=Interval(0.02, -0.004, 0.045),
        not_lower=not_lower,
        confidence_note="paired by item, one-sided 95 %, margin 2 percentage points",
        policy_path="policies/ifeval.toml",
        search_s=312.4,
        environment={"cpu": "2 cores", "seed": 0},
    )


def _row(index, draw, shares, speed, limits) -> CallRow:
    useful, pending = shares
    if draw.random() < 0.01:
        return CallRow(
            item=f"item-{index}",
            verdict="useless",
            slo_met=False if limits else None,
            ttft_s=None,
            tpot_s=None,
            e2e_s=None,
            output_tokens=0,
            attempts=3,
            error="the server answered 503: overloaded",
        )
    ttft, tpot = draw.lognormvariate(-1.2, 0.6) / speed, draw.lognormvariate(-3.7, 0.15) / speed
    tokens = min(512, max(2, int(draw.lognormvariate(5.0, 0.8))))
    e2e = ttft + tpot * (tokens - 1)
    verdict = "pending" if draw.random() < pending else "useful" if draw.random() < useful else "useless"
    met = (ttft <= limits["ttft_s"] and e2e <= limits["e2e_s"]) if limits else None
    return CallRow(
        item=f"item-{index}",
        verdict=verdict,
        slo_met=met,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=e2e,
        output_tokens=tokens,
        attempts=1 + (draw.random() < 0.03),
        error=None,
    )


def _percentiles(values) -> Percentiles:
    found = sorted(value for value in values if value is not None)
    if not found:
        return Percentiles(None, None, None, None)
    at = [found[max(0, math.ceil(len(found) * share) - 1)] for share in (0.5, 0.95, 0.99)]
    return Percentiles(sum(found) / len(found), *at)


def _cost_per(total: float, gains: list[int], judged: list[CallRow]) -> Interval:
    if not judged:
        return UNKNOWN
    if not gains:
        return Interval(None, total / (len(judged) * 40), math.inf)
    value, reach = total / sum(gains), 1 + 2.2 / math.sqrt(len(gains))
    return Interval(value, value / reach, value * reach if len(gains) > 2 else math.inf)


def _level(label: str, rows: list[CallRow], cost: float | None, duration: float) -> Level:
    tokens = sum(row.output_tokens or 0 for row in rows)
    return Level(
        label=label,
        calls=len(rows),
        output_tokens=tokens,
        usd_per_m=cost / tokens * 1e6 if tokens and cost is not None else None,
        device_s_per_m=duration / tokens * 1e6 if tokens else None,
    )


def _slices(rows: tuple[CallRow, ...], total: float) -> tuple[SliceRow, ...]:
    found = []
    for index, value in enumerate(SLICES):
        part = [row for row in rows[index :: len(SLICES)] if row.verdict != "pending"][
            : max(1, len(rows) // (index + 2))
        ]
        good = [row.output_tokens or 0 for row in part if row.verdict == "useful"]
        found.append(
            SliceRow(
                tag="instruction",
                value=value,
                calls=len(part),
                useful_rate=share_interval(len(good), len(part)),
                cput=_cost_per(total * len(part) / len(rows), good, part),
            )
        )
    return tuple(found)


def _candidate(index: int, baseline: Measurement, winner: Measurement) -> Candidate:
    names = (
        "F16, KV f16, 1 at once",
        "F16, KV u8, 8 at once",
        "F16, KV u8, 32 at once",
        "INT8 weights, KV u8, 32 at once, prefix cache",
        "INT8 weights, KV f16, 8 at once",
        "INT4 weights, KV u8, 32 at once",
        "INT4 weights, KV u4, 32 at once",
        "INT8 weights, KV u8, 32 at once, retry once",
        "INT4 weights, KV u4, 8 at once, retry once",
    )
    factor = (1.0, 0.42, 0.25, 0.17, 0.33, 0.2, 0.19, 0.21, 9.0)[index]
    judged = (120, 120, 120, 120, 60, 30, 30, 60, 15)[index]
    useful = (34, 33, 35, 36, 16, 3, 1, 20, 0)[index]
    base = baseline.cput.value or 1e-6
    cost = (
        Interval(base * factor, base * factor * 0.7, base * factor * 1.5)
        if useful
        else Interval(None, base * 2, math.inf)
    )
    status = "winner" if index == 3 else "dropped" if useful < 5 else "kept"
    reason = {
        "winner": "cheapest above the floor",
        "kept": "above the floor, costs more",
        "dropped": "useful rate below the floor 20.0 % with 95 % confidence",
    }[status]
    return Candidate(
        name=names[index],
        settings={"precision": names[index][:4], "concurrency": 32, "prefix_cache": True},
        calls=judged,
        useful_rate=share_interval(useful, judged),
        cput=cost,
        cput_unit=winner.cput_unit,
        tokens_per_s=60.0 / factor,
        status=status,
        reason=reason,
        rung=0 if judged < 60 else 1 if judged < 120 else 2,
    )
