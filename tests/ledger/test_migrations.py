"""The migrations create exactly the schema that the code reads and writes."""

from sqlalchemy import inspect

from cput.ledger import schema
from cput.ledger.migrations import MIGRATIONS, applied


def test_the_migrations_create_the_schema(ledger):
    found = inspect(ledger._database.reading)
    assert set(found.get_table_names()) == set(schema.metadata.tables)
    for table in schema.metadata.tables.values():
        columns = {column["name"]: column for column in found.get_columns(table.name)}
        assert list(columns) == [column.name for column in table.columns]
        for column in table.columns:
            there = columns[column.name]
            assert there["type"]._type_affinity is column.type._type_affinity, column
            assert bool(there["primary_key"]) == column.primary_key, column
            if not column.primary_key:
                assert there["nullable"] == column.nullable, column


def test_the_numbers_are_in_order_and_all_applied(ledger):
    numbers = [migration.number for migration in MIGRATIONS]
    assert numbers == list(range(1, len(MIGRATIONS) + 1))
    with ledger._database.reading.begin() as connection:
        assert applied(connection) == set(numbers)


def test_reads_by_run_workload_and_key_use_an_index(ledger):
    questions = {
        "SELECT * FROM calls WHERE run = 'r'": "calls_run",
        "SELECT * FROM calls WHERE workload = 'w'": "calls_workload",
        "SELECT * FROM calls WHERE external_key = 'k'": "calls_external_key",
        "SELECT * FROM outcomes WHERE external_key = 'k'": "outcomes_external_key",
        "SELECT * FROM outcomes WHERE call_id = 'c'": "outcomes_call",
        "SELECT * FROM charges WHERE call_id = 'c'": "charges_attempt",
        "SELECT * FROM attempts WHERE call_id = 'c'": "sqlite_autoindex_attempts_1",
    }
    with ledger._database.reading.begin() as connection:
        for question, index in questions.items():
            plan = " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {question}"))
            assert index in plan, plan
