"""FrugalGPT's files (arXiv 2305.05176, github.com/stanford-futuredata/FrugalGPT, Apache-2.0): texts and frontiers.

The texts have a label and no model's answer; the frontiers have accuracy and cost of single models and of FrugalGPT's
own cascade at several budgets. So a frontier can be compared, and no new policy can be replayed on it.
"""

from pathlib import Path
from typing import NamedTuple

from cput.policy.recordings.table import rows_of

CASCADE = "FrugalGPT"


class Labelled(NamedTuple):
    """A text with the answer that is right."""

    text: str
    """What was asked."""
    label: str
    """The right answer."""


class Frontier(NamedTuple):
    """One measured way of answering: a single model, or the cascade at a budget."""

    method: str
    """The model's name, or ``FrugalGPT``."""
    provider: str
    """Who serves it."""
    train_quality: float
    """Share of right answers on the training half."""
    train_cost_usd: float
    """US dollars for an answer there."""
    test_quality: float
    """Share of right answers on the test half."""
    test_cost_usd: float
    """US dollars for an answer there."""
    tests: int
    """Prompts in the test half."""

    @property
    def single(self) -> bool:
        """Whether one model answers everything."""
        return self.method != CASCADE


def headlines(path: str | Path) -> tuple[Labelled, ...]:
    """Read the texts of HEADLINES: is gold's price said to go up, down, neither or nothing.

    Raises:
        InputError: the file is not text, label, number; names file and line.
    """
    rows = rows_of(path, names=("text", "label", "id"))
    return tuple(Labelled(row.text("text"), row.text("label")) for row in rows)


def frontiers(path: str | Path) -> tuple[Frontier, ...]:
    """Read a summary of accuracy and cost.

    Raises:
        InputError: the file has other columns or values; names file and line.
    """
    needs = ("Test_acc", "Test_cost", "Test_size", "Train_acc", "Train_cost", "Method", "Provider")
    return tuple(
        Frontier(
            method=row.text("Method"),
            provider=row.text("Provider"),
            train_quality=row.share("Train_acc"),
            train_cost_usd=row.usd("Train_cost"),
            test_quality=row.share("Test_acc"),
            test_cost_usd=row.usd("Test_cost"),
            tests=int(row.usd("Test_size")),
        )
        for row in rows_of(path, needs=needs)
    )
