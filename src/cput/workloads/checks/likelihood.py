"""Checks that score given texts instead of generating: choice by likelihood, and perplexity.

``Score.logprob_sum`` is in nats. Perplexity is exp(-logprob_sum / tokens).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cput.rules import POSITIVE, TEXT, Rule, is_integer, one_of, shown
from cput.workloads.checks.base import Judgement, Score, verdict
from cput.workloads.item import Item


@dataclass(frozen=True, slots=True)
class ChoiceLikelihood:
    """The choice the model finds likeliest is the reference (its text, or its place from 0)."""

    name: str = "choice_likelihood"
    """Name in workload files."""
    params: ClassVar[Mapping[str, Rule]] = {
        "length_normalize": one_of("none", "tokens", "bytes"),
        "separator": TEXT,
    }

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        if len(set(item.choices)) < 2 or len(set(item.choices)) < len(item.choices):
            yield "choices", f"{shown(list(item.choices))} is not allowed; allowed: two or more different texts"
        elif _right(item) is None:
            yield (
                "reference",
                f"{shown(item.reference)} is none of the choices; allowed: one of them, or its place from 0",
            )

    def texts(self, item: Item) -> tuple[tuple[str, str], ...]:
        """Return the prompt with each choice; the separator (one space) belongs to the continuation."""
        separator = item.params.get("separator")
        if separator is None:
            separator = "" if item.text[-1:].isspace() else " "
        return tuple((item.text, separator + choice) for choice in item.choices)

    def judge_scores(self, item: Item, scores: Sequence[Score]) -> Judgement:
        """Return 1 where the likeliest choice is the reference; the first of equals is taken.

        ``length_normalize`` divides by the choice's tokens, or by its UTF-8 bytes as lm-evaluation-harness's acc_norm.
        """
        if len(scores) != len(item.choices):
            raise ValueError(f"{len(scores)} scores for {len(item.choices)} choices; allowed: one for each")
        by = item.params.get("length_normalize", "none")
        values = [_normalized(score, choice, by) for score, choice in zip(scores, item.choices, strict=True)]
        best = max(range(len(values)), key=values.__getitem__)
        known = values[best] > -math.inf
        shown_scores = [value if math.isfinite(value) else None for value in values]
        return verdict(
            known and best == _right(item), chosen=item.choices[best] if known else None, scores=shown_scores
        )


@dataclass(frozen=True, slots=True)
class Perplexity:
    """How well the model predicts the reference after the prompt: the value is 1 / perplexity, in (0, 1]."""

    name: str = "perplexity"
    """Name in workload files."""
    params: ClassVar[Mapping[str, Rule]] = {"max_perplexity": POSITIVE, "separator": TEXT}

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        if not isinstance(item.reference, str) or not item.reference:
            yield "reference", f"{shown(item.reference)} is not allowed; allowed: the text to be predicted"
        if item.params.get("max_perplexity") is None:
            yield "params.max_perplexity", "missing; allowed: the perplexity up to which a text counts as useful"

    def texts(self, item: Item) -> tuple[tuple[str, str], ...]:
        """Return the prompt and the reference."""
        return ((item.text, str(item.params.get("separator") or "") + str(item.reference)),)

    def judge_scores(self, item: Item, scores: Sequence[Score]) -> Judgement:
        """Return exp(mean log-probability), passed where the perplexity is at most ``max_perplexity``."""
        if len(scores) != 1:
            raise ValueError(f"{len(scores)} scores for one text; allowed: one")
        mean = scores[0].logprob_sum / scores[0].tokens if scores[0].tokens > 0 else -math.inf
        if math.isnan(mean):
            mean = -math.inf
        value = min(1.0, math.exp(min(mean, 0.0)))
        perplexity = 1 / value if value > 0 else math.inf
        passed = math.isfinite(perplexity) and perplexity <= item.params.get("max_perplexity", math.inf)
        return Judgement(value, passed, {"perplexity": perplexity if math.isfinite(perplexity) else None})


def _right(item: Item) -> int | None:
    if is_integer(item.reference):
        return int(item.reference) if 0 <= item.reference < len(item.choices) else None
    return item.choices.index(item.reference) if item.reference in item.choices else None


def _normalized(score: Score, choice: str, by: str) -> float:
    length = {"tokens": score.tokens, "bytes": len(choice.encode("utf-8", "surrogatepass"))}.get(by, 1)
    if math.isnan(score.logprob_sum) or length <= 0:
        return -math.inf
    return score.logprob_sum / length
