"""What a gateway adds to a call: latency, processor time, memory, and what it does to a stream.

In front of one mock upstream on this machine, one after the other in every round: the mock itself ("direct"), ``cput
serve`` with its ledger, keys, prices and logs on, and litellm's proxy. Where there are two cores or more, the gateway
has one to itself, and mock and client share the others, so that requests per second are those of one core. The direct
run's latencies are subtracted.

    python benches/gateway.py                       # about 10 minutes, most of them litellm's installation and start
    python benches/gateway.py --without litellm --rounds 1
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway_contestants import LITELLM_VERSION, Gateway, cput, litellm, mock
from gateway_fidelity import paced_streams
from gateway_load import Load, at_once, evenly
from rich.console import Console
from rich.table import Table

from cput.errors import CputError
from cput.measure.environment import environment

CONCURRENCY = (1, 16, 64, 256)
EVEN_PER_S = (250, 1000)
"""Requests per second of the even loads."""
BUILD = Path(__file__).parent.parent / "build" / "bench-gateway"
REQUESTS = {"direct": 4000, "cput": 4000, "litellm": 400}
"""Per run; litellm takes ten times as long for each."""
SAY = Console(stderr=True, highlight=False)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse(argv)
    machine = environment()  # before the bench keeps itself to some cores
    gateway_cores, other_cores = cores()
    if other_cores is not None:
        os.sched_setaffinity(0, other_cores)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        direct = stack.enter_context(mock(other_cores))
        gateways = [direct, stack.enter_context(cput(direct.url, folder / "cput", gateway_cores))]
        missing: dict[str, str] = {}
        if "litellm" not in arguments.without:
            SAY.print(f"starting litellm {LITELLM_VERSION} (installed on first use)")
            try:
                gateways.append(stack.enter_context(litellm(direct.url, folder / "litellm", gateway_cores, BUILD)))
            except CputError as error:
                missing["litellm"] = str(error)
        report = measure(gateways, arguments)
    show(report, missing)
    about = facts(arguments, machine, pinned=other_cores is not None)
    print(json.dumps(about | report | {"not_measured": missing}))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="the median of the rounds is reported")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of requests and streams")
    parser.add_argument("--without", action="append", default=[], choices=["litellm"])
    return parser.parse_args(argv)


def cores() -> tuple[set[int] | None, set[int] | None]:
    """Return the gateway's core and the others; None where there is only one, or no way to choose."""
    if not hasattr(os, "sched_setaffinity"):
        return None, None
    mine = sorted(os.sched_getaffinity(0))
    return ({mine[0]}, set(mine[1:])) if len(mine) > 1 else (None, None)


