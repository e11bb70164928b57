"""Counters and histograms for one event loop, collected for Prometheus when they are asked for.

prometheus-client's own take a lock and five calls for every increment, which is right for threads; a request makes a
dozen of them. Here an increment is one sum in a dict, and the library says it all in its format.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Count(Collector):
    """A counter: ``count.add(("m", "stop"))``."""

    def __init__(self, name: str, words: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._words, self._labels = name, words, labels
        self._sums: dict[Labels, float] = {}
        registry.register(self)

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        """Add to the counter of these labels, in their order."""
        self._sums[labels] = self._sums.get(labels, 0.0) + amount

    def collect(self) -> Iterable[Metric]:
        """Yield the counter."""
        family = CounterMetricFamily(self._name, self._words, labels=self._labels)
        for labels, total in self._sums.items():
            family.add_metric(labels, total)
        yield family


class Spread(Collector):
    """A histogram: ``spread.saw(("m",), 0.21)``."""

    def __init__(
        self, name: str, words: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._words, self._labels, self._bounds = name, words, labels, bounds
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        registry.register(self)

    def saw(self, labels: Labels, value: float) -> None:
        """Count a value under these labels."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def collect(self) -> Iterable[Metric]:
        """Yield the histogram, its buckets cumulated."""
        family = HistogramMetricFamily(self._name, self._words, labels=self._labels)
        ends = [*(repr(float(bound)) for bound in self._bounds), "+Inf"]
        for labels, counts in self._counts.items():
            so_far, buckets = 0, []
            for end, count in zip(ends, counts, strict=True):
                so_far += count
                buckets.append((end, float(so_far)))
            family.add_metric(labels, buckets, sum_value=self._sums[labels])
        yield family
