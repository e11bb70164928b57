"""Plugging a cache behind a door: its store, its embedding engine, and what wraps the lines of engines."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from cput.cli.asked import Asked
from cput.ledger.meter import Pricer
from cput.ledger.price import DeviceRate, device_rate
from cput.policy.cache.bills import Bills
from cput.policy.cache.cached import Cache, Cached
from cput.policy.cache.entry import Codec
from cput.policy.cache.file_store import FileStore
from cput.policy.cache.store import MemoryStore, Store
from cput.policy.explain import Explained, Explainer
from cput.policy.upstreams import CacheRule
from cput.protocols import Engine
from cput.records import Attempt, Charge, Ending
from cput.serve.cache_counts import CacheCounts
from cput.serve.door import Door
from cput.serve.forward import Closed, Passed, Said
from cput.units import SECONDS_PER_HOUR, to_nano_usd

if TYPE_CHECKING:
    from cput.policy.cache.semantic import Embedding, Semantic


ENDED = frozenset({"stop", "length", "tool_calls", "function_call"})
"""Finish reasons of answers that may be given again; what else an upstream says (content_filter) may not."""


@dataclass(frozen=True, slots=True)
class Plugged:
    """A cache and the sink that its engines' meters write to."""

    cache: Cache
    bills: Bills
    ledger: Explainer

    def around(self, engine: Engine, *, model: str, version: str, keep_text: bool) -> Engine:
        """Return a metered line with the cache around it; whose answer is given again stands in the ledger."""
        cached = Cached(engine, self.cache, self.bills, model=model, version=version, keep_text=keep_text)
        return Explained(cached, self.ledger)

    async def load(self) -> None:
        """Load the embedding engine, where there is one."""
        if self.cache.semantic is not None:
            await self.cache.semantic.start()


@dataclass(frozen=True, slots=True)
class ByTime:
    """Charges an embedding leg its seconds of this machine."""

    rate: DeviceRate

    def charge(self, attempt: Attempt) -> Charge | None:
        """Return the leg's charge; unknown where its seconds are."""
        seconds, per_h = attempt.usage.engine_s, self.rate.usd_per_h
        nano_usd = None
        if seconds is not None and per_h is not None:
            nano_usd = to_nano_usd(per_h * Decimal(str(seconds)) / SECONDS_PER_HOUR)
        return Charge(
            call_id=attempt.call_id,
            seq=attempt.seq,
            incremental_nano_usd=nano_usd,
            price_version=self.rate.version,
            basis="usage",
        )


def plug_cache(door: Door, rule: CacheRule, prices: Pricer | None = None) -> Plugged:
    """Return the cache that a rule describes; ``prices`` charge the embedding legs where the rule has no rate.

    Raises:
        InputError: a threshold that is too low, a file that is none, a rate that can't be.
        SetupError: an embedding model that is not stored, or no certificate for it.
    """
    store: Store
    store = MemoryStore(max_bytes=rule.max_bytes) if rule.file is None else _file(rule.file, rule.max_bytes)
    semantic = None if rule.semantic is None else _semantic(rule, prices)
    cache = Cache(store, ttl_s=rule.ttl_s, semantic=semantic, codec=Codec(Said, Passed, Closed), keeps=keeps)
    return Plugged(cache, Bills(door.tally, door.tally.unsettled), door.ledger)


def keeps(ending: Ending) -> bool:
    """Whether an upstream's own words let an answer be given again: it ended, and no filter cut it."""
    return not isinstance(ending, Closed) or set(ending.reasons.values()) <= ENDED


def asked_cache(asked: Asked, door: Door, prices: Pricer | None = None) -> Plugged | None:
    """Return the cache that ``--cache`` and ``--semantic-cache`` ask for, one for the whole door; None without them.

    The door closes it. It outlives the stacks that use it: another policy has other keys.

    Raises:
        SetupError: an embedding model that is not stored, or no certificate for it.
    """
    if not asked.cache and asked.semantic_cache is None:
        return None
    if door.cache is None:
        plugged = plug_cache(door, CacheRule(semantic=asked.semantic_cache), prices)
        show(door)
        door.cache = plugged.cache
        door.closing.append(plugged.cache.aclose)
        return plugged
    return Plugged(door.cache, Bills(door.tally, door.tally.unsettled), door.ledger)


def show(door: Door) -> None:
    """Show the counts of whatever cache the door has in ``/metrics``."""
    door.telemetry.registry.register(CacheCounts(lambda: door.cache))


def _file(name: str, max_bytes: int) -> FileStore:
    return FileStore(Path(name), max_bytes=max_bytes)


def _semantic(rule: CacheRule, prices: Pricer | None) -> "Semantic":
    from cput.engines import open_engine
    from cput.policy.cache.certificate import Certificate
    from cput.policy.cache.semantic import Semantic

    assert rule.semantic is not None
    embedder: Embedding = open_engine("embedder", model=rule.semantic)  # type: ignore[assignment]
    name = embedder.manifest.name
    found = Certificate.shipped(name) if rule.certificate is None else Certificate.load(Path(rule.certificate))
    if rule.rate is not None:
        prices = ByTime(device_rate(rule.rate, None))
    return Semantic(embedder, found, threshold=rule.threshold, prices=prices)
