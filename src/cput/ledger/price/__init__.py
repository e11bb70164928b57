"""Dated prices: devices by the hour, hosted models by genai-prices, one's own by price files.

``book`` answers what a usage costs, ``device`` what an hour costs, ``avoided`` what a cache hit saved; ``file``,
``model`` and ``fx`` read price files, ``hosted`` asks genai-prices, ``card`` does the arithmetic.
"""

from cput.ledger.price.avoided import avoided_charge
from cput.ledger.price.book import UNCOUNTED, UNPRICED, PriceBook, Priced
from cput.ledger.price.card import Line
from cput.ledger.price.device import UNKNOWN_VERSION, DeviceRate, PriceRow, device_rate, parse_prices, price_rows
from cput.ledger.price.fx import Exchange, Fx

__all__ = [
    "UNCOUNTED",
    "UNKNOWN_VERSION",
    "UNPRICED",
    "DeviceRate",
    "Exchange",
    "Fx",
    "Line",
    "PriceBook",
    "PriceRow",
    "Priced",
    "avoided_charge",
    "device_rate",
    "parse_prices",
    "price_rows",
]
