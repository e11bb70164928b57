"""Whether a gateway's memory stays where it is: 100,000 calls, of which 10 % end in errors and 10 % are hung up on.

The resident memory of ``cput serve`` (ledger, keys, prices and logs on) is read while the calls go through. What it
grows by after the warm-up, the first fifth, is the finding; more than ``MOST_GROWTH`` of it is a failure (exit code 1).
At the end the ledger's calls are counted: none that was answered may be missing.

    python benches/gateway_memory.py                   # some minutes
    python benches/gateway_memory.py --calls 10000
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gateway_contestants import Gateway, cput, mock
from gateway_load import Connection, request
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import text

from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.measure.environment import environment

KINDS = {"whole": 0.4, "streamed": 0.4, "refuses": 0.09, "fails": 0.01, "hung up": 0.1}
"""What becomes of a call, and of how many."""
MOST_GROWTH = 0.05
"""Growth after the warm-up, as a share of the memory then: a leak of 100 bytes a call would be more."""
WARM_UP = 0.2
HANG_UP_AFTER_S = 0.01
AT_ONCE = 32
READINGS = 100


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "cput"
        with mock(None) as upstream, cput(upstream.url, folder, None) as gateway:
            answers, readings = asyncio.run(run(gateway, arguments.calls, arguments.seed))
        report = finding(answers, readings) | {"calls_on_record": on_record(folder / "ledger.db")}
    show(report)
    facts = {"bench": "gateway-memory", "environment": environment(), "seed": arguments.seed, "calls": arguments.calls}
    print(json.dumps(facts | report))
    if not report["flat"] or not arguments.calls - answers["hung up"] <= report["calls_on_record"] <= arguments.calls:
        sys.exit(1)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


async def run(gateway: Gateway, calls: int, seed: int) -> tuple[Counter[str], list[int]]:
    """Send the calls; return what became of them, and the gateway's memory in bytes along the way."""
    kinds = random.Random(seed).choices(list(KINDS), list(KINDS.values()), k=calls)
    left, answers, readings = iter(kinds), Counter[str](), [gateway.memory_bytes()]
    every = max(1, calls // READINGS)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("calls", total=calls)

        async def worker() -> None:
            connection = await Connection.open(gateway.url)
            for kind in left:
                connection = await one(gateway, connection, kind, answers)
                progress.advance(task)
                if answers.total() % every == 0:
                    readings.append(gateway.memory_bytes())
            connection.close()

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return answers, [*readings, gateway.memory_bytes()]


async def one(gateway: Gateway, connection: Connection, kind: str, answers: Counter[str]) -> Connection:
    """Send one call; return the connection for the next."""
    models = {"whole": "mock", "streamed": "mock", "hung up": "slow"}
    asked = request(gateway.url, stream=kind == "streamed", model=models.get(kind, kind), key=gateway.key)
    if kind == "hung up":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG_UP_AFTER_S):
                await connection.ask(asked)
        connection.close()
        answers["hung up"] += 1
        return await Connection.open(gateway.url)
    answer = await connection.ask(asked)
    answers[answer[9:12].decode()] += 1
    return connection


def on_record(path: Path) -> int:
    """Return how many calls the ledger has; one that is hung up on before it was read leaves no row."""
    with Ledger.open(path) as ledger, snapshot(ledger) as connection:
        return int(connection.execute(text("select count(*) from calls")).scalar_one())


def finding(answers: Counter[str], readings: list[int]) -> dict[str, Any]:
    """Return the growth after the warm-up, from a line through the readings."""
    warm = np.array(readings[int(len(readings) * WARM_UP) :], dtype=float)
    slope = float(np.polyfit(np.arange(len(warm)), warm, 1)[0]) if len(warm) > 1 else 0.0
    growth = slope * len(warm) / float(warm[0])
    return {
        "answers": dict(answers),
        "memory_start_bytes": readings[0],
        "memory_warm_bytes": int(warm[0]),
        "memory_end_bytes": readings[-1],
        "memory_most_bytes": max(readings),
        "growth_after_warm_up": growth,
        "flat": growth <= MOST_GROWTH,
    }


def show(report: dict[str, Any]) -> None:
    table = Table(title="memory of the gateway", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for name in ("start", "warm", "end", "most"):
        table.add_row(f"resident, {name}", f"{report[f'memory_{name}_bytes'] / 2**20:.1f} MiB")
    table.add_row("growth after the warm-up", f"{report['growth_after_warm_up']:.1%}")
    table.add_row("calls on record", f"{report['calls_on_record']:,}")
    table.add_row("answers", ", ".join(f"{count:,} {status}" for status, count in sorted(report["answers"].items())))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
