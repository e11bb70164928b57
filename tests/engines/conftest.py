"""Puts this folder's helpers (``wire_server``) on the path, and keeps the user's keys and proxies out."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
import wire_server  # the path comes first

from cput.compress import quantize
from cput.models import ModelStore


@pytest.fixture(scope="session")
def int8(smollm2):
    """SmolLM2's folder with int8 weights: twice as fast, so that the tests are."""
    build = lambda source, target: quantize.weights(source, target, "int8")  # noqa: E731  # one line is clearer
    return ModelStore().variant(smollm2.name, "int8", build)


@pytest.fixture
def server(monkeypatch):
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with wire_server.serve() as served:
        yield served
