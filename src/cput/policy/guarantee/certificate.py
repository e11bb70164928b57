"""A certificate: what was shown of a policy's quality, from which outcomes, and what it rests on.

print(certified.certificate.words)
Path("certificate.json").write_text(json.dumps(certified.certificate.as_json()))
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Self

from cput.errors import InputError
from cput.policy.guarantee.level import Level

OVERALL = "overall"
"""The name of all prompts together, among the slices."""
BEST = "the best single engine"
"""Whom a share is of, unless said otherwise."""
ASSUMPTION = (
    "It holds for calls that are drawn as these prompts were (exchangeable): not after the mix of calls, an engine or "
    "the way outcomes are given has changed. Watch the outcomes."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One thing that a candidate had to hold: one bound, on one slice."""

    slice: str
    """Name of the slice; ``overall`` is all prompts."""
    floor: str
    """``useful_rate`` or ``share_of_baseline``."""
    n: int
    """Prompts in it."""
    quality: float
    """The candidate's mean quality on them."""
    p: float
    """P-value of "it is below the floor"; where bets were placed, no smaller than the level they aimed at."""
    method: str
    """``binomial``, ``signs`` or ``betting``; see ``mean_tests``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One configuration, in the order in which they were tested."""

    name: str
    """Its name, or its place where none was given."""
    quality: float
    """Mean quality on the held-out prompts."""
    cost_usd: float
    """Mean cost of a call, in US dollars."""
    level: float
    """Share of delta at which it was tested; 0 where its turn never came."""
    certified: bool
    """Whether it passed on every slice."""
    held: tuple[Held, ...]
    """What it had to hold; p-values at the level it was tested at (at the first one's, where its turn never came)."""

    @property
    def p(self) -> float:
        """The largest p-value: it has to hold everywhere."""
        return max(each.p for each in self.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What Learn-then-Test said of all candidates. With probability 1 - delta nothing certified is below the floor."""

    n: int
    """Held-out prompts."""
    slices: Mapping[str, int]
    """Prompts in each declared slice, each of which had to hold the floor by itself."""
    delta: float
    """Probability of certifying anything that is below the floor."""
    useful_rate: float | None
    """The absolute floor; None where none was asked."""
    share_of_baseline: float | None
    """The floor as a share of the best single engine's quality; None where none was asked."""
    baseline_quality: float | None
    """Mean quality of the best single engine on the same prompts; None where none was given."""
    levels: Mapping[str, Level]
    """Overall and for each slice: the quality to watch for from now on; for a share of the best single engine's, as far
    as these prompts tell that."""
    as_certified: Mapping[str, Level]
    """Likewise, but a fall below what the choice itself showed here: heard sooner, while the floor still holds. Empty
    without a choice."""
    candidates: tuple[Candidate, ...]
    """In the order of testing, from the safest."""
    choice: int | None
    """Place of the cheapest certified candidate; None where none is."""
    bound: float | None
    """What these outcomes show of the choice by itself: with probability 1 - delta its quality, or its share of the
    best single engine's, is at least so much, overall and on every slice. Not corrected for the choice among several:
    the certificate promises the floor. None without a choice."""
    needed: int | None
    """Where nothing cheaper than the safest candidate passed: how many more outcomes would do in four cases of five, if
    the effect is as seen. 0 where a saving is certified; None (unknown) where no saving is to be seen at all."""
    starts: int
    """Points from which the sequence of tests starts."""
    data: str
    """Name or digest of the held-out outcomes; empty is unknown."""
    made_on: date
    """When it was made."""
    share_of: str = BEST
    """Whose quality ``share_of_baseline`` is a share of, in words."""
    assumption: str = ASSUMPTION
    """What it rests on, in words."""

    @property
    def saving(self) -> float:
        """Share of the safest candidate's cost that the choice saves; 0 without a choice."""
        safest = self.candidates[0].cost_usd
        if self.choice is None or safest <= 0:
            return 0.0
        return 1 - self.candidates[self.choice].cost_usd / safest

    @property
    def floor_words(self) -> str:
        """The floor in words."""
        parts = []
        if self.useful_rate is not None:
            parts.append(f"a quality of at least {self.useful_rate:.4g}")
        if self.share_of_baseline is not None:
            parts.append(f"at least {self.share_of_baseline * 100:.4g} % of {self.share_of}'s quality")
        return " and ".join(parts)

    @property
    def words(self) -> str:
        """What was certified, from what, and on what it rests, for people."""
        where = f", overall and in each of {len(self.slices)} slices" if self.slices else ""
        source = f" of {self.data}" if self.data else ""
        sample = f"{self.n:,} held-out prompts{source}, {self.made_on.isoformat()}"
        if self.choice is None:
            said = f"None of {len(self.candidates)} candidates is certified to keep {self.floor_words}{where}."
        else:
            chosen = self.candidates[self.choice]
            said = f"With {(1 - self.delta) * 100:.4g} % confidence '{chosen.name}' keeps {self.floor_words}{where}."
            if len(self.candidates) > 1:
                said += f" It costs {self.saving * 100:.0f} % less than '{self.candidates[0].name}'."
        return " ".join(part for part in (said, f"From {sample}.", self._more, self.assumption) if part)

    @property
    def _more(self) -> str:
        if self.needed == 0 or len(self.candidates) == 1:  # one alone is no saving over another
            return ""
        if self.needed is None:
            return "No saving is to be seen at this floor: how many more outcomes would show one is unknown."
        return f"The sample is too small for a saving: about {self.needed:,} more outcomes are needed."

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; ``from_json`` reads them."""
        return asdict(self) | {
            **{
                field: {name: level.as_json() for name, level in levels.items()}
                for field, levels in (("levels", self.levels), ("as_certified", self.as_certified))
            },
            "made_on": self.made_on.isoformat(),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Read what ``as_json`` wrote.

        Raises:
            InputError: a field is missing, unknown or of another kind.
        """
        try:
            candidates = tuple(
                Candidate(**{**one, "held": tuple(Held(**each) for each in one["held"])}) for one in given["candidates"]
            )
            levels = {
                field: {name: Level.from_json(level) for name, level in given[field].items()}
                for field in ("levels", "as_certified")
            }
            made_on = date.fromisoformat(given["made_on"])
            return cls(**{**given, **levels, "candidates": candidates, "made_on": made_on})
        except (AttributeError, TypeError, KeyError, ValueError) as error:
            raise InputError(
                f"a certificate can't be read: {error}; allowed: the JSON that Certificate.as_json() gave"
            ) from error
