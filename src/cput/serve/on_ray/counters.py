"""The counters of all gateway replicas on one page: a scraper reaches whichever replica Ray's proxy picks.

Every sample gets a label ``replica``. Sums over it are the application's; counters of a replica that is gone are gone,
which Prometheus' ``rate`` and ``increase`` take for a series that ended.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

LABEL = "replica"


def labelled(registry: CollectorRegistry, replica: str) -> list[Metric]:
    """Return what a registry has now, each sample with the replica's label; picklable."""
    found = []
    for family in registry.collect():
        mine = Metric(family.name, family.documentation, family.type, family.unit)
        mine.samples = [sample._replace(labels={**sample.labels, LABEL: replica}) for sample in family.samples]
        found.append(mine)
    return found


def page(replicas: Iterable[list[Metric]]) -> bytes:
    """Return the exposition of all replicas' families, each family once."""
    merged: dict[str, Metric] = {}
    for families in replicas:
        for family in families:
            into = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type, family.unit))
            into.samples.extend(family.samples)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(merged))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, families: dict[str, Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield each family."""
        yield from self._families.values()
