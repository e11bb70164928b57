"""What the rows of a FOCUS dataset are put together from: money, periods, quantities, who bills."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from cput.ledger.export.scan import AnyRow, Idle
from cput.records import Attempt
from cput.units import from_nano_usd

FocusRow = dict[str, Any]
OWN = "self-hosted"
"""Provider of what nobody else bills."""
WHY = "x_WhyIncomplete"
COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
CONSTANTS = {
    "BillingCurrency": "USD",
    "ChargeCategory": "Usage",
    "ChargeFrequency": "Usage-Based",
    "PricingCategory": "Standard",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceName": "Model inference",
    "ServiceSubcategory": "Generative AI",
}


class Quantity(NamedTuple):
    """An amount and its unit, in the words of FOCUS' unit format."""

    amount: Decimal
    unit: str


ONE_REQUEST = Quantity(Decimal(1), "Requests")
ONE_RESERVATION = Quantity(Decimal(1), "Reservations")


def money(charge: AnyRow, why_unknown: str) -> FocusRow:
    """Return a charge's columns of money; where it is unknown, the reason."""
    nano = charge.incremental_nano_usd
    return {
        **dict.fromkeys(COSTS, None if nano is None else from_nano_usd(nano)),
        **({WHY: why_unknown} if nano is None else {}),
        "x_AvoidedCost": from_nano_usd(charge.avoided_nano_usd),
        "x_ChargeBasis": charge.basis,
        "x_PriceVersion": charge.price_version,
    }


def who(provider: str | None) -> FocusRow:
    """Return who provides and bills."""
    return dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), provider or OWN)


def period(started_s: float, ended_s: float) -> FocusRow:
    """Return the charge's period, in whole seconds around it, and the calendar month (UTC) in which it began."""
    try:
        start = datetime.fromtimestamp(math.floor(started_s), UTC)
        end = datetime.fromtimestamp(max(math.ceil(ended_s), math.floor(started_s) + 1), UTC)
    except (OverflowError, ValueError, OSError):  # not a moment that a calendar has
        return {WHY: f"its time ({started_s} s) is not a date"}
    month = start.replace(day=1, hour=0, minute=0, second=0)
    return {
        "BillingPeriodStart": month,
        "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1),
        "ChargePeriodStart": start,
        "ChargePeriodEnd": end,
    }


def reservation(window: str | None, device: str | None, status: str) -> FocusRow:
    """Return the capacity reservation, its device as the resource, and whether the charge used it."""
    if window is None:
        return {}
    return {
        "CapacityReservationId": window,
        "CapacityReservationStatus": status,
        "ResourceId": device or window,
        "ResourceType": "Device",
    }


def quantities(consumed: Quantity, priced: Quantity) -> FocusRow:
    """Return what was consumed and what was priced."""
    return {
        "ConsumedQuantity": consumed.amount,
        "ConsumedUnit": consumed.unit,
        "PricingQuantity": priced.amount,
        "PricingUnit": priced.unit,
    }


def consumed(attempt: Attempt) -> Quantity:
    """Return the tokens of an attempt where they are known, else its device time, else that it was one request."""
    usage = attempt.usage
    if usage.input is not None and usage.output is not None:
        return Quantity(Decimal(usage.input + usage.output), "Tokens")
    if usage.engine_s is not None:
        return Quantity(nine(usage.engine_s), "Seconds")
    return ONE_REQUEST


def hours(seconds: float) -> Quantity:
    """Return seconds as hours, the unit of device prices."""
    return Quantity(nine(Decimal(repr(seconds)) / 3600), "Hours")


def unused(idle: Idle) -> Quantity:
    """Return the unused time: what the charge that was written with the window was for, whatever it costs by now."""
    window, first = idle.window, idle.first
    if window is None or not window.rate_nano_usd_per_h or first.incremental_nano_usd is None:
        return ONE_RESERVATION
    if first.price_version != window.price_version:
        return ONE_RESERVATION
    return Quantity(nine(Decimal(first.incremental_nano_usd) / window.rate_nano_usd_per_h), "Hours")


def nine(value: float | Decimal) -> Decimal:
    """Round to nine places."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    return exact.quantize(Decimal("1e-9"))
