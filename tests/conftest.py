"""Fixtures that several parts share."""

import pytest

from cput.models import ModelStore, StoredModel


@pytest.fixture(scope="session")
def smollm2() -> StoredModel:
    """SmolLM2-135M-Instruct in the default store; pulled on the first run (93 MB), then kept."""
    return ModelStore().pull("smollm2-135m-instruct")
