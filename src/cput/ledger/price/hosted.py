"""Hosted models: genai-prices finds the model, the dated price and the tier of service.

The library's data is the installed package's (or what its ``UpdatePrices`` fetched, if the application runs it); cput
fetches nothing by itself.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from cput.ledger.price.card import Bill, Card, Line, billable, card_of
from cput.records import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

STANDARD_TIERS = frozenset({"default", "standard", "auto", "on_demand", "on-demand"})
"""Words by which providers say that a request was served as usual."""


class Hosted(NamedTuple):
    """A model at a provider, as genai-prices knows it."""

    provider: "Provider"
    """Who bills it."""
    model: "ModelInfo"
    """The model with its dated prices; may be another provider's entry that this one falls back to."""

    @property
    def name(self) -> str:
        """Provider and model, as price versions name them."""
        return f"{self.provider.id}/{self.model.id}"

    def is_found_by_its_name(self) -> bool:
        """Whether asking for the model's id at the provider finds this entry, and not another one or none."""
        found = find(self.model.id, self.provider.id)
        return found is not None and found.model is self.model

    def card(self, at: datetime, service_tier: str | None) -> Card:
        """Return the price card in force at ``at`` for a tier of service (None: the standard one)."""
        context = self._context(service_tier)
        standard = self.model.get_prices(at)
        price = self.model.get_prices(at, context) if context else standard
        tier = _tier_words(service_tier, varied=price != standard)
        version = f"{release()}:{self.name}{self._valid_from(standard)}{tier}"
        return _cards(_Same(price), version)

    def bill(self, usage: Usage, at: datetime, service_tier: str | None) -> tuple[Bill, str]:
        """Return what a usage costs and by which price version.

        Where it is billed by time, a provider's least bill is a line of its own.
        """
        card = self.card(at, service_tier)
        bill = card.bill(usage)
        if bill.why_unknown is None and any("seconds" in part for part in usage.parts):
            total = self._library_total(billable(usage), at, service_tier)
            least = total - sum((line.usd for line in bill.lines), Decimal(0))
            if least > 0:
                bill = bill._replace(lines=(*bill.lines, Line("minimum", Decimal(1), least)))
        return bill, card.version

    def _context(self, service_tier: str | None) -> Mapping[str, str] | None:
        """Return the library's price context: the tier under each key by which this model's variants are chosen.

        As in the library, variants hold only for the provider's own models and not for those it falls back to.
        """
        own = any(self.model is model for model in self.provider.models)
        if service_tier is None or service_tier.lower() in STANDARD_TIERS or not own:
            return None
        return {key: service_tier.lower() for variant in self.model.price_variants or () for key in variant.when}

    def _valid_from(self, price: "ModelPrice") -> str:
        """Return ``@`` and when the price began to hold, where the library says so."""
        if not isinstance(self.model.prices, list):
            return ""
        held = next((entry.constraint for entry in reversed(self.model.prices) if entry.prices is price), None)
        start = getattr(held, "start_date", None) or getattr(held, "start_time", None)
        return f"@{start.isoformat()}" if start is not None else ""

    def _library_total(self, counts: Mapping[str, float], at: datetime, service_tier: str | None) -> Decimal:
        from genai_prices.types import Usage as Counts

        context = self._context(service_tier)
        found = self.model.calc_price(
            Counts(**counts), self.provider, genai_request_timestamp=at, price_context=context
        )
        return found.total_price


def find(model: str, provider: str | None) -> Hosted | None:
    """Return a model at a provider; without one, at the maker whom the model's name tells. None where unknown."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        return Hosted(*get_snapshot().find_provider_model(model, None, provider, None))
    except LookupError:
        return None


def every() -> Iterator[Hosted]:
    """Yield every model of every provider."""
    from genai_prices.data_snapshot import get_snapshot

    for provider in get_snapshot().providers:
        for model in provider.models:
            yield Hosted(provider, model)


def release() -> str:
    """Return the library's name and version, and when its data was fetched where that is later than the package."""
    from genai_prices import __version__
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    fetched = f"+{snapshot.timestamp:%Y-%m-%dT%H:%M:%S}" if snapshot.from_auto_update else ""
    return f"genai-prices {__version__}{fetched}"


def _tier_words(service_tier: str | None, *, varied: bool) -> str:
    if service_tier is None or service_tier.lower() in STANDARD_TIERS:
        return ""
    return f";{service_tier.lower()}" if varied else f";{service_tier.lower()} at standard price"


class _Same:
    """A price as a cache key: equal where all its rates are."""

    __slots__ = ("price",)

    def __init__(self, price: "ModelPrice") -> None:
        self.price = price

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and vars(other.price) == vars(self.price)

    def __hash__(self) -> int:
        return hash(tuple(vars(self.price)))


@lru_cache(maxsize=4096)
def _cards(same: _Same, version: str) -> Card:
    """Return the card of a price, checked once per price and version."""
    return card_of(same.price, version)
