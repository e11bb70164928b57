"""Counters for Prometheus. Names and labels are the contract: docs/design/serve.md lists them, and a test holds that.

A label's values are bounded: models beyond ``MOST_MODELS`` count as ``other``, since clients choose their names.
"""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from cput.records import Attempt, Charge
from cput.units import NANO

MOST_MODELS = 200
Metric = Counter | Histogram
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Telemetry:
    """The door's counters, in a registry of their own, so that two doors in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._models: set[str] = set()
        self._kept: dict[tuple[Any, ...], Any] = {}
        self.requests = Counter("cput_requests", "Requests answered.", ["endpoint", "status"], registry=self.registry)
        self.in_flight = Gauge("cput_requests_in_flight", "Requests under way.", registry=self.registry)
        self.seconds = Histogram(
            "cput_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ["endpoint"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.ttft = Histogram(
            "cput_attempt_ttft_seconds",
            "Seconds from sending to the first token.",
            ["model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.attempts = Counter(
            "cput_attempts", "Attempts on record.", ["model", "role", "finish"], registry=self.registry
        )
        self.tokens = Counter(
            "cput_tokens", "Tokens of attempts on record, where known.", ["model", "kind"], registry=self.registry
        )
        self.usd = Counter(
            "cput_charges_usd", "US dollars of attempts on record, where known.", ["model"], registry=self.registry
        )
        self.unpriced = Counter(
            "cput_attempts_unpriced", "Attempts whose charge is unknown.", ["model"], registry=self.registry
        )
        self.outcomes = Counter("cput_outcomes", "Outcomes received.", ["source"], registry=self.registry)

    def heard(self, attempt: Attempt, charge: Charge | None) -> None:
        """Count an attempt that is on record."""
        model = self._label(attempt.model or "unknown")
        self._of(self.attempts, model, attempt.role.value, attempt.finish.value).inc()
        usage = attempt.usage
        for kind, count in (
            ("input", usage.input),
            ("input_cache_read", usage.input_cache_read),
            ("output", usage.output),
        ):
            if count:
                self._of(self.tokens, model, kind).inc(count)
        if attempt.ttft_s is not None:
            self._of(self.ttft, model).observe(attempt.ttft_s)
        if charge is None:
            return
        if charge.incremental_nano_usd is None:
            self._of(self.unpriced, model).inc()
        else:
            self._of(self.usd, model).inc(charge.incremental_nano_usd / float(NANO))

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request that was answered, or whose client hung up (499)."""
        self._of(self.requests, endpoint, str(status)).inc()
        self._of(self.seconds, endpoint).observe(seconds)

    def page(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        return generate_latest(self.registry)

    def _of(self, metric: Metric, *labels: str) -> Any:
        """Return the metric of these labels; ``labels()`` takes a lock and makes texts anew each time."""
        key = (metric, *labels)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = metric.labels(*labels)
        return found

    def _label(self, model: str) -> str:
        if model not in self._models:
            if len(self._models) >= MOST_MODELS:
                return "other"
            self._models.add(model)
        return model
