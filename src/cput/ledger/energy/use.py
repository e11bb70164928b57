"""What a reserved window used of energy: one row per component (a CPU package, its memory, a GPU), in joules.

Measured is what a counter counted. Estimated is a nominal power times the window. Unknown is None, with the reason.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Row


class Basis(StrEnum):
    """What an amount of energy rests on."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyUse:
    """The energy of one component over one window; written once."""

    window: str
    """Id of the reserved window."""
    run: str
    """Id of the run that reserved it."""
    component: str
    """``package-0``, ``dram-0``, ``nvidia-1``, ``cpu`` where it is estimated whole; ``machine`` where nothing is
    known."""
    joules: float | None
    """Energy; None is unknown."""
    basis: Basis
    """Whether it was counted, estimated, or is unknown."""
    source: str
    """The counter, or the power and where it is from, or why nothing is known."""


class Total(NamedTuple):
    """The energy of several windows."""

    joules: float | None
    """Their sum; None where any window's energy is unknown."""
    basis: Basis
    """Measured only where every part of it was."""
    source: str
    """Every source, once; or why it is unknown."""


def total(uses: Sequence[EnergyUse], windows: Iterable[str]) -> Total:
    """Add up the energy of ``windows``; one window without a known energy makes the sum unknown, not smaller."""
    wanted = tuple(windows)
    if not wanted:
        return Total(None, Basis.UNKNOWN, "no window was reserved")
    for window in wanted:
        rows = [use for use in uses if use.window == window]
        if not rows:
            return Total(None, Basis.UNKNOWN, "it was not read in every window of the run")
        if any(use.joules is None for use in rows):
            return Total(None, Basis.UNKNOWN, "; ".join(use.source for use in rows if use.joules is None))
    mine = [use for use in uses if use.window in wanted]
    measured = all(use.basis is Basis.MEASURED for use in mine)
    return Total(
        sum(use.joules or 0.0 for use in mine),
        Basis.MEASURED if measured else Basis.ESTIMATED,
        "; ".join(dict.fromkeys(use.source for use in mine)),
    )


def energy_row(use: EnergyUse) -> dict[str, Any]:
    """Return the row of ``energies`` by column."""
    return {
        "window_id": use.window,
        "component": use.component,
        "run": use.run,
        "joules": use.joules,
        "basis": use.basis.value,
        "source": use.source,
    }


def to_energy(row: Row[Any]) -> EnergyUse:
    """Read a row of ``energies``."""
    return EnergyUse(
        window=row.window_id,
        run=row.run,
        component=row.component,
        joules=row.joules,
        basis=Basis(row.basis),
        source=row.source,
    )
