"""What a measurement found: the one record that the card, the JSON and the HTML report are drawn from.

Times are seconds, money is US dollars (float here; exact nano-dollars stay in the ledger), shares are of 1.
``None`` is unknown.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from cput.ledger.interval import Interval


class Percentiles(NamedTuple):
    """Seconds; None where no call gave a figure."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One step of the waterfall: what a million tokens cost once useless ones are taken out."""

    label: str
    """generated, within SLO, useful, useful within SLO; those of the SLO only where one is stated."""
    calls: int
    """Calls left at this level."""
    output_tokens: int
    """Their output tokens."""
    usd_per_m: float | None
    """All money of the run per million of these tokens."""
    device_s_per_m: float | None
    """All reserved device seconds of the run per million of these tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRow:
    """How one slice fared."""

    tag: str
    """Name of the slice's dimension, e.g. ``instruction``."""
    value: str
    """Its value, e.g. ``length_constraints``."""
    calls: int
    """Calls with a verdict in it."""
    useful_rate: Interval
    """Share of them that were useful."""
    cput: Interval
    """Money (or device seconds, as the measurement says) per useful token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """One call, for pictures and for the JSON's readers."""

    item: str
    """Id of the workload's item."""
    verdict: str
    """useful, useless, pending."""
    slo_met: bool | None
    """None where the workload states no SLO."""
    ttft_s: float | None
    """Sending to first token."""
    tpot_s: float | None
    """(E2E - TTFT) / (output tokens - 1)."""
    e2e_s: float | None
    """Sending to end."""
    output_tokens: int | None
    """Generated tokens over all attempts of the serving role of the final answer."""
    attempts: int
    """Legs, retries included."""
    error: str | None
    """Why it failed, if it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What a run used of energy, what that costs and emits. It is shown beside the money and is no part of it."""

    joules: float | None
    """Energy of all reserved windows; None is unknown."""
    basis: str
    """``measured`` (counted, all of it), ``estimated`` (some of it from nominal power) or ``unknown``."""
    source: str
    """Which counters, or which power; or why it is unknown."""
    joules_per_useful_token: Interval
    """Energy per output token of the useful answers, idle included."""
    usd_per_kwh: float | None
    """Price of a kilowatt-hour."""
    price_source: str
    """Where that price is from, with its date; or why it is unknown."""
    cost_usd: float | None
    """What the energy costs."""
    cost_basis: str
    """How that cost stands to the device's rate."""
    g_per_kwh: float | None
    """Grams of ``gas`` per kilowatt-hour."""
    gas: str
    """``CO2e``, or ``CO2`` where the factor counts carbon dioxide alone."""
    carbon_source: str
    """Where that factor is from, with its date; or why it is unknown."""
    carbon_g: float | None
    """What the energy emits, in grams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A whole run."""

    run: str
    """Run id in the ledger."""
    workload: str
    """Name of the workload."""
    engine: str
    """Engine, model and precision in words."""
    load: str
    """How calls arrived: ``closed loop, 32 at once``, ``Poisson, 4 calls/s``, ``trace FILE``."""
    started_s: float
    """Unix seconds."""
    duration_s: float
    """Wall seconds from the first call's sending to the last one's end; the reserved window."""
    calls: int
    """Calls made."""
    failed: int
    """Calls whose every attempt failed."""
    attempts: int
    """Legs over all calls."""
    input_tokens: int | None
    """Prompt tokens over all attempts."""
    output_tokens: int | None
    """Generated tokens over all attempts."""
    tokens_per_s: float | None
    """Generated tokens per wall second."""
    busy_share: float | None
    """Share of the window in which the engine was working."""
    ttft: Percentiles
    """Time to first token."""
    tpot: Percentiles
    """Time per output token after the first, per call."""
    itl: Percentiles
    """Inter-token latency, over all gaps of all calls."""
    e2e: Percentiles
    """Whole answer."""
    slo: Mapping[str, float]
    """The workload's limits in seconds (ttft_s, tpot_s, e2e_s); empty where none are stated."""
    goodput_share: float | None
    """Share of calls within the SLO (failed calls are misses)."""
    goodput_calls_per_s: float | None
    """Calls within the SLO per wall second."""
    useful_rate: Interval
    """Share of judged calls that were useful."""
    coverage: float
    """Share of calls with a verdict."""
    rate_usd_per_h: float | None
    """What an hour of the device costs."""
    rate_source: str
    """Where the rate comes from, with its date; or why it is unknown."""
    cost_usd: float | None
    """All money of the window, idle included."""
    cput: Interval
    """Cost per useful token: US dollars, or device seconds where ``rate_usd_per_h`` is unknown."""
    cput_unit: str
    """``USD`` or ``device-seconds``."""
    cost_per_useful_answer: Interval
    """In the same unit."""
    floor: float | None
    """The workload's quality floor on the useful rate."""
    waterfall: tuple[Level, ...]
    """generated -> within SLO -> useful -> useful within SLO."""
    slices: tuple[SliceRow, ...]
    """By the workload's tags."""
    rows: tuple[CallRow, ...]
    """Every call."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Hardware, versions, seed, sample count."""
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences."""
    energy: Energy | None = None
    """Its energy; None where nobody asked for it."""

    def as_json(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and strings; infinite bounds become the string "unbounded"."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, Interval | Percentiles):
        return {key: _plain(inner) for key, inner in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return "unbounded"
    return value
