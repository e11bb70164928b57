"""How many calls per second the ledger takes, durably, through its public API, in one process.

Every call has one attempt with gaps and one outcome; ``record`` returns when they are on disk. The yardstick
is plain ``sqlite3.executemany`` of the same rows in one transaction with the same settings: what no ledger on SQLite
can beat from one connection. A second yardstick commits each call alone, which is what group commit saves.

    python benches/ledger.py --calls 20000 --concurrency 512
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import sqlalchemy
from rich.console import Console
from rich.table import Table

from cput import __version__
from cput.ledger import schema
from cput.ledger.rows import attempt_row, call_row, outcome_row
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, CountedBy, Finish, Outcome, Source, Usage


def main() -> None:
    arguments = parse()
    rng = random.Random(arguments.seed)
    made = [make(rng, number, arguments.gaps) for number in range(arguments.calls)]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        results = [
            measure(Path(folder) / str(turn), made, arguments.concurrency, arguments.alone)
            for turn in range(arguments.repeats)
        ]
    report = {name: statistics.median(result[name] for result in results) for name in results[0]}
    report |= {
        "ratio_to_executemany": report["recorded_per_s"] / report["executemany_per_s"],
        "ratio_to_one_commit_each": report["recorded_per_s"] / report["one_commit_each_per_s"],
    }
    show(report, arguments)
    facts = {
        "bench": "ledger",
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "versions": {
            "cput": __version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "sqlalchemy": sqlalchemy.__version__,
        },
        "seed": arguments.seed,
        "calls": arguments.calls,
        "concurrency": arguments.concurrency,
        "gaps_per_call": arguments.gaps,
        "repeats": arguments.repeats,
    }
    print(json.dumps(facts | {name: round(value, 6) for name, value in report.items()}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=512, help="calls that wait for their record at once")
    parser.add_argument("--gaps", type=int, default=64, help="inter-token gaps per attempt")
    parser.add_argument("--alone", type=int, default=500, help="calls of the one-commit-each yardstick")
    parser.add_argument("--repeats", type=int, default=3, help="the median is reported")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default=None, help="where the files are written; default: the temporary folder")
    return parser.parse_args()


def make(rng: random.Random, number: int, gaps: int) -> tuple[Call, Attempt, Outcome]:
    call = Call(workload="bench", item=str(number), tags={"slice": rng.choice("abc")})
    attempt = Attempt(
        call_id=call.id,
        seq=0,
        engine="bench",
        model="none",
        usage=Usage(
            input_uncached=rng.randrange(2000),
            input_cache_read=0,
            output=gaps + 1,
            engine_s=rng.random(),
            complete=True,
            counted_by=CountedBy.ENGINE,
        ),
        started_s=time.time(),
        ttft_s=rng.random(),
        e2e_s=1 + rng.random(),
        finish=Finish.STOP,
        gaps_s=tuple(rng.random() for _ in range(gaps)),
    )
    return call, attempt, Outcome(call_id=call.id, name="check", value=float(rng.random() < 0.2), source=Source.CHECK)


def measure(folder: Path, made: list, concurrency: int, alone: int) -> dict[str, float]:
    """Return rates in calls per second and the latency of a record in seconds."""
    folder.mkdir()
    with Ledger.open(folder / "ledger.db") as ledger:
        seconds, latencies = asyncio.run(record_all(ledger, made, concurrency))
    latencies.sort()
    return {
        "recorded_per_s": len(made) / seconds,
        "record_p50_s": latencies[len(latencies) // 2],
        "record_p99_s": latencies[len(latencies) * 99 // 100],
        "executemany_per_s": len(made) / plain(folder / "plain.db", made, one_transaction=True),
        "one_commit_each_per_s": min(alone, len(made))
        / plain(folder / "alone.db", made[:alone], one_transaction=False),
    }


async def record_all(ledger: Ledger, made: list, concurrency: int) -> tuple[float, list[float]]:
    waiting, latencies = iter(made), []

    async def worker() -> None:
        for call, attempt, outcome in waiting:
            sent = time.perf_counter()
            await ledger.record(call, [attempt], outcomes=[outcome])
            latencies.append(time.perf_counter() - sent)

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return time.perf_counter() - start, latencies


def plain(path: Path, made: list, *, one_transaction: bool) -> float:
    """Return the seconds that sqlite3 alone takes for the same rows into the same tables and indexes."""
    Ledger.open(path).close()
    rows = [(call_row(call, None, 1.0), attempt_row(attempt), outcome_row(outcome)) for call, attempt, outcome in made]
    tables = (schema.calls, schema.attempts, schema.outcomes)
    texts = [f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})" for table in tables]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        batches = [rows] if one_transaction else [[row] for row in rows]
        start = time.perf_counter()
        for batch in batches:
            connection.execute("BEGIN IMMEDIATE")
            for text, column in zip(texts, zip(*batch, strict=True), strict=True):
                connection.executemany(text, column)
            connection.execute("COMMIT")
        return time.perf_counter() - start


def show(report: dict[str, float], arguments: argparse.Namespace) -> None:
    table = Table(title=f"ledger: {arguments.calls:,} calls, {arguments.concurrency} at once, {cpu()}")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for what, figure in (
        ("recorded durably, calls/s", f"{report['recorded_per_s']:,.0f}"),
        ("sqlite3 executemany, one transaction, calls/s", f"{report['executemany_per_s']:,.0f}"),
        ("sqlite3, one commit per call, calls/s", f"{report['one_commit_each_per_s']:,.0f}"),
        ("of executemany", f"{report['ratio_to_executemany']:.2f}"),
        ("times one commit per call", f"{report['ratio_to_one_commit_each']:.1f}"),
        ("record p50, ms", f"{report['record_p50_s'] * 1e3:.1f}"),
        ("record p99, ms", f"{report['record_p99_s'] * 1e3:.1f}"),
    ):
        table.add_row(what, figure)
    Console().print(table)


def cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
