"""A measuring process is killed with -9 in mid-run and goes on: every acknowledged call is there exactly once."""

import json
import os
import signal
import subprocess
import sys
import time

from cput.ledger.store import Ledger

ITEMS = 120
# A suite that runs in the background has SIGINT ignored, and children inherit that: it is put back first.
LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
CPUT = [sys.executable, "-c", f"{LISTEN}; from cput.cli import main; main()"]


def write_workload(path):
    lines = [
        {"id": f"q{i}", "prompt": " ".join(["word"] * 8), "reference": " ".join(["word"] * 8)} for i in range(ITEMS)
    ]
    path.mkdir()
    (path / "workload.toml").write_text('name = "words"\n[quality]\ncheck = "exact"\n', encoding="utf-8")
    (path / "items.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")


def start(tmp_path, *more):
    command = [
        *CPUT,
        "measure",
        *more,
        "--ledger",
        str(tmp_path / "l.db"),
        "--json",
        "--html",
        str(tmp_path / "r.html"),
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )


def acknowledged(path):
    """Calls whose outcome is on disk: what a run counts as done."""
    if not path.exists():
        return {}
    with Ledger.open(path) as book:
        runs = book.runs()
        records = book.calls(run=runs[0].id) if runs else ()
        return {record.call.id: len(record.attempts) for record in records if record.outcomes}


def test_every_acknowledged_call_survives_a_kill_exactly_once(tmp_path):
    write_workload(tmp_path / "words")
    asked = [str(tmp_path / "words"), "--engine", "echo", "--option", "token_s=0.02", "--concurrency", "4"]
    process = start(tmp_path, *asked, "--rate", "0.08/h")
    deadline = time.monotonic() + 60
    while len(before := acknowledged(tmp_path / "l.db")) < 20:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before |= acknowledged(tmp_path / "l.db")
    assert len(before) < ITEMS

    resumed = start(tmp_path, "--resume", "latest")
    out, err = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, err
    found = json.loads(out.splitlines()[0])

    with Ledger.open(tmp_path / "l.db") as book:
        (run,) = book.runs()
        records = book.calls(run=run.id)
    assert found["calls"] == ITEMS == len(records)
    assert sorted(record.call.item for record in records) == sorted(f"q{i}" for i in range(ITEMS))
    after = {record.call.id: record for record in records}
    for call_id, attempts in before.items():  # what was done is not asked again
        assert len(after[call_id].attempts) == attempts
        assert len(after[call_id].outcomes) == 1
    assert found["useful_rate"]["value"] == 1.0
    assert found["cost_usd"] > 0


def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(tmp_path):
    write_workload(tmp_path / "words")
    process = start(tmp_path, str(tmp_path / "words"), "--engine", "echo", "--option", "token_s=0.02")
    deadline = time.monotonic() + 60
    while len(acknowledged(tmp_path / "l.db")) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    with Ledger.open(tmp_path / "l.db") as book:
        (run,) = book.runs()
        assert [window for window in book.windows(run.id) if window.ended_s is None] == []
