"""The energy of a reserved window on this machine: counted where a counter exists, else nominal power times time.

meter = machine_meter()
running = meter.start()
...
uses = running.stop(window, seconds)      # one row per component, for the ledger
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cput.ledger.energy import Basis, EnergyUse, NominalPower, nominal_power
from cput.ledger.runs import Window
from cput.measure.energy.gauge import Counted, Gauge
from cput.measure.energy.nvml import nvml_counters
from cput.measure.energy.powercap import POWERCAP, Found, powercap_counters
from cput.measure.environment import cpu_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """How this machine's energy can be known."""

    cpu: Callable[[], Found]
    """Opens the processors' counters."""
    gpu: Callable[[], Found]
    """Opens the GPUs' counters."""
    power: NominalPower
    """The power that stands in where no processor counter exists."""

    def start(self) -> "Running":
        """Begin to count."""
        cpu, gpu = self.cpu(), self.gpu()
        return Running(Gauge((*cpu.counters, *gpu.counters)), cpu.missing, gpu.missing, self.power)


class Running:
    """A count under way."""

    def __init__(self, gauge: Gauge, missing_cpu: str | None, missing_gpu: str | None, power: NominalPower) -> None:
        self._gauge = gauge
        self._missing_cpu = missing_cpu
        self._missing_gpu = missing_gpu
        self._power = power

    def stop(self, window: Window, seconds: float) -> tuple[EnergyUse, ...]:
        """End the count and return what ``window`` used in ``seconds``, by component; what is left out is said."""
        uses = [_use(window, found) for found in self._gauge.stop()]
        left_out = [self._missing_gpu]
        if self._missing_cpu is not None and self._power.watts is not None:
            uses.append(_estimated(window, seconds, self._power.watts, self._power.source))
        elif self._missing_cpu is not None:
            left_out = [self._missing_cpu, self._missing_gpu, self._power.source]
        reasons = "; ".join(reason for reason in left_out if reason)
        if not uses:
            return (_unknown(window, reasons),)
        if reasons:
            uses[-1] = replace(uses[-1], source=f"{uses[-1].source}; not counted: {reasons}")
        return tuple(uses)


def machine_meter(
    *, watts: float | None = None, powercap: Path = POWERCAP, gpu: Callable[[], Found] = nvml_counters
) -> Meter:
    """Return a meter of this machine; ``watts`` is its power as the user knows it, used where no counter counts.

    Raises:
        InputError: when ``watts`` is not a positive power.
    """
    return Meter(
        cpu=lambda: powercap_counters(powercap), gpu=gpu, power=nominal_power(cpu_name(), _threads(), watts=watts)
    )


def _threads() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _use(window: Window, found: Counted) -> EnergyUse:
    return EnergyUse(
        window=window.id,
        run=window.run,
        component=found.counter.component,
        joules=found.joules,
        basis=Basis.UNKNOWN if found.joules is None else Basis.MEASURED,
        source=found.why or found.counter.source,
    )


def _estimated(window: Window, seconds: float, watts: float, source: str) -> EnergyUse:
    return EnergyUse(
        window=window.id,
        run=window.run,
        component="cpu",
        joules=watts * seconds,
        basis=Basis.ESTIMATED,
        source=f"{source} x window",
    )


def _unknown(window: Window, reasons: str) -> EnergyUse:
    return EnergyUse(
        window=window.id, run=window.run, component="machine", joules=None, basis=Basis.UNKNOWN, source=reasons
    )
