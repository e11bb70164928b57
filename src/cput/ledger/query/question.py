"""A question about cost: which calls, in which groups, read how."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from cput.errors import InputError, unknown
from cput.ledger.groups import FIELDS, PERIODS, TAG
from cput.ledger.zones import time_zone

BASES = ("reservation", "usage")
"""``usage``: what attempts used. ``reservation``: and the idle time of reserved devices, shared out to the calls."""
KEYS = (*FIELDS, "provider", "run")
"""What calls can be grouped by, besides periods and tags."""
FILTERS = ("workload", "model", "engine", "provider", "policy", "tenant", "run")
_MOST_NAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which calls to add up, and how."""

    by: tuple[str, ...] = ()
    """Keys to group by: workload, model, engine, policy, tenant, provider, run, a period, or ``tag:NAME``."""
    period: str | None = None
    """hour, day, week or month of the call's start: the first key."""
    zone: str = "UTC"
    """Time zone of the periods."""
    workload: str | None = None
    """Only calls of this workload."""
    model: str | None = None
    """Only calls that this model answered."""
    engine: str | None = None
    """Only calls that this engine answered."""
    provider: str | None = None
    """Only calls that this provider bills."""
    policy: str | None = None
    """Only calls that this policy served."""
    tenant: str | None = None
    """Only calls of this tenant."""
    run: str | None = None
    """Only calls of the run with this id."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Only calls with all of these tags."""
    since_s: float | None = None
    """Only calls that started at this Unix time or later."""
    until_s: float | None = None
    """Only calls that started before this Unix time."""
    threshold: float = 1.0
    """The least value of an outcome that is useful, in 0..1."""
    basis: str = BASES[0]
    """``reservation`` or ``usage``: whether idle time counts."""

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys in order, the period first, each once."""
        return tuple(dict.fromkeys([*([self.period] if self.period else []), *self.by]))

    def of_run(self, run: str) -> Self:
        """Return the same question about one run alone."""
        return replace(self, run=run)

    def check(self) -> None:
        """Raise InputError where something is not allowed."""
        for key in self.by:
            if key not in {*KEYS, *PERIODS} and not (key.startswith(TAG) and len(key) > len(TAG)):
                raise unknown("key", key, (*KEYS, *PERIODS, f"{TAG}NAME"))
        if self.period is not None and self.period not in PERIODS:
            raise unknown("period", self.period, PERIODS)
        if self.basis not in BASES:
            raise unknown("basis", self.basis, BASES)
        if not 0 <= self.threshold <= 1:
            raise InputError(f"the threshold is {self.threshold}; allowed: 0 to 1")
        if self.since_s is not None and self.until_s is not None and self.since_s >= self.until_s:
            raise InputError("the period ends before it begins: --until must be later than --since")
        time_zone(self.zone)


def no_such(kind: str, value: str, known: Collection[str]) -> InputError:
    """Return the error for a ``value`` that no call in the ledger has, naming the nearest and some others."""
    if not known:
        return InputError(f"no call in the ledger has a {kind}, so none has '{value}'")
    names = sorted(known)
    if len(names) > _MOST_NAMES:
        near = difflib.get_close_matches(value, names, n=_MOST_NAMES // 2, cutoff=0.3)
        names = [*near, *names[: _MOST_NAMES - len(near)]]
    return unknown(kind, value, names)
