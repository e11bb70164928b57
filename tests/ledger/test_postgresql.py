"""What a server adds to a ledger: its own crash and restart, its users, other writers, and sentences for all of them."""

import os
import signal
import sys
import threading
import time

import psycopg
import pytest
from sqlalchemy import func, select
from test_durability import start

from cput.errors import InputError, SetupError
from cput.ledger import schema
from cput.ledger.faults import explain
from cput.ledger.store import Ledger, Run
from cput.ledger.transact import _Lasting
from cput.records import Attempt, Call, Charge, Finish, Outcome, Source, Usage


def record(ledger: Ledger, call: Call | None = None) -> Call:
    call = call or Call(prompt="p")
    attempt = Attempt(call_id=call.id, seq=0, engine="e", usage=Usage(), started_s=1.0, finish=Finish.STOP)
    ledger.record_sync(call, [attempt])
    return call


def ids(ledger: Ledger) -> set[str]:
    return {found.call.id for found in ledger.calls()}


@pytest.fixture
def place(postgresql):
    with postgresql.schema() as url:
        yield url


@pytest.fixture
def server(postgresql):
    """The server, which a test may stop: it runs again afterwards."""
    yield postgresql
    postgresql.start()


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr("cput.ledger.transact.BUSY_TIMEOUT_S", 0.2)


# What can't be opened


def test_no_server_is_a_setup_error(tmp_path):
    for url in (f"postgresql://u:secret@/db?host={tmp_path}", "postgresql://u:secret@127.0.0.1:1/db"):
        with pytest.raises(
            SetupError, match=r"the server of the ledger postgresql://u@\S+ can't be reached: "
        ) as caught:
            Ledger.open(url)
        assert "secret" not in str(caught.value)
    with pytest.raises(SetupError, match=r"can't be reached: .*resolve"):
        Ledger.open("postgresql://u@no.such.host.invalid/db")


def test_a_wrong_password_is_a_setup_error_and_is_not_shown(postgresql):
    with pytest.raises(SetupError, match=r"let nobody into .* Set PGPASSWORD, or put the password into") as caught:
        Ledger.open(postgresql.tcp_url(password="not-the-secret"))
    assert "not-the-secret" not in str(caught.value)
    with pytest.raises(SetupError, match="no password supplied"):
        Ledger.open(postgresql.tcp_url().replace(f":{postgresql.password}", ""))


def test_the_password_may_come_from_the_environment(postgresql, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", postgresql.password)
    with postgresql.database() as name:
        url = postgresql.tcp_url(name).replace(f":{postgresql.password}", "")
        with Ledger.open(url) as ledger:
            call = record(ledger)
            assert ids(ledger) == {call.id}
            assert str(ledger.path) == url


def test_a_database_that_does_not_exist_is_a_setup_error(postgresql):
    with pytest.raises(SetupError, match=r'no such database .* "nowhere" does not exist. Make it: CREATE DATABASE'):
        Ledger.open(postgresql.url("nowhere"))


def test_an_option_that_libpq_does_not_know_is_named(postgresql):
    with pytest.raises(InputError, match='invalid connection option "colour"'):
        Ledger.open(postgresql.url() + "&colour=red")


def test_another_programs_schema_is_refused_and_untouched(place, postgresql):
    schema_name = place.rpartition("%3D")[2]
    postgresql.sql(f"CREATE TABLE {schema_name}.songs (name TEXT)")
    with pytest.raises(InputError, match=r"not a ledger \(it has tables songs\)"):
        Ledger.open(place)
    found = postgresql.sql(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema_name}'")
    assert found == [("songs",)]


def test_a_schema_that_does_not_exist_is_a_setup_error(postgresql):
    with pytest.raises(SetupError, match="names no schema that exists"):
        Ledger.open(postgresql.url(schema="nowhere"))


def test_a_database_that_cannot_keep_every_character_is_refused(postgresql):
    with postgresql.database("ENCODING 'LATIN1'") as name, pytest.raises(SetupError, match="is encoded in LATIN1"):
        Ledger.open(postgresql.url(name))


def test_a_server_that_is_too_old_is_refused(place, monkeypatch):
    monkeypatch.setattr("cput.ledger.postgresql.OLDEST", 99)
    with pytest.raises(SetupError, match=r"is PostgreSQL \d+[.\d]*; allowed: 99 or later"):
        Ledger.open(place)


def test_a_missing_driver_is_a_setup_error_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SetupError, match=r"Run: pip install 'cput\[postgresql\]'"):
        Ledger.open("postgresql://u@127.0.0.1/db")


# Users and sessions


