"""The lines of a report about energy: joules, what they cost and emit, each with what it rests on."""

from cput.measure.result import Energy
from cput.report import words
from cput.units import UNKNOWN


def lines(energy: Energy | None) -> list[tuple[str, str]]:
    """Return names and values for the summary; none where nobody asked for the energy."""
    if energy is None:
        return []
    if energy.joules is None:
        return [("energy", f"{UNKNOWN} ({energy.source})")]
    return [
        ("energy", joules(energy)),
        ("energy cost", cost(energy)),
        ("carbon", carbon(energy)),
    ]


def joules(energy: Energy) -> str:
    """Print the joules and the joules per useful token, measured or estimated, and by what."""
    per_token = words.interval(energy.joules_per_useful_token)
    return f"{words.quantity(energy.joules, 'J')}, {per_token} J per useful token; {energy.basis}: {energy.source}"


def cost(energy: Energy) -> str:
    """Print what the energy costs, at which price, and how that stands to the device's rate."""
    if energy.cost_usd is None:
        return f"{UNKNOWN} ({energy.price_source})"
    price = f"at ${energy.usd_per_kwh:,.4g} / kWh ({energy.price_source})"
    return f"{words.amount(energy.cost_usd, 'USD')} {energy.basis}, {price}; {energy.cost_basis}"


def carbon(energy: Energy) -> str:
    """Print what the energy emits, at which factor."""
    if energy.carbon_g is None:
        return f"{UNKNOWN} ({energy.carbon_source})"
    factor = f"at {energy.g_per_kwh:,.4g} g / kWh ({energy.carbon_source})"
    return f"{words.quantity(energy.carbon_g, f'g {energy.gas}')} {energy.basis}, {factor}"
