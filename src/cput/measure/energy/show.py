"""Puts a run's energy into its measurement: joules per useful token, what they cost and emit."""

from collections.abc import Sequence
from dataclasses import replace

from cput.ledger.energy import EnergyUse, Terms, read_energy, total
from cput.ledger.interval import Interval
from cput.ledger.store import Ledger
from cput.measure.result import Energy, Measurement
from cput.units import from_nano_usd

BESIDE = "beside the device's rate and no part of CPUT: most rates include power"
UNCOUNTED = "not counted: the engine does not run on a machine that cput reserved"


def with_energy(found: Measurement, ledger: Ledger, terms: Terms | None = None) -> Measurement:
    """Return the measurement with the energy of its run, at a kilowatt-hour's price and carbon.

    Where no window's energy was written down and no terms are given, nobody asked, and it stays as it is.
    """
    uses = read_energy(ledger, found.run)
    if not uses and terms is None:
        return found
    return replace(found, energy=_energy(found, ledger, uses, terms or Terms()))


def _energy(found: Measurement, ledger: Ledger, uses: Sequence[EnergyUse], terms: Terms) -> Energy:
    """Spread a run's energy over its calls as its cost is spread: by engine share, idle included."""
    known = total(uses, [window.id for window in ledger.windows(found.run)])
    nano = None if known.joules is None else terms.cost_nano_usd(known.joules)
    return Energy(
        joules=known.joules,
        basis=known.basis.value,
        source=known.source if uses else UNCOUNTED,
        joules_per_useful_token=_per_token(found, known.joules),
        usd_per_kwh=None if terms.usd_per_kwh is None else float(terms.usd_per_kwh),
        price_source=terms.price_source,
        cost_usd=None if nano is None else float(from_nano_usd(nano)),
        cost_basis=BESIDE,
        g_per_kwh=None if terms.g_per_kwh is None else float(terms.g_per_kwh),
        gas=terms.gas,
        carbon_source=terms.carbon_source,
        carbon_g=None if known.joules is None else terms.carbon_g(known.joules),
    )


def _per_token(found: Measurement, joules: float | None) -> Interval:
    """Return joules per useful token: CPUT in joules in place of its unit, with the same interval."""
    spent = found.cost_usd if found.cput_unit == "USD" else found.duration_s
    if joules is None or not spent:
        return Interval(None, None, None)
    return Interval(*(None if bound is None else bound * joules / spent for bound in found.cput))