def test_a_user_who_may_only_add_and_read_rows_can_use_a_ledger_and_make_none(postgresql):
    with postgresql.database() as name:
        Ledger.open(postgresql.url(name)).close()
        postgresql.sql("CREATE ROLE clerk LOGIN PASSWORD 'pen'")
        try:
            grants = "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO clerk"
            postgresql.sql(grants, name)
            with Ledger.open(postgresql.tcp_url(name, "clerk", "pen")) as ledger:
                call = record(ledger)
                assert ids(ledger) == {call.id}
            with (
                postgresql.database() as empty,
                pytest.raises(SetupError, match=r"may not do this .*Let the owner GRANT"),
            ):
                Ledger.open(postgresql.tcp_url(empty, "clerk", "pen"))
        finally:
            postgresql.sql("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM clerk", name)
            postgresql.sql("DROP ROLE clerk")


def test_a_commit_waits_for_the_disk_though_the_server_would_not(place, postgresql):
    assert postgresql.sql("SHOW synchronous_commit") == [("off",)]
    for asked, expected in (("", "on"), (" -csynchronous_commit=remote_apply", "remote_apply")):
        with Ledger.open(place + asked) as ledger, ledger._database.writing.begin() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == expected


def test_a_reader_sees_one_moment(place):
    count = select(func.count()).select_from(schema.calls)
    with Ledger.open(place) as ledger:
        record(ledger)
        with ledger._database.reading.begin() as connection:
            assert connection.scalar(count) == 1
            record(ledger)
            assert connection.scalar(count) == 1
        assert len(ledger.calls()) == 2


# A server that goes away


def test_a_ledger_goes_on_after_the_server_was_restarted(place, server):
    with Ledger.open(place) as ledger:
        before = record(ledger)
        assert ids(ledger) == {before.id}
        server.stop()
        server.start()
        assert ids(ledger) == {before.id}
        server.stop()
        server.start()
        after = record(ledger)
        assert ids(ledger) == {before.id, after.id}


def test_rows_that_wait_for_the_server_are_written_when_it_is_back(place, server):
    with Ledger.open(place) as ledger:
        record(ledger)
        server.stop()
        calls = [Call(prompt="p") for _ in range(5)]
        threads = [threading.Thread(target=record, args=(ledger, call)) for call in calls]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        assert all(thread.is_alive() for thread in threads)
        server.start()
        for thread in threads:
            thread.join()
        assert {call.id for call in calls} < ids(ledger)


def test_a_server_that_stays_away_is_a_sentence_and_the_ledger_goes_on_when_it_is_back(place, server, hurried):
    with Ledger.open(place) as ledger:
        kept = record(ledger)
        server.stop()
        with pytest.raises(SetupError, match=r"these rows are not written, tried for 0.2 s: .* can't be reached"):
            record(ledger)
        with pytest.raises(SetupError, match=r"can't be reached.* What was acknowledged before is safe"):
            ledger.calls()
        server.start()
        after = record(ledger)
        assert ids(ledger) == {kept.id, after.id}


