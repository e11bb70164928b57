"""Energy of the machine that a run reserves: ``powercap`` and ``nvml`` count, ``gauge`` reads them while a window is
open, ``meter`` makes rows of it for the ledger, ``show`` puts them into a measurement.
"""

from cput.measure.energy.counter import Counter
from cput.measure.energy.gauge import Gauge
from cput.measure.energy.meter import Meter, Running, machine_meter
from cput.measure.energy.nvml import nvml_counters
from cput.measure.energy.powercap import POWERCAP, powercap_counters
from cput.measure.energy.show import with_energy

__all__ = [
    "POWERCAP",
    "Counter",
    "Gauge",
    "Meter",
    "Running",
    "machine_meter",
    "nvml_counters",
    "powercap_counters",
    "with_energy",
]
