"""Which calls an export takes, and how many there are."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from cput.ledger import schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The calls to export; None does not restrict."""

    run: str | None = None
    """Of this run."""
    workload: str | None = None
    """Of this workload."""
    policy: str | None = None
    """Served by this policy."""
    tenant: str | None = None
    """Asked by this tenant."""
    since_s: float | None = None
    """Whose first attempt was sent at this time (Unix seconds) or later."""
    until_s: float | None = None
    """Whose first attempt was sent before this time."""

    @property
    def everything(self) -> bool:
        """Whether the whole ledger is meant: then nothing in it is left out."""
        return self == Selection()

    @property
    def whole_runs(self) -> bool:
        """Whether time that belongs to a run and to no call is meant too: no call-wise limit leaves it out."""
        return self.policy is None and self.tenant is None

    def calls(self) -> list[ColumnElement[bool]]:
        """Return the conditions on ``calls``."""
        table = schema.calls.c
        wanted = ((table.run, self.run), (table.workload, self.workload), (table.policy, self.policy))
        limits = [column == value for column, value in (*wanted, (table.tenant, self.tenant)) if value is not None]
        if self.since_s is not None:
            limits.append(sent_s() >= self.since_s)
        if self.until_s is not None:
            limits.append(sent_s() < self.until_s)
        return limits

    def runs(self) -> list[ColumnElement[bool]]:
        """Return the conditions on ``runs``."""
        table = schema.runs.c
        wanted = ((table.id, self.run), (table.workload, self.workload))
        return [column == value for column, value in wanted if value is not None]

    def count(self, connection: Connection) -> int:
        """Return how many calls are meant."""
        query: Select[Any] = select(func.count()).select_from(schema.calls).where(*self.calls())
        return int(connection.execute(query).scalar_one())

    def holds(self, moment_s: float | None) -> bool:
        """Say whether a moment lies within the limits of time; an unknown one does only where there are none."""
        if moment_s is None:
            return self.since_s is None and self.until_s is None
        return (self.since_s is None or moment_s >= self.since_s) and (self.until_s is None or moment_s < self.until_s)


def sent_s() -> ColumnElement[float]:
    """Return when a call's first attempt was sent, or when the call was recorded where it has none."""
    attempts, calls = schema.attempts.c, schema.calls.c
    first = select(func.min(attempts.started_s)).where(attempts.call_id == calls.id).scalar_subquery()
    return func.coalesce(first, calls.recorded_s)
