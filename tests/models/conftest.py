"""Puts this folder's helpers (``tiny``, ``loopback``) on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import loopback
import pytest  # the path comes first


@pytest.fixture
def site():
    with loopback.serve() as served:
        yield served
