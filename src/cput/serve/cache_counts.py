"""What the cache has done, for ``/metrics``."""

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from cput.policy.cache.cached import Cache
from cput.units import NANO


class CacheCounts(Collector):
    """Reads the counts when they are asked for; none where there is no cache."""

    def __init__(self, cache: Callable[[], Cache | None]) -> None:
        """``cache`` returns the one in use."""
        self._cache = cache

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Yield the counters."""
        cache = self._cache()
        if cache is None:
            return
        counts = cache.counts
        hits = CounterMetricFamily("cput_cache_hits", "Answers given again.", labels=["reason"])
        for reason, count in counts.hits.items():
            hits.add_metric([reason], count)
        yield hits
        yield _counter("cput_cache_misses", "Calls that were looked up and not found.", counts.misses)
        yield _counter("cput_cache_evicted", "Answers that an outcome evicted.", counts.evicted)
        saved = counts.avoided_nano_usd / float(NANO)
        yield _counter("cput_cache_avoided_usd", "US dollars that hits avoided, where known.", saved)


def _counter(name: str, says: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, says, value=value)
