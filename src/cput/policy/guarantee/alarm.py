"""An alarm: what broke, when, and on what evidence."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self


class Broken(StrEnum):
    """What an alarm is about."""

    OVERALL = "overall"
    """All calls together."""
    SLICE = "slice"
    """The calls of one declared slice."""
    ENGINE = "engine"
    """The answers of one engine, on the calls that the policy gives to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """The quality is below its level, or something of probability ``alpha`` has happened."""

    kind: Broken
    """What broke."""
    name: str
    """Name of the slice or engine; empty for all calls."""
    at_s: float
    """When (Unix seconds)."""
    outcomes: int
    """Outcomes of it that had been counted."""
    e_value: float
    """The evidence."""
    limit: float
    """The evidence at which the alarm goes off: 1 over its share of the error rate."""
    alpha: float
    """Probability of any false alarm, ever, until the watch is reset."""
    level: float
    """The quality that was still good enough."""
    quality: float
    """Mean quality since the watch began, revisions included: the good time before counts too."""
    loss: float
    """Useful answers short of the level since the watch began; below 0 where the good time before outweighs it."""
    strong_quality: float | None
    """Mean quality of explored calls, which the strong engine answered; None without any. Where it is low too, the
    calls may have become harder for everybody."""
    strong_outcomes: int
    """Their number."""
    revised: int
    """Outcomes that came again with another value. The evidence keeps the first; ``quality`` and ``loss`` the last."""

    @property
    def words(self) -> str:
        """The alarm in words."""
        what = (
            "The quality of the policy" if self.kind is Broken.OVERALL else f"The quality of {self.kind} '{self.name}'"
        )
        when = datetime.fromtimestamp(self.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        said = (
            f"{what} is below {self.level:.4g}: evidence {self.e_value:.3g} of {self.limit:.3g} after "
            f"{self.outcomes:,} outcomes, {when} (a false alarm has probability {self.alpha:g})."
        )
        if self.strong_quality is not None:
            said += f" The strong engine had {self.strong_quality:.3f} on {self.strong_outcomes:,} explored calls."
        return said

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self) | {"kind": str(self.kind)}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Read what ``as_json`` wrote."""
        return cls(**{**given, "kind": Broken(given["kind"])})
