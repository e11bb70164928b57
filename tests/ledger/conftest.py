"""Every test that uses ``ledger`` or ``place`` runs twice: on an SQLite file, and on a PostgreSQL database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cput.ledger import schema
from cput.ledger.store import Ledger, Run


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request) -> str:
    if request.param == "postgresql":
        request.getfixturevalue("postgresql")
    return request.param


@pytest.fixture
def place(backend, tmp_path, request) -> Iterator[Path | str]:
    """Where a ledger may be made: nothing is there yet."""
    if backend == "sqlite":
        yield tmp_path / "ledger.db"
        return
    with request.getfixturevalue("postgresql").schema() as url:
        yield url


@pytest.fixture(scope="session")
def tables(postgresql) -> Iterator[str]:
    """The address of a schema with the tables of a ledger, without rows: much quicker than to make them each time."""
    with postgresql.schema() as url:
        Ledger.open(url).close()
        yield url


@pytest.fixture
def ledger(backend, tmp_path, request) -> Iterator[Ledger]:
    """An open ledger without rows."""
    if backend == "sqlite":
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            yield ledger
        return
    with Ledger.open(request.getfixturevalue("tables")) as ledger:
        yield ledger
        with ledger._database.writing.begin() as connection:
            for table in reversed(schema.metadata.sorted_tables):
                if table is not schema.migrations:
                    connection.execute(table.delete())


@pytest.fixture
def run(ledger) -> Run:
    run = Run(kind="measure", workload="w", workload_digest="d", engine="echo", started_s=1.0)
    ledger.start_run(run)
    return run
