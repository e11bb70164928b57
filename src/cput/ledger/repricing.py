"""What is priced again, and what came of it: sums before and after, by model and by device. Money is nano-dollars."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cput.records import Charge, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which attempts are priced again; None does not restrict."""

    since_s: float | None = None
    """Sent at this time (Unix seconds) or later."""
    until_s: float | None = None
    """Sent before this time."""
    run: str | None = None
    """Of this run."""
    workload: str | None = None
    """Of calls of this workload."""
    model: str | None = None
    """Answered by this model, as the engine named it."""
    provider: str | None = None
    """Billed by this provider."""


class Money(NamedTuple):
    """A sum of charges."""

    nano_usd: int = 0
    """What is known."""
    unpriced: int = 0
    """Charges whose amount is unknown, or that were never written; they are not in the sum."""

    def plus(self, charge: Charge | None) -> "Money":
        """Return the sum with one more charge."""
        if charge is None or charge.incremental_nano_usd is None:
            return self._replace(unpriced=self.unpriced + 1)
        return self._replace(nano_usd=self.nano_usd + charge.incremental_nano_usd)


class Change(NamedTuple):
    """What a repricing does to one model at one provider, or to one device's windows."""

    priced: int = 0
    """Attempts (for a device: charges) that were looked at."""
    changed: int = 0
    """Those whose amount or price version is another one now."""
    before: Money = Money()
    """What was in effect."""
    after: Money = Money()
    """What is."""

    def of(self, before: Charge | None, after: Charge | None) -> "Change":
        """Return it with one more charge."""
        changed = self.changed + (before != after)
        return Change(self.priced + 1, changed, self.before.plus(before), self.after.plus(after))


@dataclass(frozen=True, slots=True, kw_only=True)
class Repricing:
    """What a repricing found and, unless it was a dry run, wrote."""

    id: str = field(default_factory=new_id)
    """What its rows in ``charges`` name."""
    dry_run: bool
    """Whether nothing was written."""
    changes: Mapping[str, Change]
    """By ``provider/model`` (or the model alone, or ``device NAME``), in alphabetical order."""

    @property
    def priced(self) -> int:
        """Charges that were looked at."""
        return sum(change.priced for change in self.changes.values())

    @property
    def changed(self) -> int:
        """Charges that are others now."""
        return sum(change.changed for change in self.changes.values())

    @property
    def before(self) -> Money:
        """All that was in effect."""
        return _total(change.before for change in self.changes.values())

    @property
    def after(self) -> Money:
        """All that is in effect."""
        return _total(change.after for change in self.changes.values())


def _total(parts: Iterable[Money]) -> Money:
    listed = list(parts)
    return Money(sum(part.nano_usd for part in listed), sum(part.unpriced for part in listed))
