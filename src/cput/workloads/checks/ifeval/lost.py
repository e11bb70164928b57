"""Answers that are lost before their end: an instruction that is broken for good, whatever comes next.

Each rule takes the answer so far and the instruction's arguments and is true only where *no* continuation can make the
strict check pass; ``tests/workloads/test_ifeval_lost.py`` holds it to that. Instructions that a continuation can always
mend (a keyword that must occur, a phrase at the end) have no rule.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cput.workloads.checks.ifeval.instructions import nth_paragraph_first_word
from cput.workloads.checks.ifeval.words import count_words

JSON_STARTS = frozenset('`{["-0123456789tfnNI')


def first_lost(text: str, instructions: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the id of the first instruction that the answer so far has broken for good; None where all can be met."""
    for given in instructions:
        rule = RULES.get(given["id"])
        if rule is not None and rule(text, {key: value for key, value in given.items() if key != "id"}):
            return str(given["id"])
    return None


def _too_often(count: int, relation: str, threshold: int) -> bool:
    return relation == "less than" and count >= threshold


def _frequency(text: str, args: Mapping[str, Any]) -> bool:
    found = re.findall(re.escape(args["keyword"].strip()), text, re.IGNORECASE)
    return _too_often(len(found), args["relation"], args["frequency"])


def _forbidden_words(text: str, args: Mapping[str, Any]) -> bool:
    """A word at the very end may still grow into another one."""
    return any(
        match.end() < len(text)
        for word in args["forbidden_words"]
        for match in re.finditer(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
    )


def _letter_frequency(text: str, args: Mapping[str, Any]) -> bool:
    count = Counter(text.lower())[args["letter"].strip().lower()]
    return _too_often(count, args["let_relation"], args["let_frequency"])


def _number_words(text: str, args: Mapping[str, Any]) -> bool:
    return _too_often(count_words(text), args["relation"], args["num_words"])


def _number_paragraphs(text: str, args: Mapping[str, Any]) -> bool:
    """With d dividers there are d + 1 parts, of which the two at the ends may be blank."""
    return len(re.findall(r"\*\*\*", text)) - 1 > int(args["num_paragraphs"])


def _nth_paragraph(text: str, args: Mapping[str, Any]) -> bool:
    parts = text.split("\n\n")
    if sum(bool(part.strip()) for part in parts) > args["num_paragraphs"]:
        return True
    if len(parts) <= args["nth_paragraph"]:
        return False
    blanks = "\n\n".join(["x"] * (args["num_paragraphs"] - sum(bool(part.strip()) for part in parts)))
    settled = "\n\n".join(part for part in (text.rstrip("\n"), blanks) if part)
    return not nth_paragraph_first_word(settled, **args)


def _bullets(text: str, args: Mapping[str, Any]) -> bool:
    """Only whole lines count: the last one is still being written."""
    whole = text[: text.rfind("\n") + 1]
    stars = re.findall(r"^\s*\*[^\*].*$", whole, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", whole, re.MULTILINE)
    return len(stars) + len(dashes) > int(args["num_bullets"])


def _json(text: str, _: Mapping[str, Any]) -> bool:
    body = text.lstrip()
    return bool(body) and body[0] not in JSON_STARTS


def _two_responses(text: str, _: Mapping[str, Any]) -> bool:
    return sum(bool(part.strip()) for part in text.split("******")) > 2


def _repeat_prompt(text: str, args: Mapping[str, Any]) -> bool:
    """The last character waits: how a letter is lowered can depend on the one after it (a final sigma)."""
    wanted = args["prompt_to_repeat"].strip().lower()
    said = text.lstrip().lower()[:-1][: len(wanted)]
    return not wanted.startswith(said)


def _quotation(text: str, _: Mapping[str, Any]) -> bool:
    body = text.lstrip()
    return bool(body) and body[0] != '"'


RULES: Mapping[str, Callable[[str, Mapping[str, Any]], bool]] = {
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "length_constraints:number_words": _number_words,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:json_format": _json,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:quotation": _quotation,
    "change_case:english_capital": lambda text, _: any(letter.islower() for letter in text),
    "change_case:english_lowercase": lambda text, _: any(letter.isupper() for letter in text),
    "punctuation:no_comma": lambda text, _: "," in text,
}
"""By the official ids."""
