"""What a search for the cheapest policy found: the one record that its card, JSON and HTML report are drawn from.

Times are seconds, shares are of 1. ``None`` is unknown, an infinite bound is unbounded.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cput.ledger.interval import Interval
from cput.measure.result import Measurement

Status = Literal["winner", "kept", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One combination of settings that the search tried, as far as it was tried."""

    name: str
    """The settings in words, e.g. ``INT8, KV u8, 32 at once``."""
    settings: Mapping[str, str | int | float | bool]
    """The settings by name, as the policy file spells them."""
    calls: int
    """Calls it was judged on; fewer where it was dropped early."""
    useful_rate: Interval
    """Share of its judged calls that were useful."""
    cput: Interval
    """Its cost per useful token on those calls."""
    cput_unit: str
    """``USD`` or ``device-seconds``."""
    tokens_per_s: float | None
    """Generated tokens per wall second."""
    status: Status
    """winner; kept (fulfils the floor, costs more); dropped (below the floor, or out of the race early)."""
    reason: str
    """Why it has that status, in a sentence."""
    rung: int
    """The last round of successive halving that it entered, from 0."""
    ttft_p50_s: float | None = None
    """Median seconds to the first token that a caller saw."""
    front: bool = False
    """Whether none that was judged as far is as good in cost, useful rate and TTFT, and better in one."""
    replayed: bool = False
    """Whether it was put together from answers on record: nothing was asked for it."""

    def as_json(self) -> dict[str, Any]:
        """Return plain dicts, numbers and strings; infinite bounds become the string "unbounded"."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "calls": self.calls,
            "useful_rate": _interval_json(self.useful_rate),
            "cput": _interval_json(self.cput),
            "cput_unit": self.cput_unit,
            "tokens_per_s": self.tokens_per_s,
            "status": self.status,
            "reason": self.reason,
            "rung": self.rung,
            "ttft_p50_s": self.ttft_p50_s,
            "front": self.front,
            "replayed": self.replayed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One way of answering without a policy, which a policy must beat to be worth its name."""

    name: str
    """best single, cheapest within 1 point, by category, random mix, oracle."""
    words: str
    """What it did."""
    useful_rate: float
    """Share of useful answers, on recorded answers that nothing was chosen by."""
    cost_per_call: float
    """Mean cost of a call, in the candidates' unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """A whole search: the way it was, the cheapest way that keeps its quality, and all that was tried between."""

    workload: str
    """Name of the workload."""
    floor: float | None
    """Useful rate below which no saving counts; None where none is stated."""
    baseline: Measurement
    """The starting point, measured on the whole workload."""
    winner: Measurement
    """The cheapest candidate, measured on the whole workload."""
    winner_name: str
    """Its settings in words."""
    candidates: tuple[Candidate, ...]
    """All that was tried, the winner included."""
    ratio: Interval
    """Winner's CPUT / baseline's CPUT, both against the same useful tokens; below 1 the winner is cheaper."""
    useful_rate_difference: Interval
    """Winner's useful rate minus the baseline's, paired by item."""
    not_lower: bool
    """Whether the winner's useful rate is proven not lower, in the sense of ``confidence_note``."""
    confidence_note: str
    """The test behind ``not_lower``: its confidence and margin, in a sentence."""
    certificate: Mapping[str, Any] | None = None
    """The winner's certificate as plain values; None where the workload states no floor."""
    beside: tuple[Beside, ...] = ()
    """The honest baselines, on the search's items; empty where there is one engine only."""
    threshold_note: str | None = None
    """What is certified of letting a first engine's sure answers stand; None where a check decides, or one engine."""
    policy_path: str | None
    """The policy file that was written for the winner."""
    search_s: float
    """Wall seconds of the whole search, baseline included."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Hardware, versions, seed."""

    def as_json(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and strings; infinite bounds become the string "unbounded"."""
        return {
            "workload": self.workload,
            "floor": self.floor,
            "baseline": self.baseline.as_json(),
            "winner": self.winner.as_json(),
            "winner_name": self.winner_name,
            "candidates": [candidate.as_json() for candidate in self.candidates],
            "ratio": _interval_json(self.ratio),
            "useful_rate_difference": _interval_json(self.useful_rate_difference),
            "not_lower": self.not_lower,
            "confidence_note": self.confidence_note,
            "certificate": None if self.certificate is None else dict(self.certificate),
            "beside": [asdict(each) for each in self.beside],
            "threshold_note": self.threshold_note,
            "policy_path": self.policy_path,
            "search_s": self.search_s,
            "environment": dict(self.environment),
        }


def _interval_json(interval: Interval) -> dict[str, float | str | None]:
    infinite = {float("inf"), float("-inf")}
    return {name: "unbounded" if bound in infinite else bound for name, bound in interval._asdict().items()}
