"""``cput measure --standard``: latency and cost of the standard 1k-token conversation on any engine."""

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from cput.cli import plug
from cput.engines import open_engine
from cput.engines.openvino import OpenVino
from cput.errors import EngineError, InputError
from cput.ledger.price import device_rate
from cput.measure.environment import environment
from cput.measure.read import percentiles
from cput.policy import Policy
from cput.protocols import Engine
from cput.records import Usage
from cput.units import number, usd
from cput.workloads import Workload
from cput.workloads.standard import NAME, call, counted, turns

ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTiming:
    """One turn as the caller saw it."""

    ttft_s: float | None
    """Sending to first token."""
    tpot_s: float | None
    """(E2E - TTFT) / (output tokens - 1)."""
    e2e_s: float
    """Sending to end."""
    input_tokens: int | None
    """The whole input, context included."""
    output_tokens: int | None
    """Generated."""


async def measure_standard(asked: dict[str, Any], api_key: str | None, console: Console, *, as_json: bool) -> None:
    """Hold the conversation three times (after one to warm up) and print its medians and its cost."""
    rate = device_rate(asked["rate"], asked["device"])
    opened = _open(asked, api_key)
    engine, words = opened.engine, opened.words
    try:
        await plug.start(opened)
        await conversation(engine)
        rounds = []
        for number_of in range(ROUNDS):
            console.print(f"round {number_of + 1} of {ROUNDS}", highlight=False)
            rounds.append(await conversation(engine))
    finally:
        await engine.aclose()
    body = _body(rounds, words, None if rate.usd_per_h is None else float(rate.usd_per_h), rate.source)
    if as_json:
        print(json.dumps(body))
    else:
        console.print(_card(body))


async def conversation(engine: Engine) -> tuple[list[TurnTiming], list[Usage]]:
    """Hold the conversation once; returns timing and usage of the three turns."""
    planned = turns(engine.count_tokens if isinstance(engine, OpenVino) else None)
    timings: list[TurnTiming] = []
    usages: list[Usage] = []
    answers: list[str] = []
    for _ in planned:
        asked = call(planned, answers)
        answer = engine.answer(replace(asked, sampling=replace(asked.sampling, ignore_eos=True)))
        sent, first, text = time.perf_counter(), None, ""
        async for piece in answer:
            if first is None and (piece.tokens or piece.text):
                first = time.perf_counter()
            text += piece.text
        ended = time.perf_counter()
        usage = answer.ending.usage
        if not usage.output:
            raise EngineError(f"engine {engine.name} gave no tokens in turn {len(answers) + 1} of the conversation")
        ttft_s = None if first is None else first - sent
        tpot_s = None if first is None or usage.output < 2 else (ended - first) / (usage.output - 1)
        timings.append(
            TurnTiming(
                ttft_s=ttft_s,
                tpot_s=tpot_s,
                e2e_s=ended - sent,
                input_tokens=usage.input,
                output_tokens=usage.output,
            )
        )
        usages.append(usage)
        answers.append(text)
    return timings, usages


def _open(asked: dict[str, Any], api_key: str | None) -> plug.Opened:
    empty = Workload(name=NAME)
    if asked["engine"] == "openvino":
        policy = Policy(model=asked["model"], precision=asked["precision"], prefix_cache=True)
        return plug.embedded(policy, empty)
    if asked["engine"] == "openai":
        if asked["base_url"] is None:
            raise InputError("engine openai needs --base-url, such as http://localhost:8000/v1")
        return plug.remote(asked["model"], asked["base_url"], api_key)
    options = plug.engine_options(tuple(asked["option"]))
    return plug.Opened(open_engine(asked["engine"], **options), asked["engine"])


def _body(
    rounds: list[tuple[list[TurnTiming], list[Usage]]], words: str, rate_usd_per_h: float | None, source: str
) -> dict[str, Any]:
    totals = [sum(turn.e2e_s for turn in timings) for timings, _ in rounds]
    middle = sorted(range(len(rounds)), key=lambda index: totals[index])[len(rounds) // 2]
    timings, usages = rounds[middle]
    tokens = counted(usages)
    cost = None if rate_usd_per_h is None else totals[middle] * rate_usd_per_h / 3600
    return {
        "conversation": NAME,
        "engine": words,
        "rounds": len(rounds),
        "latency_s": totals[middle],
        "latency_range_s": [min(totals), max(totals)],
        "ttft_s": percentiles(turn.ttft_s for turn in timings).mean,
        "tpot_s": percentiles(turn.tpot_s for turn in timings).mean,
        "turns": [asdict(turn) for turn in timings],
        "tokens": None if tokens is None else {**tokens._asdict(), "total": tokens.total},
        "rate_usd_per_h": rate_usd_per_h,
        "rate_source": source,
        "cost_usd": cost,
        "cost_usd_per_1k_tokens": None if cost is None or not tokens else cost / tokens.total * 1000,
        "device_s_per_1k_tokens": None if not tokens else totals[middle] / tokens.total * 1000,
        "environment": environment(calls=len(rounds) * 3),
    }


def _card(body: dict[str, Any]) -> Table:
    table = Table(title=f"Standard 1k-token conversation on {body['engine']}", title_justify="left")
    for heading in ("turn", "input tokens", "output tokens", "TTFT s", "TPOT s", "E2E s"):
        table.add_column(heading, justify="right")
    for index, turn in enumerate(body["turns"], 1):
        figures = [number(turn[name]) for name in ("ttft_s", "tpot_s", "e2e_s")]
        table.add_row(str(index), *(str(turn[name]) for name in ("input_tokens", "output_tokens")), *figures)
    tokens = body["tokens"]["total"] if body["tokens"] else "an unknown number of"
    low, high = body["latency_range_s"]
    cost = usd(body["cost_usd"]) if body["cost_usd"] is not None else f"unknown ({body['rate_source']})"
    table.caption = (
        f"{number(body['latency_s'])} s for {tokens} tokens (median of {body['rounds']}, {number(low)} to "
        f"{number(high)} s); cost {cost}"
    )
    return table
