"""Makes labelled pairs of requests from the templates: paraphrases that share an answer, and flips that do not.

    train, test = split(seed=3)                   # templates, actions and fillers of one are none of the other's
    pairs = draw(train, count=4000, seed=3)       # half of them differ

A pair is drawn independently: a language by turns, a family, two of its templates, and fillers, each spelt anew
("1,000" and "1k", "3 pm" and "15:00"). A differing pair is one flip away: the opposite action, another amount, date,
name or place, a sibling question, or two slots exchanged.
"""

import calendar
import random
import re
from dataclasses import dataclass
from typing import NamedTuple

from policy_cache_templates import ACTIONS, FAMILIES, SLOTS, Family

from cput.policy.cache import Pair

LANGUAGES = ("en", "zh")
_SLOT = re.compile(r"{(\w+)(?::(\w+))?}")
_MONTHS = tuple(calendar.month_name)[1:]
_SMALL = {2: "two", 3: "three", 5: "five", 7: "seven", 12: "twelve", 15: "fifteen", 20: "twenty", 40: "forty"}
_ZH = {2: "两", 3: "三", 5: "五", 7: "七", 12: "十二", 15: "十五", 20: "二十", 25: "二十五", 40: "四十", 100: "一百"}
_ZH |= {1000: "一千", 1500: "一千五百", 5000: "五千", 20000: "两万", 250: "二百五十"}


