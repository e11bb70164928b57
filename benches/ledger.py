"""How many calls per second the ledger takes, durably, through its public API, in one process; and how long a question
about the cost of a million of them takes.

Every call has an attempt with gaps, its charge, and mostly one outcome; ``record`` returns when they are on disk.
The yardstick is plain ``sqlite3.executemany`` of the same rows in one transaction with the same settings: what no
ledger on SQLite can beat from one connection. A second yardstick commits each call alone, which is what group commit
saves. The questions are described in ``ledger_question``.

    python benches/ledger.py                              # some minutes
    python benches/ledger.py --calls 20000 --question-calls 0
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy
from ledger_made import Made, made_calls
from ledger_question import questions
from rich.console import Console
from rich.table import Table

from cput import __version__
from cput.ledger import schema
from cput.ledger.rows import attempt_row, call_row, charge_row, outcome_row
from cput.ledger.store import Ledger

QUESTION_GAPS = 8  # a million calls with 64 gaps each would be as long to make as to write


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse(argv)
    made = list(made_calls(arguments.calls, arguments.gaps, arguments.seed))
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
        if arguments.question_calls:
            many = made_calls(arguments.question_calls, QUESTION_GAPS, arguments.seed)
            path = Path(folder) / "many.db"
            asked = {"concurrency": arguments.concurrency, "again": arguments.again, "seed": arguments.seed}
            report |= questions(path, many, **asked)
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
        "gaps_per_attempt": arguments.gaps,
        "repeats": arguments.repeats,
    }
    print(json.dumps(facts | {name: round(value, 6) for name, value in report.items()}))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=512, help="calls that wait for their record at once")
    parser.add_argument("--gaps", type=int, default=64, help="inter-token gaps per attempt")
    parser.add_argument("--alone", type=int, default=500, help="calls of the one-commit-each yardstick")
    parser.add_argument("--repeats", type=int, default=3, help="the median is reported")
    parser.add_argument("--question-calls", type=int, default=1_000_000, help="calls to ask about; 0 asks nothing")
    parser.add_argument("--again", type=int, default=5, help="questions whose median is reported")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default=None, help="where the files are written; default: the temporary folder")
    return parser.parse_args(argv)


def measure(folder: Path, made: list[Made], concurrency: int, alone: int) -> dict[str, float]:
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


async def record_all(ledger: Ledger, made: list[Made], concurrency: int) -> tuple[float, list[float]]:
    waiting, latencies = iter(made), []

    async def worker() -> None:
        for each in waiting:
            sent = time.perf_counter()
            await ledger.record(each.call, each.attempts, each.charges, each.outcomes)
            latencies.append(time.perf_counter() - sent)

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return time.perf_counter() - start, latencies


def plain(path: Path, made: list[Made], *, one_transaction: bool) -> float:
    """Return the seconds that sqlite3 alone takes for the same rows into the same tables and indexes."""
    Ledger.open(path).close()
    tables = (schema.calls, schema.attempts, schema.charges, schema.outcomes)
    texts = [f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})" for table in tables]
    rows = [
        (
            [call_row(each.call, None, 1.0)],
            [attempt_row(attempt) for attempt in each.attempts],
            [charge_row(charge, None, None) for charge in each.charges],
            [outcome_row(outcome) for outcome in each.outcomes],
        )
        for each in made
    ]
    whole = [tuple([row for each in rows for row in each[table]] for table in range(len(tables)))]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        batches = whole if one_transaction else rows
        start = time.perf_counter()
        for batch in batches:
            connection.execute("BEGIN IMMEDIATE")
            for text, column in zip(texts, batch, strict=True):
                connection.executemany(text, column)
            connection.execute("COMMIT")
        return time.perf_counter() - start


def show(report: dict[str, float], arguments: argparse.Namespace) -> None:
    table = Table(title=f"ledger: {arguments.calls:,} calls, {arguments.concurrency} at once, {cpu()}")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for what, name, form in LINES:
        if name in report:
            table.add_row(what, form.format(report[name] * 1e3 if what.endswith(", ms") else report[name]))
    Console().print(table)


LINES = (
    ("recorded durably, calls/s", "recorded_per_s", "{:,.0f}"),
    ("sqlite3 executemany, one transaction, calls/s", "executemany_per_s", "{:,.0f}"),
    ("sqlite3, one commit per call, calls/s", "one_commit_each_per_s", "{:,.0f}"),
    ("of executemany", "ratio_to_executemany", "{:.2f}"),
    ("times one commit per call", "ratio_to_one_commit_each", "{:.1f}"),
    ("record p50, ms", "record_p50_s", "{:.1f}"),
    ("record p99, ms", "record_p99_s", "{:.1f}"),
    ("calls asked about", "question_calls", "{:,.0f}"),
    ("written one by one through the API, calls/s", "written_per_s", "{:,.0f}"),
    ("first `cput cost` after that, s", "first_question_s", "{:.2f}"),
    ("`cput cost` after that (median), s", "question_s", "{:.2f}"),
    ("`cput cost` after late outcomes, s", "question_after_late_s", "{:.2f}"),
    ("SQLite's own GROUP BY without outcomes, s", "sql_without_outcomes_s", "{:.2f}"),
    ("ledger, bytes per call", "ledger_bytes_per_call", "{:,.0f}"),
    ("folds, bytes per call", "folds_bytes_per_call", "{:,.0f}"),
)


def cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
