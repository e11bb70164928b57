"""Checks that compare texts: exact, contains, regex."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from cput.rules import FLAG, TEXT, TEXTS, Rule, is_texts, one_of, shown
from cput.workloads.checks.base import Judgement, verdict
from cput.workloads.item import Item
from cput.workloads.problems import wrong_value

_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "a": re.ASCII}


def references(item: Item) -> tuple[str, ...]:
    """Return the accepted texts: the reference, or each of its list."""
    found = item.reference if isinstance(item.reference, list) else [item.reference]
    return tuple(part for part in found if isinstance(part, str))


def reference_problem(item: Item) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a reference that must be a text or a list of texts."""
    allowed = "a text, or a list of accepted texts"
    if item.reference is None:
        yield "reference", f"missing; allowed: {allowed}"
    elif not isinstance(item.reference, str) and not is_texts(item.reference):
        yield "reference", wrong_value(item.reference, allowed)


@dataclass(frozen=True, slots=True)
class Exact:
    """The answer is the reference, or one of them, character by character; outer white space is ignored."""

    name: str = "exact"
    """Name in workload files."""
    params: ClassVar[Mapping[str, Rule]] = {"strip": FLAG}

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        yield from reference_problem(item)

    def judge(self, item: Item, text: str) -> Judgement:
        """Return 1 where the answer equals a reference. ``strip = false`` counts outer white space too."""
        strip = item.params.get("strip", True)
        answer = text.strip() if strip else text
        accepted = [part.strip() if strip else part for part in references(item)]
        return verdict(answer in accepted)


@dataclass(frozen=True, slots=True)
class Contains:
    """The answer holds every text of ``all``, at least one of ``any`` and none of ``none``.

    Without any of the three the reference is meant: each of its texts must be there.
    """

    name: str = "contains"
    """Name in workload files."""
    params: ClassVar[Mapping[str, Rule]] = {"all": TEXTS, "any": TEXTS, "none": TEXTS, "ignore_case": FLAG}

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        if not item.params.keys() & {"all", "any", "none"}:
            yield from reference_problem(item)

    def judge(self, item: Item, text: str) -> Judgement:
        """Return 1 where all three hold; detail names what is missing and what should not be there."""
        every, some, none = (tuple(item.params.get(key) or ()) for key in ("all", "any", "none"))
        if not (every or some or none):
            every = references(item)
        ignore_case = bool(item.params.get("ignore_case"))
        answer = text.casefold() if ignore_case else text

        def there(part: str) -> bool:
            return (part.casefold() if ignore_case else part) in answer

        missing = [part for part in every if not there(part)]
        if some and not any(there(part) for part in some):
            missing.extend(some)
        found = [part for part in none if there(part)]
        return verdict(not missing and not found, missing=missing, forbidden=found)


@dataclass(frozen=True, slots=True)
class Regex:
    """The answer matches ``pattern`` (Python's ``re``), somewhere or as a whole."""

    name: str = "regex"
    """Name in workload files."""
    params: ClassVar[Mapping[str, Rule]] = {
        "pattern": TEXT,
        "flags": Rule(lambda value: isinstance(value, str) and set(value) <= _FLAGS.keys(), "letters of imsxa"),
        "mode": one_of("search", "fullmatch"),
    }

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        pattern = item.params.get("pattern")
        if pattern is None:
            yield "params.pattern", "missing; allowed: a regular expression"
            return
        try:
            self._compiled(item)
        except (re.error, RecursionError, OverflowError) as error:
            yield "params.pattern", f"{shown(pattern)} is not a regular expression: {error}"

    def judge(self, item: Item, text: str) -> Judgement:
        """Return 1 where the pattern is found; with ``mode = "fullmatch"``, where it is the whole stripped answer."""
        pattern = self._compiled(item)
        if item.params.get("mode") == "fullmatch":
            found = pattern.fullmatch(text.strip())
        else:
            found = pattern.search(text)
        return verdict(found is not None, matched=found[0] if found else None)

    def _compiled(self, item: Item) -> re.Pattern[str]:
        flags = re.NOFLAG
        for letter in item.params.get("flags") or "":
            flags |= _FLAGS[letter]
        return re.compile(item.params["pattern"], flags)
