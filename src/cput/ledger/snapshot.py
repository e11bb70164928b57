"""One consistent look at a ledger: all that is read inside it is as of one moment, and it can't write."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from cput.ledger.database import sentences

if TYPE_CHECKING:
    from cput.ledger.store import Ledger


@contextlib.contextmanager
def snapshot(ledger: "Ledger") -> Iterator[Connection]:
    """Yield a reading connection in one transaction; what the database raises becomes a sentence.

    Writers are not held up, and what they write meanwhile isn't seen.
    """
    with sentences(ledger.path), ledger._database.reading.begin() as connection:  # noqa: SLF001  # the ledger's own part
        yield connection
