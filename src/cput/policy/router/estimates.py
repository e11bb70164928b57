"""The words of a fitted router: ``Estimates`` is what any estimator says (``policy.estimates``); this one can be kept.

estimates = estimator.estimate(["What is 7 * 8?"])
estimates.quality       # (1, m): the probability that each engine's answer is useful
estimates.cost_usd      # (1, m): what it is expected to cost
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from cput.policy.estimates import Expected as Estimates

__all__ = ["Estimates", "Estimator", "Tags"]

Tags = Mapping[str, Sequence[str]]
"""For each dimension (subject, language) a value for every prompt, where the caller knows it."""


@runtime_checkable
class Estimator(Protocol):
    """Anything that estimates quality and cost of engines from a request alone."""

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines, in the order of the columns."""
        ...

    def estimate(self, prompts: Sequence[str], tags: Tags | None = None) -> Estimates:
        """Estimate every engine on every prompt."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write it to a folder that ``load_estimator`` reads."""
        ...
