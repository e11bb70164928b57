"""Fixtures ``place`` and ``ledger`` on both databases, as the ledger's own tests have them.

A test module takes them in with ``from two_ledgers import backend_, ledger_, place_, tables_``.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cput.ledger import schema
from cput.ledger.store import Ledger


@pytest.fixture(name="backend", params=["sqlite", "postgresql"])
def backend_(request) -> str:
    if request.param == "postgresql":
        request.getfixturevalue("postgresql")
    return request.param


@pytest.fixture(name="place")
def place_(backend, tmp_path, request) -> Iterator[Path | str]:
    """Where a ledger may be made: nothing is there yet."""
    if backend == "sqlite":
        yield tmp_path / "ledger.db"
        return
    with request.getfixturevalue("postgresql").schema() as url:
        yield url


@pytest.fixture(name="tables", scope="module")
def tables_(postgresql) -> Iterator[str]:
    """The address of a schema with a ledger's tables."""
    with postgresql.schema() as url:
        Ledger.open(url).close()
        yield url


@pytest.fixture(name="ledger")
def ledger_(backend, tmp_path, request) -> Iterator[Ledger]:
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
