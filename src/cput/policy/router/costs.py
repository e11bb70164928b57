"""Expected cost of an answer from the prompt's length: a line for each engine, fitted on recorded costs.

An answer's cost is a price for each input token and one for what it writes; the first is known from the prompt, and the
second is taken at its mean. Neither part of the line is below 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from cput.policy.recorded import Floats, Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLines:
    """``base_usd + per_char_usd * characters``, for each of ``m`` engines."""

    base_usd: tuple[float, ...]
    """Cost of an answer to an empty prompt; NaN where no cost was recorded."""
    per_char_usd: tuple[float, ...]
    """Cost of each of the prompt's characters."""

    @classmethod
    def fit(cls, table: Recorded) -> Self:
        """Fit to what a record knows."""
        chars = np.array([len(prompt) for prompt in table.prompts], dtype=np.float64)
        lines = [_line(chars, table.cost_usd[:, place]) for place in range(len(table.engines))]
        return cls(base_usd=tuple(base for base, _ in lines), per_char_usd=tuple(slope for _, slope in lines))

    def of(self, prompts: Sequence[str]) -> Floats:
        """Return the expected costs, (n, m) US dollars."""
        chars = np.array([len(prompt) for prompt in prompts], dtype=np.float64)
        return np.asarray(np.array(self.base_usd) + np.outer(chars, np.array(self.per_char_usd)), dtype=np.float64)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values; unknown is null."""
        return {
            "base_usd": [None if np.isnan(base) else base for base in self.base_usd],
            "per_char_usd": list(self.per_char_usd),
        }

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Self:
        """Read what ``as_json`` gave."""
        base = tuple(np.nan if each is None else float(each) for each in said["base_usd"])
        return cls(base_usd=base, per_char_usd=tuple(float(each) for each in said["per_char_usd"]))


def _line(chars: Floats, costs: Floats) -> tuple[float, float]:
    from scipy.optimize import nnls

    known = ~np.isnan(costs)
    if not known.any():
        return float("nan"), 0.0
    scale = max(float(costs[known].max()), 1e-12)
    length = max(float(chars.max()), 1.0)
    design = np.stack([np.ones(int(known.sum())), chars[known] / length], axis=1)
    (base, slope), _ = nnls(design, costs[known] / scale)
    return float(base) * scale, float(slope) * scale / length
