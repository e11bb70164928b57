"""Energy: joules of reserved windows, what they cost and emit. ``use`` is the record, ``book`` keeps it, ``grid`` and
``power`` know dated prices, carbon factors and nominal powers from ``energies/*.toml``.
"""

from cput.ledger.energy.book import read_energy, record_energy
from cput.ledger.energy.grid import Terms, energy_terms, regions
from cput.ledger.energy.power import NominalPower, nominal_power
from cput.ledger.energy.use import Basis, EnergyUse, Total, total

__all__ = [
    "Basis",
    "EnergyUse",
    "NominalPower",
    "Terms",
    "Total",
    "energy_terms",
    "nominal_power",
    "read_energy",
    "record_energy",
    "regions",
    "total",
]
