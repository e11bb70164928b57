"""The states of the policies' watches, for ``/metrics``: whether an alarm has gone off, and the quality seen."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cput.policy.guarantee import Watch


class WatchStates(Collector):
    """Reads the watches when they are asked for; nothing where no policy is watched."""

    def __init__(self, watches: Callable[[], Mapping[str, Watch]]) -> None:
        """``watches`` returns each policy's by its name."""
        self._watches = watches

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the gauges."""
        found = sorted(self._watches().items())
        if not found:
            return
        alarm = GaugeMetricFamily("cput_policy_alarm", "1 once a policy's quality has fallen.", labels=["policy"])
        outcomes = GaugeMetricFamily("cput_policy_outcomes", "Outcomes that a watch counted.", labels=["policy"])
        quality = GaugeMetricFamily("cput_policy_quality", "Mean quality since the watch began.", labels=["policy"])
        for name, watch in found:
            alarm.add_metric([name], float(watch.alarm is not None))
            outcomes.add_metric([name], watch.outcomes)
            if watch.quality is not None:
                quality.add_metric([name], watch.quality)
        yield from (alarm, outcomes, quality)
