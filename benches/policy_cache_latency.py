"""What an exact cache adds to a miss and takes off a hit, beside the same engine without one, in turns."""

import tempfile
import time
from pathlib import Path

import numpy as np

from cput.engines.echo import Echo
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.policy.cache import Bills, Cache, Cached, FileStore, MemoryStore
from cput.records import Call, Message

CALLS = 300
TOKENS = 64


async def latencies() -> list[dict]:
    """Return, for each store, the medians of the ratios of a miss and of a hit to the call without a cache."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.db") as ledger:
        for name, store in (("memory", MemoryStore()), ("file", FileStore(Path(folder) / "cache.db"))):
            bills = Bills(ledger)
            plain, cache = Metered(Echo(), bills), Cache(store)
            cached = Cached(Metered(Echo(), bills), cache, bills, model="echo")
            misses, hits, none_s = [], [], []
            for at in range(CALLS + 20):
                text = " ".join(f"w{at}x{word}" for word in range(TOKENS))
                without = await timed(plain, text)
                miss, hit = await timed(cached, text), await timed(cached, text)
                if at >= 20:  # the first ones warm up
                    misses.append(miss / without)
                    hits.append(hit / without)
                    none_s.append(without)
            rows.append(
                {
                    "cache": name,
                    "calls": CALLS,
                    "miss_ratio": float(np.median(misses)),
                    "hit_ratio": float(np.median(hits)),
                    "no_cache_s": float(np.median(none_s)),
                    "added_by_a_miss_s": float(np.median((np.array(misses) - 1) * np.array(none_s))),
                }
            )
            await cache.aclose()
    return rows


async def timed(engine, text: str) -> float:
    began = time.perf_counter()
    await engine.answer(Call(messages=(Message(role="user", content=text),))).text()
    return time.perf_counter() - began