class Made(NamedTuple):
    """A pair, and what was done to it."""

    pair: Pair
    language: str
    family: str
    kind: str
    """paraphrase, polarity, reversal, question, or the slot that was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """Templates, actions and fillers of one side of a split."""

    families: tuple[Family, ...]
    actions: dict[str, tuple]
    slots: dict[str, dict[str, list[str]]]


def split(seed: int) -> tuple[Half, Half]:
    """Return two halves that share no template, no action and no filler (amounts, dates and units they do)."""
    random_ = random.Random(f"split {seed}")
    families: tuple[list[Family], list[Family]] = ([], [])
    for family in FAMILIES:
        shuffled = random_.sample(family.templates, len(family.templates))
        middle = (len(shuffled) + random_.randrange(2)) // 2
        for side, templates in zip(families, (shuffled[:middle], shuffled[middle:]), strict=True):
            side.append(_with(family, tuple(templates)))
    shared = {"n", "date", "time", "day", "unit", "fact"}
    actions = {language: _halves(found, random_) for language, found in ACTIONS.items()}
    slots: tuple[dict, dict] = ({}, {})
    for language, found in SLOTS.items():
        for at in range(2):
            slots[at][language] = {}
        for name, text in found.items():
            values = text.split("|")
            for at, half in enumerate((values, values) if name in shared else _halves(values, random_)):
                slots[at][language][name] = list(half)
    return tuple(
        Half(
            families=tuple(families[at]), actions={name: found[at] for name, found in actions.items()}, slots=slots[at]
        )
        for at in range(2)
    )  # type: ignore[return-value]


def whole() -> Half:
    """Return everything, for the certificate that ships."""
    slots = {lang: {name: text.split("|") for name, text in found.items()} for lang, found in SLOTS.items()}
    return Half(families=FAMILIES, actions=dict(ACTIONS), slots=slots)


def draw(half: Half, *, count: int, seed: int, different: float = 0.5) -> list[Made]:
    """Return ``count`` pairs of each language, ``different`` of them with two answers."""
    random_ = random.Random(f"draw {seed}")
    made: list[Made] = []
    for language in LANGUAGES:
        families = [family for family in half.families if family.language == language and family.templates]
        while sum(each.language == language for each in made) < count:
            found = _pair(half, families, random_, same=random_.random() >= different)
            if found is not None:
                made.append(found)
    return made


def _pair(half: Half, families: list[Family], random_: random.Random, *, same: bool) -> Made | None:
    family = random_.choice(families)
    values = _values(half, family, random_)
    if same:
        if len(family.templates) < 2:
            return None
        one, other = random_.sample(family.templates, 2)
        if _names(one) != _names(other):
            return None
        return _made(family, one, other, values, values, "paraphrase", random_, same=True)
    kinds = [*family.flips, *(["swap"] if family.swaps else []), *(["question"] if family.siblings else [])]
    kind = random_.choice(kinds)
    one = random_.choice(family.templates)
    other = random_.choice(family.templates)
    after = dict(values)
    if kind == "question":
        siblings = [each for each in families if each.name in family.siblings and each.templates]
        if not siblings:
            return None
        other = random_.choice(random_.choice(siblings).templates)
    elif kind == "swap":
        assert family.swaps is not None
        first, second = family.swaps
        after |= {first: values[second], second: values[first]}
    elif kind == "do":
        side, pair = values["do"]
        after["do"] = (1 - side, pair)
    else:
        others = [value for value in _filled(half, family.language, kind) if value != values[kind]]
        after[kind] = random_.choice(others)
    if kind not in {"question", "swap"} and (kind not in _names(one) or kind not in _names(other)):
        return None
    if kind == "swap" and not set(family.swaps or ()) <= _names(one) & _names(other):
        return None
    label = {"do": "polarity", "swap": "reversal"}.get(kind, kind)
    return _made(family, one, other, values, after, label, random_, same=False)


def _made(family, one, other, values, after, kind, random_, *, same) -> Made | None:  # noqa: PLR0917
    if not _names(one) | _names(other) <= values.keys():
        return None
    first, second = _fill(one, values, family.language, random_), _fill(other, after, family.language, random_)
    if first == second:
        return None
    return Made(Pair(first, second, same), family.language, family.name, kind)


def _values(half: Half, family: Family, random_: random.Random) -> dict:
    values: dict = {}
    for name in sorted(set().union(*map(_names, family.templates)) | set(family.flips)):
        if name == "do":
            values[name] = (random_.randrange(2), random_.choice(half.actions[family.language]))
            continue
        others = [value for value in _filled(half, family.language, name) if value not in values.values()]
        values[name] = random_.choice(others)
    return values


def _filled(half: Half, language: str, name: str) -> list[str]:
    return half.slots[language][name.rstrip("2")]


def _fill(template: str, values: dict, language: str, random_: random.Random) -> str:
    return _SLOT.sub(lambda m: _spelt(m[1], m[2], values[m[1]], language, random_), template)


def _spelt(name: str, unit: str | None, value, language: str, random_: random.Random) -> str:
    if name == "do":
        side, pair = value
        return random_.choice(pair[side])
    kind = name.rstrip("2")
    if kind == "n":
        return _amount(int(value), unit, language, random_)
    if kind == "date":
        month, day = map(int, value.split("-"))
        if language == "zh":
            return random_.choice([f"{month}月{day}日", f"{month}月{day}号"])
        ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in {11, 12, 13} else 0, "th")
        name_ = _MONTHS[month - 1]
        return random_.choice(
            [f"{name_} {day}", f"{name_} {day}{ending}", f"{day} {name_}", f"{day}{ending} of {name_}"]
        )
    if kind == "time":
        return _hour(int(value), language, random_)
    return value


def _amount(value: int, unit: str | None, language: str, random_: random.Random) -> str:
    forms = [str(value)]
    if value >= 1000:
        forms += [f"{value:,}"]
        if value % 1000 == 0 and language == "en":
            forms.append(f"{value // 1000}k")
    if language == "zh":
        forms += [_ZH[value]] if value in _ZH else []
        text = random_.choice(forms)
        return text + random_.choice(["元", "块钱", "元"]) if unit == "yuan" else text
    if value in _SMALL:
        forms.append(_SMALL[value])
    text = random_.choice(forms)
    if unit != "usd":
        return text
    return random_.choice([f"${text}", f"{text} dollars"]) if text[0].isdigit() else f"{text} dollars"


def _hour(hour: int, language: str, random_: random.Random) -> str:
    if language == "zh":
        if hour < 12:
            return random_.choice([f"上午{hour}点", f"早上{hour}点"])
        return random_.choice([f"下午{hour - 12}点" if hour < 18 else f"晚上{hour - 12}点", f"{hour}点"])
    half, of_12 = ("am", hour) if hour < 12 else ("pm", hour - 12)
    return random_.choice([f"{of_12}{half}", f"{of_12} {half}", f"{of_12}:00 {half}", f"{hour:02d}:00"])


def _names(template: str) -> set[str]:
    return {match[1] for match in _SLOT.finditer(template)}


def _with(family: Family, templates: tuple[str, ...]) -> Family:
    return Family(
        name=family.name,
        language=family.language,
        templates=templates,
        flips=family.flips,
        swaps=family.swaps,
        siblings=family.siblings,
    )


def _halves(values, random_: random.Random) -> tuple[tuple, tuple]:
    shuffled = random_.sample(list(values), len(values))
    return tuple(shuffled[: len(shuffled) // 2]), tuple(shuffled[len(shuffled) // 2 :])
