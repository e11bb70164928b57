"""What a cache hit costs and saves: it costs its look-up, and avoids what the original answer had cost."""

from cput.ledger.price.book import UNPRICED
from cput.records import Charge


def avoided_charge(call_id: str, seq: int, original: Charge, *, lookup_nano_usd: int | None = 0) -> Charge:
    """Return the charge of a hit: ``lookup_nano_usd`` (None: unknown) as incremental, the original's cost as avoided.

    ``original`` is the charge of the attempt whose answer is given again. Where its price was not known, neither is
    what was avoided: nothing is claimed, and the version says ``unpriced``. The hit's useful tokens count as any
    answer's: they are in its attempt's usage.
    """
    saved = original.incremental_nano_usd
    return Charge(
        call_id=call_id,
        seq=seq,
        incremental_nano_usd=lookup_nano_usd,
        avoided_nano_usd=saved or 0,
        price_version=f"avoided {UNPRICED if saved is None else original.price_version}",
        basis="flat",
    )
