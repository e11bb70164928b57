"""The by-category table: each engine's mean quality on recorded prompts of the same category.

A router with one table and no learning, and hard to beat (LLMRouterBench, arXiv 2601.07206: most of what routers gain
is coarse). The category is a tag of the call (subject, route, customer group); who has none is given the overall mean.

    table = ByCategory.fit(train, "subject")
    table.estimate(["..."], {"subject": ["law"]})
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from cput.policy.baselines import category_scores, means
from cput.policy.recorded import Recorded
from cput.policy.router.costs import CostLines
from cput.policy.router.estimates import Estimates, Tags
from cput.policy.router.files import read_head, write_head

KIND = "by_category"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByCategory:
    """A table of categories."""

    engines: tuple[str, ...]
    """Names of the engines, ``m``."""
    tag: str
    """Which tag of a call says its category."""
    rows: Mapping[str, tuple[float, ...]]
    """For each category the estimated quality of every engine."""
    overall: tuple[float, ...]
    """The same for a category that was never seen."""
    costs: CostLines
    """What answers cost."""

    @classmethod
    def fit(cls, table: Recorded, tag: str) -> Self:
        """Fill the table from recorded answers.

        Raises:
            InputError: the record has no such tag.
        """
        scores = category_scores(table, table, tag)
        rows = {label: tuple(map(float, scores[place])) for place, label in enumerate(table.tags[tag])}
        overall = tuple(map(float, means(table)[0]))
        return cls(engines=table.engines, tag=tag, rows=rows, overall=overall, costs=CostLines.fit(table))

    def estimate(self, prompts: Sequence[str], tags: Tags | None = None) -> Estimates:
        """Look every prompt's category up."""
        labels = (tags or {}).get(self.tag, [""] * len(prompts))
        quality = np.array([self.rows.get(label, self.overall) for label in labels], dtype=np.float64)
        return Estimates(quality.reshape(len(prompts), len(self.engines)), self.costs.of(prompts))

    def save(self, folder: str | Path) -> None:
        """Write the table as JSON."""
        said = {"tag": self.tag, "rows": {label: list(row) for label, row in self.rows.items()}}
        write_head(folder, KIND, self.engines, {**said, "overall": list(self.overall), "costs": self.costs.as_json()})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            InputError: the folder holds something else.
        """
        said = read_head(folder)
        return cls(
            engines=tuple(said["engines"]),
            tag=said["tag"],
            rows={label: tuple(row) for label, row in said["rows"].items()},
            overall=tuple(said["overall"]),
            costs=CostLines.from_json(said["costs"]),
        )