def measure(gateways: Sequence[Gateway], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the medians over the rounds, by gateway."""
    for gateway in gateways:
        asyncio.run(at_once(gateway.url, requests=64, concurrency=8, stream=False, key=gateway.key))
    rounds: dict[str, list[dict[str, float]]] = {gateway.name: [] for gateway in gateways}
    for number in range(1, arguments.rounds + 1):
        for gateway in gateways:
            SAY.print(f"round {number} of {arguments.rounds}: {gateway.name}")
            rounds[gateway.name].append(one_round(gateway, arguments))
    found = {
        name: {key: statistics.median(each[key] for each in runs) for key in runs[0]} for name, runs in rounds.items()
    }
    return {"gateways": {name: figures | added(figures, found["direct"]) for name, figures in found.items()}} | {
        "ratios": ratios(found)
    }


def one_round(gateway: Gateway, arguments: argparse.Namespace) -> dict[str, float]:
    """Return one round's figures: closed loads, a streamed one, an even one, paced streams, memory."""
    figures: dict[str, float] = {}
    for concurrency in CONCURRENCY:
        figures |= closed(gateway, arguments, concurrency, stream=False)
    figures |= closed(gateway, arguments, 16, stream=True)
    for per_s in EVEN_PER_S if gateway.name != "litellm" else ():  # it can't be loaded so
        requests = int(5 * per_s * arguments.scale)
        load = asyncio.run(evenly(gateway.url, per_s=per_s, requests=requests, stream=False, key=gateway.key))
        figures |= latencies(load, f"even_{per_s}")
        figures[f"even_{per_s}_late"] = load.late
    for concurrency in (1, 16):
        streams = max(concurrency, int(8 * concurrency**0.5 * arguments.scale))
        seen = asyncio.run(paced_streams(gateway.url, key=gateway.key, streams=streams, concurrency=concurrency))
        figures |= {
            f"stream_{concurrency}_first_way_p50_s": percentile(seen.first_way_s, 50),
            f"stream_{concurrency}_first_way_p99_s": percentile(seen.first_way_s, 99),
            f"stream_{concurrency}_way_p50_s": percentile(seen.way_s, 50),
            f"stream_{concurrency}_gap_error_p99_s": percentile(seen.gap_error_s, 99),
            f"stream_{concurrency}_lost": seen.lost,
            f"stream_{concurrency}_merged": seen.merged,
        }
    if gateway.process is not None:
        figures["memory_bytes"] = gateway.memory_bytes()
    return figures


def closed(gateway: Gateway, arguments: argparse.Namespace, concurrency: int, *, stream: bool) -> dict[str, float]:
    """Return the figures of a load that keeps so many requests under way."""
    requests = int(REQUESTS[gateway.name] * arguments.scale * (0.25 if concurrency == 1 else 1))
    began = gateway.cpu_s()
    load = asyncio.run(at_once(gateway.url, requests=requests, concurrency=concurrency, stream=stream, key=gateway.key))
    name = f"{'streamed' if stream else 'whole'}_{concurrency}"
    figures = latencies(load, name) | {f"{name}_per_s": load.per_s}
    if gateway.process is not None:
        cpu_s = (gateway.cpu_s() - began) / len(load.latencies_s)
        figures |= {f"{name}_cpu_s": cpu_s, f"{name}_per_core_s": 1 / cpu_s}
    return figures


def latencies(load: Load, name: str) -> dict[str, float]:
    if not load.latencies_s:
        raise SystemExit(f"no request of the load '{name}' was answered")
    return {
        f"{name}_p50_s": percentile(load.latencies_s, 50),
        f"{name}_p99_s": percentile(load.latencies_s, 99),
        f"{name}_errors": load.errors,
    }


def percentile(values: Sequence[float], share: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def added(figures: dict[str, float], direct: dict[str, float]) -> dict[str, float]:
    """Return the latencies and ways less the direct run's."""
    timed = [key for key in figures if key.endswith(("p50_s", "p99_s"))]
    return {f"added_{key}": figures[key] - direct[key] for key in timed}


def ratios(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return ours over litellm's, where it was measured."""
    if "litellm" not in found:
        return {}
    ours, theirs = found["cput"], found["litellm"]
    return {key: ours[key] / theirs[key] for key in ours if key.endswith(("per_core_s", "per_s", "_cpu_s"))} | {
        "memory_bytes": ours["memory_bytes"] / theirs["memory_bytes"]
    }


def facts(arguments: argparse.Namespace, machine: dict[str, Any], *, pinned: bool) -> dict[str, Any]:
    names = ("cput", "uvicorn", "httptools", "uvloop", "starlette", "aiohttp", "msgspec")
    return {
        "bench": "gateway",
        "environment": machine,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names} | {"litellm": LITELLM_VERSION},
        "seed": None,
        "rounds": arguments.rounds,
        "requests": {name: int(count * arguments.scale) for name, count in REQUESTS.items()},
        "even_per_s": EVEN_PER_S,
        "gateway_has_a_core_of_its_own": pinned,
    }


def show(report: dict[str, Any], missing: dict[str, str]) -> None:
    """Print the card."""
    gateways: dict[str, dict[str, float]] = report["gateways"]
    table = Table(title="added by the gateway (direct run subtracted)", title_justify="left")
    table.add_column("load")
    for name in gateways:
        table.add_column(name, justify="right")
    for words, key, scale, unit in rows():
        table.add_row(words, *(_cell(figures.get(key), scale, unit) for figures in gateways.values()))
    Console(highlight=False).print(table)
    for name, why in missing.items():
        print(f"{name}: not measured: {why}")
    for key, value in report["ratios"].items():
        print(f"cput / litellm, {key}: {value:.2f}")


def rows() -> list[tuple[str, str, float, str]]:
    loads = [(f"whole answers, {count} at once", f"whole_{count}") for count in CONCURRENCY]
    loads += [("streamed answers, 16 at once", "streamed_16")]
    table: list[tuple[str, str, float, str]] = []
    for words, key in loads:
        table += [
            (f"{words}: added p50", f"added_{key}_p50_s", 1e3, "ms"),
            ("  added p99", f"added_{key}_p99_s", 1e3, "ms"),
            ("  answered", f"{key}_per_s", 1, "/s"),
            ("  processor time a request", f"{key}_cpu_s", 1e6, "us"),
            ("  requests per second of a core", f"{key}_per_core_s", 1, "/s"),
            ("  errors", f"{key}_errors", 1, ""),
        ]
    for per_s in EVEN_PER_S:
        table += [
            (f"{per_s:,} requests/s, evenly: added p50", f"added_even_{per_s}_p50_s", 1e3, "ms"),
            ("  added p99", f"added_even_{per_s}_p99_s", 1e3, "ms"),
        ]
    for count in (1, 16):
        table += [
            (f"paced streams, {count} at once: added TTFT p50", f"added_stream_{count}_first_way_p50_s", 1e3, "ms"),
            ("  added TTFT p99", f"added_stream_{count}_first_way_p99_s", 1e3, "ms"),
            ("  inter-chunk error p99", f"stream_{count}_gap_error_p99_s", 1e3, "ms"),
            ("  chunks lost", f"stream_{count}_lost", 1, ""),
            ("  chunks merged", f"stream_{count}_merged", 1, ""),
        ]
    return [*table, ("resident memory", "memory_bytes", 1 / 2**20, "MiB")]


def _cell(value: float | None, scale: float, unit: str) -> str:
    if value is None:
        return "-"
    shown = value * scale
    return f"{shown:,.2f} {unit}".strip() if unit == "ms" else f"{shown:,.0f} {unit}".strip()


if __name__ == "__main__":
    main()
