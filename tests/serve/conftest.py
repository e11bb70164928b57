"""Puts the folders' helpers (``wire_server``, ``gateways``) on the path, and keeps the user's keys and proxies out."""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))
sys.path.insert(0, str(Path(__file__).parent.parent / "govern"))

import gateways  # the paths come first
import pytest
import wire_server

from cput.ledger.store import Ledger

HIDDEN = (
    "CPUT_REDACT_KEY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "CPUT_ADMIN_TOKEN",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def nothing_of_the_users(monkeypatch):
    for name in (*HIDDEN, *PROXIES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def upstream():
    with wire_server.serve() as served:
        yield served


@pytest.fixture(scope="session")
def doors(upstream, tmp_path_factory):
    """An echoing and a forwarding gateway that all tests share; starting one takes half a second."""
    with (
        Ledger.open(tmp_path_factory.mktemp("shared") / "ledger.db") as first,
        gateways.running(gateways.echo_door(first)) as echo,
        gateways.running(gateways.remote_door(first, upstream.url)) as remote,
    ):
        yield echo, remote


@pytest.fixture
def server(upstream):
    """A misbehaving upstream that has forgotten the other tests."""
    url = upstream.url
    upstream.__init__()
    upstream.url = url
    return upstream


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A new ledger's file; copying it is quicker than making its tables anew."""
    path = tmp_path_factory.mktemp("new") / "ledger.db"
    Ledger.open(path).close()
    return path


@pytest.fixture
def book(tmp_path, migrated):
    """A ledger of the test's own."""
    shutil.copy(migrated, tmp_path / "ledger.db")
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def echo(doors, book):
    """A gateway in front of the echo engine, which understands text and nothing else."""
    return doors[0].writing_to(book)


@pytest.fixture
def remote(doors, book, server):
    """A gateway in front of the upstream, every model."""
    return doors[1].writing_to(book)
