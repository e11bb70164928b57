"""Marks for tests of what only one of the two databases has; all others run on both (see ``conftest.py``)."""

import pytest

ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
