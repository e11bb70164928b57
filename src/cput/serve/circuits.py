"""The states of the upstreams' circuits, for ``/metrics``: one gauge per upstream and state, 1 where it is in it."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cput.engines.circuit import State


class CircuitStates(Collector):
    """Reads the states when they are asked for, so that an upstream that a new file brings is there, and none stale."""

    def __init__(self, states: Callable[[], Mapping[str, State]]) -> None:
        """``states`` returns the state of each upstream by its name."""
        self._states = states

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the gauge."""
        gauge = GaugeMetricFamily(
            "cput_upstream_circuit", "Whether an upstream is asked.", labels=["upstream", "state"]
        )
        for name, found in sorted(self._states().items()):
            for state in State:
                gauge.add_metric([name, state.value], float(state is found))
        yield gauge
