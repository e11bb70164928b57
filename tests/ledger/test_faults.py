"""A ledger that cannot be used says why in one sentence, and leaves what is there untouched."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cput.errors import InputError, SetupError
from cput.ledger import faults
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, Finish, Usage


def record(ledger: Ledger, text: str | None = None) -> Call:
    call = Call(prompt="p")
    attempt = Attempt(call_id=call.id, seq=0, engine="e", usage=Usage(), started_s=1.0, finish=Finish.STOP, text=text)
    ledger.record_sync(call, [attempt])
    return call


def test_a_file_that_is_no_database_is_refused_and_untouched(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes, " * 200)
    with pytest.raises(InputError, match="is not a ledger: it is no SQLite database"):
        Ledger.open(path)
    assert path.read_text() == "my notes, " * 200


def test_another_programs_database_is_refused_and_untouched(tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"not a ledger \(it has tables songs\)"):
        Ledger.open(path)
    assert path.read_bytes() == before


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder; name the ledger's file"):
        Ledger.open(tmp_path)


def test_a_folder_that_cannot_be_made_is_a_setup_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be made"):
        Ledger.open(tmp_path / "file" / "ledger.db")


def test_an_old_migration_is_not_applied_twice(place):
    with Ledger.open(place) as ledger:
        call = record(ledger)
    with Ledger.open(place) as ledger:
        assert [kept.call.id for kept in ledger.calls()] == [call.id]


def test_a_full_disk_is_a_sentence_and_the_ledger_goes_on_when_there_is_space(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        kept = record(ledger)
        _limit_pages(ledger, "page_count + 2")
        with pytest.raises(SetupError, match=r"the disk is full: .* What was acknowledged before is safe"):
            record(ledger, "x" * 100_000)
        assert [found.call.id for found in ledger.calls()] == [kept.id]
        _limit_pages(ledger, None)
        after = record(ledger, "x" * 100_000)
        assert [found.call.id for found in ledger.calls()] == [kept.id, after.id]


def _limit_pages(ledger: Ledger, limit: str | None) -> None:
    """Make SQLite itself say that the disk is full."""
    driver = ledger._writer._transactions._kept.driver_connection  # the limit is a connection's own
    (pages,) = driver.execute("PRAGMA page_count").fetchone()
    driver.execute(f"PRAGMA max_page_count = {pages + 2 if limit else 2**30}")


def test_a_disk_that_fails_in_a_write_is_a_sentence_and_the_file_stays_whole(tmp_path):
    """The kernel refuses to let the file grow (RLIMIT_FSIZE), as a quota does."""
    path = tmp_path / "ledger.db"
    script = (
        "import signal, sys, resource\n"
        "from tests_record import record\n"
        "from cput.ledger.store import Ledger\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "ledger = Ledger.open(sys.argv[1])\n"
        "record(ledger)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
        "record(ledger, 'x' * 1_000_000)\n"
    )
    shutil.copy(__file__, tmp_path / "tests_record.py")
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert "SetupError: the disk " in done.stderr
    with Ledger.open(path) as ledger:
        assert len(ledger.calls()) == 1


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o555, None), (0o755, 0o444)])
def test_a_read_only_ledger_is_a_setup_error(folder_mode, file_mode):
    """Root may write anywhere, so that the child gives up being root once all is imported."""
    script = (
        "import os, sys\nfrom cput.ledger.store import Ledger\nfrom cput.errors import SetupError\n"
        "Ledger.open(sys.argv[1]).close()\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: Ledger.open(sys.argv[2])\nexcept SetupError as error: print(error)\n"
    )
    folder = Path(tempfile.mkdtemp())
    path = folder / "ledger.db"
    try:
        if file_mode is not None:
            Ledger.open(path).close()
            path.chmod(file_mode)
        folder.chmod(folder_mode)
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(
                [sys.executable, "-c", script, f"{scratch}/ledger.db", str(path)],
                capture_output=True,
                text=True,
                check=False,
            )
        assert str(path) in done.stdout, done.stderr
        assert "cannot be opened or created" in done.stdout or "is read-only" in done.stdout
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_ledger_locked_by_another_process_is_a_setup_error(tmp_path, monkeypatch):
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    monkeypatch.setattr("cput.ledger.sqlite.BUSY_TIMEOUT_S", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(SetupError, match="another process has kept the ledger"):
            Ledger.open(path)
    finally:
        holder.close()


def test_a_damaged_ledger_is_named(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as ledger:
        for _ in range(50):
            record(ledger, "x" * 1000)
    data = bytearray(path.read_bytes())
    data[4096 : len(data)] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"is damaged .* \.recover"), Ledger.open(path) as ledger:
        ledger.calls()


def test_an_error_that_is_already_a_sentence_is_kept():
    error = InputError("a sentence")
    assert faults.explain(error, "x") is error
