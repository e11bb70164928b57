"""Fixtures that several parts share."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from cput.models import ModelStore, StoredModel

if TYPE_CHECKING:
    from postgresql_server import PostgreSQL


@pytest.fixture(scope="session", autouse=True)
def no_ledger_of_the_users() -> Iterator[None]:
    """Keep what the user has set for a ledger and for PostgreSQL away from the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name == "CPUT_LEDGER" or name.startswith("PG")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def smollm2() -> StoredModel:
    """SmolLM2-135M-Instruct in the default store; pulled on the first run (93 MB), then kept."""
    return ModelStore().pull("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def minilm() -> StoredModel:
    """all-MiniLM-L6-v2 in the default store; pulled on the first run (84 MB), then kept."""
    return ModelStore().pull("all-minilm-l6-v2")


@pytest.fixture(scope="session")
def wordllama() -> StoredModel:
    """WordLlama's static embeddings in the default store; pulled on the first run (19 MB), then kept."""
    return ModelStore().pull("wordllama-256")


@pytest.fixture(scope="session")
def postgresql() -> Iterator["PostgreSQL"]:
    """A running PostgreSQL server; without one the test is skipped, and fails with ``CPUT_REQUIRE_POSTGRESQL=1``."""
    from postgresql_server import PACKAGE, PostgreSQL, programs  # and with it the driver, which few tests need

    folder = programs()
    if folder is None:
        if os.environ.get("CPUT_REQUIRE_POSTGRESQL") == "1":
            pytest.fail(PACKAGE, pytrace=False)
        pytest.skip(PACKAGE)
    server = PostgreSQL(folder)
    try:
        server.start()
        yield server
    finally:
        server.remove()
