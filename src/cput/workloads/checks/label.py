"""The answer names the right label, however it is cased, punctuated or spaced."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from cput.rules import FLAG, TEXTS, Rule, is_texts, shown
from cput.workloads.checks.base import Judgement, verdict
from cput.workloads.checks.text import reference_problem, references
from cput.workloads.item import Item


def normalized(text: str) -> str:
    """Return ``text`` without case, punctuation and needless space; punctuation alone is kept as it is.

    >>> normalized(" Card_arrival! "), normalized("+")
    ('card arrival', '+')
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = "".join(char if not unicodedata.category(char).startswith(("P", "S", "Z", "C")) else " " for char in folded)
    return " ".join(kept.split()) or folded.strip()


@dataclass(frozen=True, slots=True)
class Label:
    """Compares normalized labels. ``synonyms`` maps a label to other words for it."""

    name: str = "label"
    """Name in workload files."""
    params: ClassVar[Mapping[str, Rule]] = {
        "synonyms": Rule(
            lambda value: isinstance(value, dict) and all(is_texts(words) for words in value.values()),
            "an object of label -> list of other words for it",
        ),
        "first_line": FLAG,
        "prefixes": TEXTS,
    }

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        wrong = tuple(reference_problem(item))
        yield from wrong
        known = {normalized(choice) for choice in item.choices}
        for label in () if wrong or not known else references(item):
            if normalized(label) not in known:
                yield "reference", f"{shown(label)} is none of the {len(known)} choices; allowed: {_some(item.choices)}"

    def judge(self, item: Item, text: str) -> Judgement:
        """Return 1 where the answer is a reference or a synonym of one.

        ``first_line`` reads only the first line that is not blank; ``prefixes`` are taken off first ("Label:").
        """
        answer = text.strip()
        if item.params.get("first_line"):
            answer = answer.split("\n", 1)[0]
        said = normalized(answer)
        for prefix in item.params.get("prefixes") or ():
            head = normalized(prefix)
            if said.startswith(head + " "):
                said = said.removeprefix(head).strip()
        said = _aliases(item).get(said, said)
        accepted = {normalized(label) for label in references(item)}
        allowed = {normalized(choice) for choice in item.choices}
        return verdict(said in accepted, label=said[:200], known=said in allowed if allowed else None)


def _aliases(item: Item) -> dict[str, str]:
    synonyms: Mapping[str, list[str]] = item.params.get("synonyms") or {}
    return {normalized(word): normalized(label) for label, words in synonyms.items() for word in words}


def _some(choices: tuple[str, ...]) -> str:
    return ", ".join(choices[:5]) + (", ..." if len(choices) > 5 else "")
