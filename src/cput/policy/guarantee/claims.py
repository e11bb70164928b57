"""A claim: what a quality floor asks of each candidate, as margins whose mean must be at least 0.

useful_rate = 0.9           quality - 0.9
share_of_baseline = 0.95    quality - 0.95 * the best single engine's, prompt by prompt: what makes a prompt hard
                            for both cancels out, so that fewer prompts show more
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cput.errors import InputError
from cput.policy.guarantee.mean_tests import betting, binomial, signs
from cput.workloads import Floor

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.bool_]

_STEPS = 100
"""Floors that are tried in search of a bound: between 80 and 100 % of what was seen, and where that fails, from 0."""
_NEAR = 0.8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claim:
    """One floor."""

    kind: str
    """``useful_rate`` or ``share_of_baseline``."""
    floor: float
    """Its value."""
    quality: Floats
    """(n, c) of the candidates."""
    reference: Floats
    """(n,): what the floor is multiplied with; 1 where it is absolute."""
    method: str
    """Which of ``mean_tests`` is exact here, or ``betting``."""

    @property
    def margins(self) -> Floats:
        """(n, c): how much each candidate is above the floor."""
        return self._margins(self.floor)

    @property
    def lowest(self) -> float:
        """How far below 0 a margin can lie."""
        return self.floor

    def p(self, members: Places, level: float) -> Floats:
        """Return each candidate's p-value of "below the floor", on some of the prompts."""
        rows = self.margins[members]
        if self.method == "binomial":
            return binomial((rows > 0).sum(axis=0), len(rows), self.floor)
        if self.method == "signs":
            return signs((rows > 0).sum(axis=0), (rows < 0).sum(axis=0))
        return betting(rows, lowest=self.lowest, level=level)

    def largest(self, place: int, members: Places, level: float) -> float:
        """Return the largest floor that one candidate would have passed, on some of the prompts; 0 where none is."""
        quality, reference = self.quality[members, place], self.reference[members]
        top = float(quality.mean() / reference.mean()) if reference.any() else 0.0
        for low in (_NEAR * top, 0.0):
            floors = np.linspace(low, top, _STEPS + 1)[1:]
            passed = self._passed(quality, reference, floors, level)
            held = _STEPS if passed.all() else int(np.argmin(passed))  # those before the first that fails
            if held:
                return float(floors[held - 1])
        return 0.0

    def _passed(self, quality: Floats, reference: Floats, floors: Floats, level: float) -> Places:
        if self.method == "binomial":
            return binomial(int(quality.sum()), len(quality), floors) <= level
        margins = quality[:, None] - floors[None, :] * reference[:, None]
        return betting(margins, lowest=max(float(floors[-1]), 1e-9), level=level) <= level

    def _margins(self, floor: float) -> Floats:
        return self.quality - floor * self.reference[:, None]


def claims_of(quality: Floats, floor: Floor, reference: Floats | None) -> tuple[Claim, ...]:
    """Return what a floor asks.

    Raises:
        InputError: the floor asks nothing or the impossible, the reference is missing or of another shape, or a quality
            is unknown or outside [0, 1].
    """
    _in_range("quality", quality)
    given = None if reference is None else np.asarray(reference, dtype=float)
    if given is not None:
        if given.shape != (len(quality),):
            raise InputError(f"reference has shape {given.shape}; allowed: ({len(quality)},), one for each prompt")
        _in_range("reference", given)
    two_valued = bool(np.isin(quality, (0.0, 1.0)).all())
    claims = []
    if floor.useful_rate is not None:
        if not 0 < floor.useful_rate < 1:
            raise InputError(f"the floor's useful_rate is {floor.useful_rate}; allowed: between 0 and 1")
        claims.append(
            Claim(
                kind="useful_rate",
                floor=floor.useful_rate,
                quality=quality,
                reference=np.ones(len(quality)),
                method="binomial" if two_valued else "betting",
            )
        )
    if floor.share_of_baseline is not None:
        if not floor.share_of_baseline > 0:
            raise InputError(f"the floor's share_of_baseline is {floor.share_of_baseline}; allowed: above 0")
        if given is None:
            raise InputError("the floor is a share of the best single engine's quality; give that as reference")
        paired = two_valued and floor.share_of_baseline == 1 and bool(np.isin(given, (0.0, 1.0)).all())
        claims.append(
            Claim(
                kind="share_of_baseline",
                floor=floor.share_of_baseline,
                quality=quality,
                reference=given,
                method="signs" if paired else "betting",
            )
        )
    if not claims:
        raise InputError("the floor asks nothing; give useful_rate, share_of_baseline or both")
    return tuple(claims)


def _in_range(name: str, values: Floats) -> None:
    unknown = int(np.isnan(values).sum())
    if unknown:
        raise InputError(f"{unknown:,} values of {name} are unknown; allowed: outcomes of all prompts")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise InputError(f"{name} lies between {values.min():g} and {values.max():g}; allowed: 0 to 1")
