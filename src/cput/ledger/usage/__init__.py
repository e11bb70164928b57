"""What a provider's body says was used, as one ``Usage``, and that as prices are quoted for it.

    usage = usage_of(response_body)              # whole response, one of its events, or the usage object alone
    usage = merge(chunks)                        # a stream; not complete where it was cut off
    calc_price(genai_prices.Usage(**reported(usage)), ...)
    sum(leaves(usage).values())                  # every token once

Who bills it and at which tier: ``provider_of`` (a base URL) and ``tier_of`` (a body). See docs/design/usage.md.
"""

from cput.ledger.usage.bill import leaves, reported
from cput.ledger.usage.locate import shape_of
from cput.ledger.usage.normalise import usage_of
from cput.ledger.usage.service import provider_of, tier_of
from cput.ledger.usage.shape import Shape
from cput.ledger.usage.stream import Merged, merge

__all__ = ["Merged", "Shape", "leaves", "merge", "provider_of", "reported", "shape_of", "tier_of", "usage_of"]