def test_a_crash_of_the_server_in_mid_load_loses_no_acknowledged_call(place, server):
    """The writing process waits for it and goes on, and what came to nothing with the crash is written again."""
    with start(place, "a" * 500, 1_000_000) as process:
        acknowledged = [process.stdout.readline() for _ in range(300)]
        server.stop(signal.SIGQUIT)
        server.start()
        # More lines than the pipe (64 KiB) and the calls under way can have held back from before.
        acknowledged += [process.stdout.readline() for _ in range(300)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += process.stdout.readlines()
        assert process.wait() == -signal.SIGKILL
    lines = [line.strip() for line in acknowledged if line.endswith("\n")]
    assert len(lines) >= 600
    with Ledger.open(place) as ledger:
        records = {found.call.id: found for found in ledger.calls()}
        assert set(lines) <= records.keys()
        assert all(len(found.attempts) == len(found.outcomes) == 1 for found in records.values())


@pytest.mark.parametrize("lost", ["before the server heard of it", "after the server had done it"])
def test_a_commit_whose_answer_is_lost_counts_once(place, monkeypatch, lost):
    """An idle charge without a window has no key: written again, it would be paid twice."""
    idle = Charge(call_id=None, seq=None, incremental_nano_usd=5, price_version="p", basis="idle")
    with Ledger.open(place) as ledger:
        ledger.start_run(Run(id="r", kind="measure", workload="w", workload_digest="d", engine="e", started_s=1.0))
        dialect, losses = ledger._database.writing.dialect, [lost]
        commit = dialect.do_commit

        def lose_one(connection):
            if not losses:
                return commit(connection)
            if "after" in losses.pop():
                commit(connection)
            connection.driver_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(dialect, "do_commit", lose_one)
        ledger.add_charges([idle], run="r")
        assert losses == []
        assert ledger.idle_charges("r") == (idle,)


def test_a_transaction_that_the_server_still_works_on_is_waited_for(place, postgresql):
    for end, expected in (("rollback", 1), ("commit", 0)):
        done = []
        with Ledger.open(place) as ledger, psycopg.connect(postgresql.url()) as other:
            (number,) = other.execute("SELECT CAST(pg_current_xact_id() AS text)").fetchone()
            lasting = _Lasting(ledger._database.writing, "it")
            lasting._number = number
            thread = threading.Thread(target=lasting.run, args=(done.append,))
            thread.start()
            time.sleep(0.1)
            assert thread.is_alive()
            getattr(other, end)()
            thread.join()
        assert len(done) == expected


def test_a_transaction_that_never_ends_is_a_sentence(place, postgresql, hurried):
    with Ledger.open(place) as ledger, psycopg.connect(postgresql.url()) as other:
        (number,) = other.execute("SELECT CAST(pg_current_xact_id() AS text)").fetchone()
        lasting = _Lasting(ledger._database.writing, "it")
        lasting._number = number
        with pytest.raises(SetupError, match="may or may not be written: writing them again is safe"):
            lasting.run(lambda _: None)


def test_a_transaction_of_another_servers_is_done_again(place):
    """Where a replica took over that had not heard of it."""
    done = []
    with Ledger.open(place) as ledger:
        lasting = _Lasting(ledger._database.writing, "it")
        lasting._number = "999999999999"
        lasting.run(done.append)
    assert len(done) == 1


# Other writers


def test_two_writers_that_wait_for_each_other_both_get_through(place, postgresql):
    """The server ends a deadlock by refusing one of them; the ledger asks again."""
    first, second = (Outcome(id=name, call_id="c", name="n", value=1.0, source=Source.CHECK) for name in "ab")
    insert = "INSERT INTO outcomes (id, name, value, source, observed_s) VALUES (%s, 'other', 0, 'user', 1)"
    with Ledger.open(place + " -cdeadlock_timeout=20ms") as ledger, psycopg.connect(place) as other:
        other.execute("SET deadlock_timeout = '60s'")
        other.execute(insert, ("b",))
        writer = threading.Thread(target=ledger.add_outcomes, args=([first, second],))
        writer.start()
        _wait_for_a_lock(postgresql)
        other.execute(insert, ("a",))  # returns when the ledger was refused
        other.rollback()
        writer.join()
        with ledger._database.reading.begin() as connection:
            names = connection.execute(select(schema.outcomes.c.name)).scalars().all()
    assert names == ["n", "n"]


def test_a_lock_that_another_process_keeps_is_a_sentence(place, postgresql, monkeypatch):
    monkeypatch.setattr("cput.ledger.postgresql._PATIENCE", "SET lock_timeout = 50")
    with Ledger.open(place) as ledger, psycopg.connect(place) as other:
        call = Call(prompt="p")
        other.execute("INSERT INTO calls (id, recorded_s) VALUES (%s, 1)", (call.id,))
        with pytest.raises(SetupError, match="another process has kept rows of the ledger"):
            record(ledger, call)
        other.rollback()
        record(ledger, call)
        assert ids(ledger) == {call.id}


def _wait_for_a_lock(postgresql) -> None:
    deadline = time.monotonic() + 30
    while not postgresql.sql("SELECT 1 FROM pg_locks WHERE NOT granted"):
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (psycopg.errors.DiskFull, SetupError, "the server's disk is full: .* cannot grow"),
        (psycopg.errors.ReadOnlySqlTransaction, SetupError, "is read-only"),
        (psycopg.errors.UndefinedTable, InputError, "has lost a part of its schema"),
        (psycopg.errors.DataCorrupted, InputError, "is damaged"),
        (psycopg.errors.IoError, SetupError, "disk failed under the ledger"),
        (psycopg.errors.QueryCanceled, SetupError, "broke off"),
        (psycopg.errors.NumericValueOutOfRange, InputError, "refused a record"),
    ],
)
def test_what_a_server_says_is_a_sentence(error, kind, says):
    found = explain(error("what it said\nDETAIL: more"), "it")
    assert type(found) is kind
    assert "what it said" in str(found) or "disk is full" in str(found)
    assert "DETAIL" not in str(found)
    with pytest.raises(kind, match=says):
        raise found
