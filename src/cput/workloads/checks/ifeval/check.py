"""IFEval as a check: does an answer follow every verifiable instruction of its prompt, strictly and loosely?

An item's ``params.instructions`` is a list of objects: ``{"id": "length_constraints:number_words", "num_words": 300,
"relation": "at least"}``. The value is the strict prompt-level pass: 1 where every instruction is followed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from cput.records import Grammar, GrammarKind
from cput.rules import Rule
from cput.workloads.checks.base import Judgement
from cput.workloads.checks.ifeval.constraint import pattern
from cput.workloads.checks.ifeval.impossible import first_impossible
from cput.workloads.checks.ifeval.instructions import INSTRUCTIONS
from cput.workloads.checks.ifeval.lost import first_lost
from cput.workloads.fields import complaints, unknown_key
from cput.workloads.item import Item


class IfevalScores(NamedTuple):
    """The four published scores and their mean, as shares of 1; None where nothing was judged."""

    prompt_strict: float | None
    """Share of prompts whose instructions are all followed."""
    instruction_strict: float | None
    """Share of instructions that are followed."""
    prompt_loose: float | None
    """As ``prompt_strict``, each instruction judged on its best of eight variants of the answer."""
    instruction_loose: float | None
    """As ``instruction_strict``, likewise."""
    average: float | None
    """Mean of the four."""


def ifeval_scores(judgements: Iterable[Judgement | Mapping[str, Any]]) -> IfevalScores:
    """Return the four scores of the official evaluation over the judgements (or their details, as the ledger has them).

    >>> ifeval_scores([{"strict": [True, False], "loose": [True, True]}]).average
    0.625
    """
    details = [found.detail if isinstance(found, Judgement) else found for found in judgements]
    prompt_strict, instruction_strict = _levels([detail["strict"] for detail in details])
    prompt_loose, instruction_loose = _levels([detail["loose"] for detail in details])
    scores = (prompt_strict, instruction_strict, prompt_loose, instruction_loose)
    known = [score for score in scores if score is not None]
    return IfevalScores(*scores, sum(known) / len(known) if len(known) == len(scores) else None)


def loose_variants(text: str) -> tuple[str, ...]:
    """Return the eight texts that the loose reading tries.

    They are the answer, and it without its first line, last line, or both; each with its asterisks and without.
    """
    lines = text.split("\n")
    cut = (text, "\n".join(lines[1:]).strip(), "\n".join(lines[:-1]).strip(), "\n".join(lines[1:-1]).strip())
    return (*cut, *(variant.replace("*", "") for variant in cut))


@dataclass(frozen=True, slots=True)
class Ifeval:
    """Judges by the 25 instructions; detail holds ids and the strict and loose verdict on each."""

    name: str = "ifeval"
    """Name in workload files."""
    params: ClassVar[Mapping[str, Rule]] = {
        "instructions": Rule(
            lambda value: isinstance(value, list) and bool(value) and all(isinstance(part, dict) for part in value),
            'a list of objects, e.g. [{"id": "punctuation:no_comma"}]',
        )
    }

    servable: ClassVar[bool] = True

    def hopeless(self, item: Item, text: str) -> str | None:
        """Return the instruction that the answer so far has broken for good; None where it can still pass."""
        return first_lost(text, item.params["instructions"])

    def grammar(self, item: Item, max_new_tokens: int) -> Grammar | None:
        """Return a regular expression of what the instructions demand; None where nothing of it can be forced."""
        wanted = pattern(item.params["instructions"], max_new_tokens)
        return None if wanted is None else Grammar(kind=GrammarKind.REGEX, value=wanted)

    def impossible(self, item: Item, max_new_tokens: int) -> str | None:
        """Return the instruction that needs more words than there are tokens; None where all may be followed."""
        return first_impossible(item.params["instructions"], max_new_tokens)

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        if item.params.get("instructions") is None:
            yield "params.instructions", f"missing; allowed: {self.params['instructions'].allowed}"
            return
        for number, given in enumerate(item.params["instructions"]):
            for key, sentence in _instruction_complaints(given):
                yield f"params.instructions[{number}].{key}", sentence

    def judge(self, item: Item, text: str) -> Judgement:
        """Return 1 where every instruction is followed strictly; a blank answer follows none."""
        variants = tuple(dict.fromkeys(variant for variant in loose_variants(text) if variant.strip()))
        ids, strict, loose = [], [], []
        for given in item.params["instructions"]:
            args = {key: value for key, value in given.items() if key != "id"}
            follows = INSTRUCTIONS[given["id"]].follows
            ids.append(given["id"])
            strict.append(bool(text.strip()) and follows(text, **args))
            loose.append(strict[-1] or any(follows(variant, **args) for variant in variants))
        passed = all(strict)
        return Judgement(1.0 if passed else 0.0, passed, {"instructions": ids, "strict": strict, "loose": loose})


def _instruction_complaints(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name = given.get("id")
    if not isinstance(name, str) or name not in INSTRUCTIONS:
        yield "id", unknown_key(str(name), INSTRUCTIONS).replace("unknown key", "unknown instruction", 1)
        return
    args = {key: value for key, value in given.items() if key != "id"}
    rules = INSTRUCTIONS[name].args
    yield from complaints(args, rules)
    for key in rules:
        if args.get(key) is None:
            yield key, f"missing for {name}; allowed: {rules[key].allowed}"


def _levels(followed: list[list[bool]]) -> tuple[float | None, float | None]:
    return _share([all(parts) for parts in followed]), _share([part for parts in followed for part in parts])


def _share(passed: list[bool]) -> float | None:
    return sum(passed) / len(passed) if passed else None
