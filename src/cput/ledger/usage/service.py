"""Who serves and bills a body, and at which tier."""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

PLACES = ("usage", "usageMetadata", "response", "message")
"""Where a tier may stand besides the top of a body."""
ON_DEMAND = "on_demand_"
"""What Vertex' traffic types (ON_DEMAND_FLEX) begin with where they name a tier."""


@lru_cache(maxsize=256)
def provider_of(base_url: str) -> str | None:
    """Return the provider that bills what a URL serves, as genai-prices names it; None where it knows none.

    A host of this machine or of a private network bills nothing, and is not looked up.
    """
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return None
    if _own(host):
        return None
    from genai_prices.data import providers  # 0.4 s: only where there is a provider to find

    return next((provider.id for provider in providers if re.match(provider.api_pattern, base_url)), None)


def tier_of(body: Mapping[str, Any]) -> str | None:
    """Return the tier that a body says it was served at, in lower case; None where it does not say.

    ``auto`` is what was asked for, not what was served.

    >>> tier_of({"service_tier": "flex"}), tier_of({"usageMetadata": {"trafficType": "ON_DEMAND_FLEX"}})
    ('flex', 'flex')
    """
    told = _tier(body)
    for name in PLACES:
        place = body.get(name)
        if told is None and place and isinstance(place, Mapping):
            told = tier_of(place)  # Anthropic's message_start: message.usage
    return told


def _tier(place: Mapping[str, Any]) -> str | None:
    told = place.get("service_tier") or place.get("serviceTier")
    if isinstance(told, str) and told.strip().lower() not in {"", "auto"}:
        return told.strip().lower()
    traffic = place.get("trafficType")
    if isinstance(traffic, str) and traffic.lower().startswith(ON_DEMAND):
        return traffic.lower().removeprefix(ON_DEMAND) or None
    return None


def _own(host: str) -> bool:
    """Tell whether a host is this machine, or of a network that no provider is in."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan"))
