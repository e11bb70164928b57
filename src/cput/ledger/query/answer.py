"""What a question found: groups with their sums, exact, and the metric of each."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from cput.ledger.interval import Interval
from cput.ledger.moments import (
    Moments,
    cost_per_useful_answer_of,
    coverage_of,
    cput_of,
    useful_rate_of,
)
from cput.ledger.query.question import Question
from cput.ledger.query.reserved import Left, left_over
from cput.units import NANO, from_nano_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What the calls of a group add up to. Money is whole nano-dollars; tokens are those that were counted."""

    moments: Moments
    """The sums that the metric and its interval are read from, in US dollars of the question's basis."""
    attempts: int
    """Legs of all calls."""
    input_tokens: int
    """Prompt tokens of all legs."""
    input_uncounted: int
    """Legs whose prompt tokens nobody counted."""
    output_tokens: int
    """Generated tokens of all legs."""
    output_uncounted: int
    """Legs whose generated tokens nobody counted."""
    useful_tokens: int
    """Output tokens of the answers that proved useful."""
    incremental_nano_usd: int
    """What the legs added, as far as it is priced."""
    avoided_nano_usd: int
    """What caches and students saved."""
    idle_nano_usd: int
    """These calls' share of reserved time that nobody used, on either basis."""
    cost_nano_usd: int
    """The cost on the question's basis of the calls whose cost is known; with ``moments.unpriced`` it is not all."""

    def __add__(self, other: "Sums") -> "Sums":
        both = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Sums)}
        cost = both["cost_nano_usd"] / float(NANO)  # not the sum of two roundings
        return Sums(**both | {"moments": replace(both["moments"], cost=cost)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The calls that share a key."""

    key: Mapping[str, str | None]
    """Value of each key asked for, in that order; None is unknown."""
    sums: Sums
    """What they add up to."""

    @property
    def calls(self) -> int:
        """How many."""
        return self.sums.moments.n

    @property
    def unpriced(self) -> int:
        """Calls whose cost is unknown; with one, every cost per something is unknown."""
        return self.sums.moments.unpriced

    @property
    def coverage(self) -> float:
        """Share of calls with a verdict."""
        return coverage_of(self.sums.moments)

    @property
    def useful_rate(self) -> Interval:
        """Share of judged calls that were useful, exact 95 % interval."""
        return useful_rate_of(self.sums.moments)

    @property
    def cput(self) -> Interval:
        """US dollars per useful token, 95 % interval."""
        return cput_of(self.sums.moments)

    @property
    def cost_per_useful_answer(self) -> Interval:
        """US dollars per useful answer, 95 % interval."""
        return cost_per_useful_answer_of(self.sums.moments)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON can say them; an infinite bound is the string "unbounded", unknown is null."""
        s = self.sums
        return {
            "key": dict(self.key),
            "calls": self.calls,
            "attempts": s.attempts,
            "input_tokens": s.input_tokens,
            "attempts_without_input_count": s.input_uncounted,
            "output_tokens": s.output_tokens,
            "attempts_without_output_count": s.output_uncounted,
            "useful_tokens": s.useful_tokens,
            "incremental_nano_usd": s.incremental_nano_usd,
            "avoided_nano_usd": s.avoided_nano_usd,
            "idle_nano_usd": s.idle_nano_usd,
            "cost_nano_usd": None if self.unpriced else s.cost_nano_usd,
            "cost_usd": None if self.unpriced else float(from_nano_usd(s.cost_nano_usd)),
            "priced_cost_nano_usd": s.cost_nano_usd,
            "unpriced_calls": self.unpriced,
            "judged_calls": s.moments.judged,
            "useful_calls": s.moments.useful,
            "coverage": self.coverage,
            "useful_rate": _plain(self.useful_rate),
            "cput_usd": _plain(self.cput),
            "cost_per_useful_answer_usd": _plain(self.cost_per_useful_answer),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The answer to a question."""

    question: Question
    """What was asked."""
    groups: tuple[Group, ...]
    """One per key that occurs, sorted by key, unknown ones last. Calls and money add up to the total."""
    total: Group
    """All calls that were asked for."""
    left: Sequence[Left]
    """Idle money of windows in which no call began: part of no group."""
    uncharged_windows: int
    """Windows of these calls' runs that are not charged: still open, cut off, or without a rate."""

    def as_json(self) -> dict[str, Any]:
        """Return the answer as JSON can say it."""
        return {
            "question": asdict(self.question) | {"keys": list(self.question.keys)},
            "currency": "USD",
            "groups": [group.as_json() for group in self.groups],
            "total": self.total.as_json(),
            "idle_without_calls_nano_usd": left_over(self.left),
            "uncharged_windows": self.uncharged_windows,
        }


def _plain(value: Interval) -> dict[str, Any]:
    return {name: "unbounded" if bound == float("inf") else bound for name, bound in value._asdict().items()}
