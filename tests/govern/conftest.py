"""Puts the folders' helpers on the path, and keeps the user's keys out."""

import sys
from pathlib import Path

import pytest

for folder in (Path(__file__).parent, Path(__file__).parent.parent / "serve", Path(__file__).parent.parent / "engines"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(autouse=True)
def nothing_of_the_users(monkeypatch):
    for name in ("CPUT_REDACT_KEY", "OPENAI_API_KEY", "CPUT_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
