"""Runs, reserved windows, and a call read back with all that is known about it.

Times are Unix seconds, rates are integer nano-dollars per hour, ``None`` is unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cput.records import Attempt, Call, Charge, Outcome, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measurement or optimization; calls name it, and ``--resume`` finds it again."""

    id: str = field(default_factory=new_id)
    """UUIDv7."""
    kind: str
    """``measure`` or ``optimize``."""
    workload: str
    """Name of the workload."""
    workload_digest: str
    """Digest of its items and head, so that a resume notices a changed workload."""
    engine: str
    """Engine, model and precision in words."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for (load, limits, seed), as JSON can say it."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Hardware and versions, as JSON can say it."""
    started_s: float
    """When it was first started."""
    ended_s: float | None = None
    """When it last ended; None while it runs, or where it was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span in which a run reserved a device; a resumed run has several. All of it is paid for, idle time too."""

    id: str = field(default_factory=new_id)
    """UUIDv7; writing the same id again may only move ``ended_s`` forward."""
    run: str
    """Id of the run that reserved it."""
    started_s: float
    """When the reservation began."""
    ended_s: float | None = None
    """When it ended; None while it is open, or where the process was killed (see ``Ledger.last_seen_s``)."""
    rate_nano_usd_per_h: int | None = None
    """Nano-dollars per hour of the device; None where no price is known."""
    price_version: str = "unknown"
    """Which dated price that is."""
    device: str | None = None
    """The device in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """A call with all that the ledger knows about it, joined when it is read."""

    call: Call
    """The call; its messages and prompt are empty where the ledger does not keep text."""
    run: str | None
    """The run it belongs to."""
    recorded_s: float
    """When its first attempt was written down."""
    attempts: tuple[Attempt, ...]
    """All legs by ``seq``."""
    charges: tuple[Charge, ...]
    """The charges in effect: a later price version for the same attempt and basis replaces an earlier one."""
    outcomes: tuple[Outcome, ...]
    """All outcomes by call id or external key, by ``observed_s``; revisions are all here, ``verdict`` reads them."""
