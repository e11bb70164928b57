"""What was acknowledged survives: a kill -9 in mid-load, and two processes writing at once. Real processes.

What a server adds (its own crash, its restart) is in ``test_postgresql.py``.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from cput.ledger.store import Ledger, Run

WRITER = """
import asyncio, sys
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, Finish, Outcome, Source, Usage

path, name, total, width = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

async def one(ledger, number):
    call = Call(id=f"{name}-{number}", prompt="p" * 200, item=str(number), external_key=f"k{number}")
    attempt = Attempt(call_id=call.id, seq=0, engine="e", usage=Usage(output=number), started_s=1.0,
                      finish=Finish.STOP, gaps_s=(0.1,) * 50)
    outcome = Outcome(id=f"o-{call.id}", call_id=call.id, name="c", value=1.0, source=Source.CHECK)
    await ledger.record(call, [attempt], outcomes=[outcome], run="r")
    print(call.id, flush=True)  # acknowledged

async def main():
    with Ledger.open(path) as ledger:
        queue = iter(range(total))
        async def worker():
            for number in queue:
                await one(ledger, number)
        await asyncio.gather(*(worker() for _ in range(width)))

asyncio.run(main())
"""


def start(path, name, total, width=16) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(total), str(width)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_whole(path) -> None:
    """SQLite looks through its file; a server's database can't be half written by one of its clients."""
    if not isinstance(path, Path):
        return
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def test_a_kill_in_mid_load_loses_no_acknowledged_call(place):
    with start(place, "a", 1_000_000) as process:
        acknowledged = [process.stdout.readline() for _ in range(500)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += process.stdout.readlines()
        assert process.wait() == -signal.SIGKILL
    ids = [line.strip() for line in acknowledged if line.endswith("\n")]
    assert len(ids) >= 500
    assert_whole(place)
    with Ledger.open(place) as ledger:
        records = {record.call.id: record for record in ledger.calls()}
        assert len(records) == len(ledger.calls())
        assert set(ids) <= records.keys()
        for call_id in ids:
            (attempt,) = records[call_id].attempts
            (outcome,) = records[call_id].outcomes
            assert attempt.usage.output == int(call_id.split("-")[1])
            assert outcome.call_id == call_id
        # The next process goes on where this one was killed.
        assert {record.call.item for record in records.values()} == ledger.recorded_items("r")
        ledger.start_run(Run(id="r", kind="measure", workload="w", workload_digest="d", engine="e", started_s=1.0))
        assert ledger.find_run("r").ended_s is None


def test_two_processes_that_create_one_ledger_and_write_at_once_lose_nothing(place):
    with start(place, "a", 400, 4) as one, start(place, "b", 400, 4) as two:
        outputs = [process.communicate(timeout=60) for process in (one, two)]
        assert [process.returncode for process in (one, two)] == [0, 0], outputs
    ids = [line for output, _ in outputs for line in output.split()]
    assert len(ids) == len(set(ids)) == 800
    assert_whole(place)
    with Ledger.open(place) as ledger:
        assert sorted(record.call.id for record in ledger.calls()) == sorted(ids)
