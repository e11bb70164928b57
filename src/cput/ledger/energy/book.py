"""Energy rows in the ledger: written once per window and component, read by run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from cput.ledger import schema
from cput.ledger.doors import writing
from cput.ledger.energy.use import EnergyUse, energy_row, to_energy
from cput.ledger.snapshot import snapshot

if TYPE_CHECKING:
    from cput.ledger.store import Ledger


def record_energy(ledger: "Ledger", uses: Sequence[EnergyUse]) -> None:
    """Write the energy of a window; what is written already stands. Returns when it is on disk."""
    if uses:
        with writing(ledger) as connection:
            insert_energies(connection, [energy_row(use) for use in uses])


def insert_energies(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows of ``energies``; one that is there is ignored."""
    insert = insert_sqlite if connection.dialect.name == "sqlite" else insert_postgresql
    connection.execute(insert(schema.energies).on_conflict_do_nothing(), list(rows))


def read_energy(ledger: "Ledger", run: str) -> tuple[EnergyUse, ...]:
    """Return what the windows of a run used, by window and component."""
    table = schema.energies
    query = select(table).where(table.c.run == run).order_by(table.c.window_id, table.c.component)
    with snapshot(ledger) as connection:
        return tuple(to_energy(row) for row in connection.execute(query))
