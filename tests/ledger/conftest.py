from collections.abc import Iterator

import pytest

from cput.ledger.store import Ledger, Run


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        yield ledger


@pytest.fixture
def run(ledger) -> Run:
    run = Run(kind="measure", workload="w", workload_digest="d", engine="echo", started_s=1.0)
    ledger.start_run(run)
    return run
