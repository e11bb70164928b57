"""The caches: one answer for calls that are the same, or ask the same in other words.

    cache = Cache(MemoryStore(max_bytes=256 << 20), ttl_s=3600)
    bills = Bills(ledger)
    engine = Cached(Metered(leaf, bills, prices=book), cache, bills, model="gpt-4o")
    await cache.judged([outcome], tenant="acme")        # a negative outcome evicts

docs/design/cache.md says what is compared, what is proven, and what is not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cput.policy.cache.bills import Bills
    from cput.policy.cache.cached import CACHE, Cache, Cached, Counts
    from cput.policy.cache.certificate import Certificate, Fitted, Pair, fit, load_pairs
    from cput.policy.cache.entry import Codec
    from cput.policy.cache.file_store import FileStore
    from cput.policy.cache.guard import guard_version, refusal
    from cput.policy.cache.key import key_of
    from cput.policy.cache.semantic import Semantic
    from cput.policy.cache.store import MemoryStore, Store
    from cput.policy.cache.wish import TAG

__all__ = [
    "CACHE",
    "TAG",
    "Bills",
    "Cache",
    "Cached",
    "Certificate",
    "Codec",
    "Counts",
    "FileStore",
    "Fitted",
    "MemoryStore",
    "Pair",
    "Semantic",
    "Store",
    "fit",
    "guard_version",
    "key_of",
    "load_pairs",
    "refusal",
]

_HOME = {
    "Bills": "bills",
    "CACHE": "cached",
    "Cache": "cached",
    "Cached": "cached",
    "Certificate": "certificate",
    "Codec": "entry",
    "Counts": "cached",
    "FileStore": "file_store",
    "Fitted": "certificate",
    "MemoryStore": "store",
    "Pair": "certificate",
    "Semantic": "semantic",
    "Store": "store",
    "TAG": "wish",
    "fit": "certificate",
    "guard_version": "guard",
    "key_of": "key",
    "load_pairs": "certificate",
    "refusal": "guard",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: a gateway without a semantic cache needs no numpy for it."""
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
