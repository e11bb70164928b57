"""``cput export`` and ``cput import``: what a user types, what is written, what is said."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import duckdb
import pytest
from cyclopts import App

from cput.cli.export import export, import_
from cput.errors import InputError
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, Charge, Finish, Outcome, Source, Usage

app = App(name="cput")
app.command(export)
app.command(import_, name="import")


def cput(*argv: object):
    return app([str(word) for word in argv], exit_on_error=False, print_error=False, result_action="return_value")


def one_call(book: Ledger, **more) -> None:
    call = Call(**({"prompt": "p", "workload": "w"} | more))
    usage = Usage(input_uncached=3, output=4)
    attempt = Attempt(call_id=call.id, seq=0, engine="e", usage=usage, started_s=1_764_072_000.0, finish=Finish.STOP)
    charge = Charge(call_id=call.id, seq=0, incremental_nano_usd=5, price_version="p", basis="usage")
    word = Outcome(call_id=call.id, name="n", value=1.0, source=Source.CHECK, observed_s=1_764_072_001.0)
    book.record_sync(call, [attempt], [charge], [word])


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Ledger.open("l.db") as book:
        one_call(book)
        one_call(book, workload="other", tenant="acme")
    return tmp_path / "l.db"


def test_each_format_is_written_and_opens_in_duckdb(ledger, capsys):
    cput("export", "focus", "--out", "f.parquet", "--ledger", ledger)
    cput("export", "focus", "--out", "f.csv", "--ledger", ledger)
    cput("export", "otel", "--out", "t.jsonl", "--ledger", ledger)
    cput("export", "jsonl", "--out", "l.jsonl", "--ledger", ledger)
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "2 rows in f.parquet",
        "2 rows in f.csv",
        "4 spans and 2 events to t.jsonl",
        "3 lines in l.jsonl",
    ]
    with duckdb.connect() as database:
        for source in ("'f.parquet'", "'f.csv'"):
            assert database.sql(f"SELECT count(*), sum(x_CputUsefulTokens) FROM {source}").fetchall() == [(2, 8)]
        for source in ("t.jsonl", "t.events.jsonl"):
            assert database.sql(f"SELECT count(*) FROM read_json('{source}')").fetchall() == [(1,)]
        assert database.sql("SELECT count(*) FROM read_json('l.jsonl') WHERE type = 'call'").fetchall() == [(2,)]


def test_limits_are_understood(ledger, capsys):
    for limits, rows in (
        (("--workload", "w"), 1),
        (("--tenant", "acme"), 1),
        (("--since", "2025-11-25T12:00:00"), 2),
        (("--since", "2025-11-26"), 0),
        (("--until", "2025-11-25T12:00"), 0),
        (("--since", "2025-11-25", "--until", "2025-11-26"), 2),
    ):
        cput("export", "focus", "--out", "f.csv", "--overwrite", "--ledger", ledger, "--json", *limits)
        assert json.loads(capsys.readouterr().out)["rows"] == rows, limits


def test_what_is_unknown_is_said_with_its_file(ledger, capsys):
    with Ledger.open(ledger) as book:
        book.add_charges([Charge(call_id="lost", seq=0, incremental_nano_usd=1, price_version="p", basis="usage")])
    cput("export", "focus", "--out", "f.csv", "--ledger", ledger)
    assert capsys.readouterr().out == ("2 rows in f.csv; 1 whose cost or time is unknown in f.incomplete.csv\n")


def test_import_brings_it_back(ledger, capsys):
    cput("export", "jsonl", "--out", "l.jsonl", "--ledger", ledger)
    for _ in range(2):
        cput("import", "l.jsonl", "--ledger", "other.db")
    assert capsys.readouterr().out.splitlines()[1:] == ["3 lines of l.jsonl are in the ledger, 2 calls among them"] * 2
    with Ledger.open("other.db") as other, Ledger.open(ledger) as first:
        assert other.calls() == first.calls()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("focus", "--out", "f.xls"), "unknown ending of the file 'xls'"),
        (("focus", "--out", "f.csv", "--threshold", "2"), "--threshold is 2.0; allowed: 0 to 1"),
        (("focus", "--out", "f.csv", "--since", "yesterday"), "--since is 'yesterday'"),
        (("focus", "--out", "f.csv", "--since", "2026", "--until", "2025"), "--since is '2026'"),
        (("jsonl", "--out", "l.jsonl", "--since", "2026-01-02", "--until", "2026-01-01"), "is not after"),
        (("jsonl", "--out", "no/l.jsonl"), "there is no folder no"),
        (("jsonl", "--out", "l.jsonl", "--run", "nothing"), "no run in the ledger"),
        (("otel",), "give one of --out FILE and --endpoint URL"),
        (("otel", "--out", "t.jsonl", "--endpoint", "http://localhost:1"), "give one of"),
        (("otel", "--endpoint", "localhost:4318"), "allowed: an OTLP/HTTP collector"),
    ],
)
def test_a_mistake_is_one_sentence(ledger, argv, says):
    with pytest.raises(InputError, match=says):
        cput("export", *argv, "--ledger", ledger)


def test_an_existing_file_is_not_replaced_unasked(ledger):
    (ledger.parent / "f.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"f\.csv exists"):
        cput("export", "focus", "--out", "f.csv", "--ledger", ledger)
    assert (ledger.parent / "f.csv").read_text(encoding="utf-8") == "mine"


def test_ctrl_c_leaves_nothing_that_looks_whole(ledger):
    """A real process, a real signal, in the middle of the file."""
    script = """
        import signal, sys, time
        from cput.cli import export as cli
        from cput.ledger.export import write_focus

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored

        slow = write_focus.focus_rows

        def rows(*args, **more):
            print("begun", flush=True)
            time.sleep(60)
            yield from slow(*args, **more)

        write_focus.focus_rows = rows
        cli.export(["focus", "--out", "f.csv", "--ledger", "l.db"], exit_on_error=False)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout.readline() == "begun\n"
    assert list(ledger.parent.glob(".f.csv.*.part"))  # under way, under another name
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "cput: interrupted; f.csv is not written\n"
    assert not list(ledger.parent.glob("*f.csv*"))
