"""How long a question about cost takes over a ledger of a million calls, as a user asks it: a process of its own.

    cput cost --by workload,model --period day --json --ledger FILE

Timed are the first question after all calls were written, the next ones, and the one after late outcomes and repriced
charges. The yardstick is what SQLite itself takes to add up money and tokens by the same keys, without outcomes.
"""

import asyncio
import contextlib
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ledger_made import Made, said

from cput.ledger.store import Ledger
from cput.records import Charge

ASK = "from cput.cli import main; main()"
SQL = """
SELECT calls.workload, attempts.model, date(attempts.started_s, 'unixepoch') AS day,
  COUNT(DISTINCT calls.id), SUM(attempts.output), SUM(charges.incremental_nano_usd)
FROM calls
JOIN attempts ON attempts.call_id = calls.id
JOIN charges ON charges.call_id = attempts.call_id AND charges.seq = attempts.seq
GROUP BY 1, 2, 3
"""
BATCH = 20_000
LATE_OUTCOMES, REPRICED = 10_000, 1_000  # of a million


def questions(path: Path, made: Iterator[Made], *, concurrency: int, again: int, seed: int) -> dict[str, float]:
    """Write all calls through the public API, ask, and return seconds and rates."""
    with Ledger.open(path) as ledger:
        calls, seconds, kept = asyncio.run(_record(ledger, made, concurrency))
    size = path.stat().st_size
    first_s, first = ask(path)
    assert first["total"]["calls"] == calls, "the question missed calls"
    times = [ask(path)[0] for _ in range(again)]
    _come_late(path, kept, seed)
    late_s, late = ask(path)
    assert late["total"]["judged_calls"] > first["total"]["judged_calls"], "the question missed late outcomes"
    return {
        "question_calls": calls,
        "written_per_s": calls / seconds,
        "ledger_bytes_per_call": size / calls,
        "folds_bytes_per_call": (path.stat().st_size - size) / calls,
        "first_question_s": first_s,
        "question_s": statistics.median(times),
        "question_after_late_s": late_s,
        "sql_without_outcomes_s": _sql_s(path),
        "groups": len(first["groups"]),
    }


def ask(path: Path) -> tuple[float, dict]:
    """Return the seconds of one question, interpreter and imports included, and its answer."""
    argv = ["cost", "--by", "workload,model", "--period", "day", "--json", "--ledger", str(path)]
    start = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", ASK, *argv], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, json.loads(told.stdout)


async def _record(ledger: Ledger, made: Iterator[Made], concurrency: int) -> tuple[int, float, list[Made]]:
    """Record all calls, so many at once; return how many, the seconds without those of making them, some for later."""
    kept: list[Made] = []
    calls, seconds = 0, 0.0
    while batch := list(islice(made, BATCH)):
        waiting = iter(batch)

        async def worker(waiting: Iterator[Made] = waiting) -> None:
            for each in waiting:
                await ledger.record(each.call, each.attempts, each.charges, each.outcomes)

        start = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        seconds += time.perf_counter() - start
        calls += len(batch)
        pending = [each for each in batch if not each.outcomes]
        kept += pending[: max(1, len(pending) * LATE_OUTCOMES // 100_000)]
    return calls, seconds, kept


def _come_late(path: Path, kept: list[Made], seed: int) -> None:
    rng = random.Random(seed)
    repriced: list[Charge] = [
        replace(charge, incremental_nano_usd=(charge.incremental_nano_usd or 0) // 2, price_version="bench@2025-12-01")
        for made in kept[:REPRICED]
        for charge in made.charges
    ]
    with Ledger.open(path) as ledger:
        ledger.add_outcomes([said(rng, made.call, made.attempts[0].started_s + 1e6) for made in kept])
        ledger.add_charges(repriced)


def _sql_s(path: Path) -> float:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        start = time.perf_counter()
        connection.execute(SQL).fetchall()
        return time.perf_counter() - start
