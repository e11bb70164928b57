"""Asks a ledger what calls cost."""

import contextlib
from typing import TYPE_CHECKING

from cput.errors import CputError
from cput.ledger.doors import writing
from cput.ledger.query.answer import Costs
from cput.ledger.query.kept import Change, folded, keep
from cput.ledger.query.question import Question
from cput.ledger.query.reserved import reservations, share_out
from cput.ledger.query.sums import add_up
from cput.ledger.snapshot import snapshot

if TYPE_CHECKING:
    from cput.ledger.store import Ledger


def costs(ledger: "Ledger", question: Question) -> Costs:
    """Return what the calls that ``question`` asks for cost and gave, as of now.

    The first question after many new calls reads them all (about 10 seconds a million); what it folded is kept in the
    ledger for the next one, where that can be written.

    Raises:
        InputError: when the question is not allowed, or names something that no call has.
        SetupError: when the ledger cannot be read.
    """
    question.check()
    with snapshot(ledger) as connection:
        found, reserved = folded(connection), reservations(connection)
    if found.change is not None:
        _keep(ledger, found.change)
    idle = share_out(found.columns, reserved)
    charged = {charge.window for charge in reserved.idle}
    uncharged = [window.run for name, window in reserved.windows.items() if name not in charged]
    return add_up(found.columns, idle, question, uncharged=uncharged)


def _keep(ledger: "Ledger", change: Change) -> None:
    """Keep what was folded; a ledger that is read-only, full or locked only costs the next question its time."""
    with contextlib.suppress(CputError), writing(ledger) as connection:
        keep(connection, change)
