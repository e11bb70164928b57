"""The nominal power of what a run reserves, where no counter counts: its thermal design power, in proportion.

A virtual machine with 8 of a processor's 64 threads is taken to draw an eighth of its power. This is an estimate, and
its words say so: a busy processor draws about its TDP, an idle one a fraction of it.
"""

import re
from datetime import UTC, date, datetime
from typing import NamedTuple

from cput.errors import InputError
from cput.ledger.energy.files import PowerOfDevice, device_powers, in_force


class NominalPower(NamedTuple):
    """A power, or why it is unknown."""

    watts: float | None
    """Watts; None is unknown."""
    source: str
    """Where it is from, in words; or why it is unknown."""


def nominal_power(cpu: str, threads: int | None, *, watts: float | None = None, on: date | None = None) -> NominalPower:
    """Return the power of ``threads`` of the processor that calls itself ``cpu``; ``watts``, where given, wins.

    Raises:
        InputError: when ``watts`` is not a positive power.
    """
    if watts is not None:
        if not 0 < watts < float("inf"):
            raise InputError(f"--watts is {watts}; allowed: the device's power in watts, above 0")
        return NominalPower(watts, f"{watts:g} W, given on the command line")
    row = in_force(_named(cpu), on or datetime.now(UTC).date())
    if row is None:
        return NominalPower(None, f"no power of '{cpu}' is on file; give --watts")
    whole = float(row.watts)
    if row.threads is None or threads is None or threads >= row.threads:
        return NominalPower(whole, f"TDP of {row.device} {whole:g} W ({row.source}, seen {row.seen})")
    share = f"{threads} of {row.threads} threads"
    return NominalPower(
        whole * threads / row.threads,
        f"TDP of {row.device} {whole:g} W x {share} ({row.source}, seen {row.seen})",
    )


def _named(cpu: str) -> list[PowerOfDevice]:
    """Return the rows of the longest device name that stands in ``cpu`` as whole words."""
    said = _words(cpu)
    held = [row for row in device_powers() if f" {_words(row.device)} " in f" {said} "]
    longest = max((len(row.device) for row in held), default=0)
    return [row for row in held if len(row.device) == longest]


def _words(name: str) -> str:
    """Lower a name and drop what vendors add to it: (R), (TM), CPU, Processor, a clock."""
    plain = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*$", " ", name.lower())
    return " ".join(plain.split())
