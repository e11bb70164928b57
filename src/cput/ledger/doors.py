"""Doors into an open ledger for the files of this package that write what ``Ledger``'s methods do not."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from cput.ledger.database import sentences

if TYPE_CHECKING:
    from cput.ledger.store import Ledger
    from cput.ledger.writer import Placed


@contextlib.contextmanager
def writing(ledger: "Ledger") -> Iterator[Connection]:
    """Yield a connection in a transaction of its own, durable when it ends; for rows that the writer does not know."""
    with sentences(ledger.path), ledger._database.writing.begin() as connection:  # noqa: SLF001  # this package's own
        yield connection


def place(ledger: "Ledger", rows: "Sequence[Placed]") -> None:
    """Write finished rows in one transaction; return when they are durable. Rows that are there are ignored."""
    if rows:
        ledger._writer.write_sync(rows)  # noqa: SLF001  # this package's own
