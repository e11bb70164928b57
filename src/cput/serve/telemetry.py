"""Counters for Prometheus. Names and labels are the contract: docs/design/serve.md lists them, and a test holds that.

A label's values are bounded: models beyond ``MOST_MODELS`` count as ``other``, since clients choose their names.
"""

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from cput.records import Attempt, Charge
from cput.serve.counting import Count, Spread
from cput.units import NANO

MOST_MODELS = 200
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Telemetry:
    """The door's counters, in a registry of their own, so that two doors in a process do not mix."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._models: set[str] = set()
        self.in_flight = 0
        """Requests under way."""
        under_way = Gauge("cput_requests_in_flight", "Requests under way.", registry=registry)
        under_way.set_function(lambda: self.in_flight)
        seconds = "Seconds from a request's head to the end of its answer."
        self.requests = Count("cput_requests", "Requests answered.", ["endpoint", "status"], registry)
        self.seconds = Spread("cput_request_seconds", seconds, ["endpoint"], SECONDS, registry)
        first = "Seconds from sending to the first token."
        self.ttft = Spread("cput_attempt_ttft_seconds", first, ["model"], SECONDS, registry)
        self.attempts = Count("cput_attempts", "Attempts on record.", ["model", "role", "finish"], registry)
        tokens = "Tokens of attempts on record, where known."
        self.tokens = Count("cput_tokens", tokens, ["model", "kind"], registry)
        usd = "US dollars of attempts on record, where known."
        self.usd = Count("cput_charges_usd", usd, ["model"], registry)
        self.unpriced = Count("cput_attempts_unpriced", "Attempts whose charge is unknown.", ["model"], registry)
        self.outcomes = Count("cput_outcomes", "Outcomes received.", ["source"], registry)

    def heard(self, attempt: Attempt, charge: Charge | None) -> None:
        """Count an attempt that is on record."""
        model = self._label(attempt.model or "unknown")
        self.attempts.add((model, attempt.role.value, attempt.finish.value))
        usage = attempt.usage
        for kind, count in (
            ("input", usage.input),
            ("input_cache_read", usage.input_cache_read),
            ("output", usage.output),
        ):
            if count:
                self.tokens.add((model, kind), count)
        if attempt.ttft_s is not None:
            self.ttft.saw((model,), attempt.ttft_s)
        if charge is None:
            return
        if charge.incremental_nano_usd is None:
            self.unpriced.add((model,))
        else:
            self.usd.add((model,), charge.incremental_nano_usd / float(NANO))

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request that was answered, or whose client hung up (499)."""
        self.requests.add((endpoint, str(status)))
        self.seconds.saw((endpoint,), seconds)

    def page(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        return generate_latest(self.registry)

    def _label(self, model: str) -> str:
        if model not in self._models:
            if len(self._models) >= MOST_MODELS:
                return "other"
            self._models.add(model)
        return model
