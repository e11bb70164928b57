"""The migrations create exactly the schema that the code reads and writes."""

import pytest
from backends import ON_POSTGRESQL
from sqlalchemy import Text, inspect

from cput.errors import SetupError
from cput.ledger import migrations, schema
from cput.ledger.migrations import MIGRATIONS, applied
from cput.ledger.store import Ledger


def test_the_migrations_create_the_schema(ledger):
    found = inspect(ledger._database.reading)
    assert set(found.get_table_names()) == set(schema.metadata.tables)
    for table in schema.metadata.tables.values():
        columns = {column["name"]: column for column in found.get_columns(table.name)}
        key = found.get_pk_constraint(table.name)["constrained_columns"]
        assert list(columns) == [column.name for column in table.columns]
        for column in table.columns:
            there = columns[column.name]
            assert there["type"]._type_affinity is column.type._type_affinity, column
            assert (column.name in key) == column.primary_key, column
            if not column.primary_key:
                assert there["nullable"] == column.nullable, column


def test_the_numbers_are_in_order_and_all_applied(ledger):
    numbers = [migration.number for migration in MIGRATIONS]
    assert numbers == list(range(1, len(MIGRATIONS) + 1))
    with ledger._database.reading.begin() as connection:
        assert applied(connection) == set(numbers)


def test_an_older_ledger_is_brought_up_to_date_with_all_that_it_has(place, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(migrations, "MIGRATIONS", MIGRATIONS[:1])
        older.setattr("cput.ledger.database.MIGRATIONS", MIGRATIONS[:1])
        with Ledger.open(place) as ledger, ledger._database.writing.begin() as connection:
            connection.exec_driver_sql("INSERT INTO calls (id, prompt, recorded_s) VALUES ('c', 'p', 1.0)")
            connection.exec_driver_sql(
                "INSERT INTO charges (call_id, seq, incremental_nano_usd, avoided_nano_usd, price_version, basis)"
                " VALUES ('c', 0, 7, 0, 'p1', 'usage')"
            )
    with Ledger.open(place) as ledger:
        (record,) = ledger.calls()
        assert (record.call.prompt, record.call.episode) == ("p", None)
        assert [charge.incremental_nano_usd for charge in record.charges] == [7]


def test_a_migration_that_fails_leaves_nothing_behind(place, monkeypatch):
    broken = migrations.Migration(len(MIGRATIONS) + 1, "broken", ("CREATE TABLE half (id TEXT)", "NOT SQL"))
    with monkeypatch.context() as newer:
        newer.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, broken))
        newer.setattr("cput.ledger.database.MIGRATIONS", (*MIGRATIONS, broken))
        with pytest.raises(Exception, match=r"(?i)syntax"):
            Ledger.open(place)
    with Ledger.open(place) as ledger:
        assert "half" not in inspect(ledger._database.reading).get_table_names()


def test_a_newer_schema_is_refused_and_says_how_to_upgrade(place):
    with Ledger.open(place) as ledger, ledger._database.writing.begin() as connection:
        connection.exec_driver_sql("INSERT INTO cput_migrations VALUES (99, 'later', 1.0)")
    with pytest.raises(SetupError, match=rf"at schema 99 .* up to {len(MIGRATIONS)}: .* pip install --upgrade cput"):
        Ledger.open(place)


@ON_POSTGRESQL
def test_texts_are_ordered_by_their_bytes_as_in_sqlite_and_python(ledger):
    found = inspect(ledger._database.reading)
    types = [column["type"] for table in schema.metadata.tables for column in found.get_columns(table)]
    collations = [kind.collation for kind in types if isinstance(kind, Text)]
    assert collations.count(None) == 1  # a migration's name
    assert set(collations) == {None, "C"}


def test_reads_by_run_workload_and_key_use_an_index(ledger, backend):
    questions = {
        "SELECT * FROM calls WHERE run = 'r'": "calls_run",
        "SELECT * FROM calls WHERE workload = 'w'": "calls_workload",
        "SELECT * FROM calls WHERE external_key = 'k'": "calls_external_key",
        "SELECT * FROM outcomes WHERE external_key = 'k'": "outcomes_external_key",
        "SELECT * FROM outcomes WHERE call_id = 'c'": "outcomes_call",
        "SELECT * FROM charges WHERE call_id = 'c'": "charges_attempt",
        "SELECT * FROM attempts WHERE call_id = 'c'": {
            "sqlite": "sqlite_autoindex_attempts_1",
            "postgresql": "attempts_pkey",
        }[backend],
    }
    explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}[backend]
    with ledger._database.reading.begin() as connection:
        if backend == "postgresql":  # which reads an empty table whole unless it is told not to
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for question, index in questions.items():
            plan = " ".join(str(row) for row in connection.exec_driver_sql(f"{explain} {question}"))
            assert index in plan, plan
