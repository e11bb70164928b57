"""Reading typed fields out of a JSON or TOML object, naming every unknown key and wrong type."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from cput.workloads.lines import bad_text
from cput.workloads.problems import Problems, Where, kind, shown, wrong_value


class Rule(NamedTuple):
    """What one field may hold."""

    fits: Callable[[Any], bool]
    """True for an allowed value."""
    allowed: str
    """The same in words."""


def is_number(value: Any) -> bool:
    """True for a finite int or float (true and false are not numbers)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any) -> bool:
    """True for an int that is not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_texts(value: Any) -> bool:
    """True for a non-empty list of texts."""
    return isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)


TEXT = Rule(lambda value: isinstance(value, str), "a text")
FILLED = Rule(lambda value: isinstance(value, str) and bool(value.strip()), "a text that is not empty")
TEXTS = Rule(is_texts, "a list of texts")
TEXT_OR_TEXTS = Rule(lambda value: isinstance(value, str) or is_texts(value), "a text or a list of texts")
FLAG = Rule(lambda value: isinstance(value, bool), "true or false")
TABLE = Rule(lambda value: isinstance(value, dict), "an object")
ITEMS = Rule(lambda value: isinstance(value, list), "a list of objects")
SHARE = Rule(lambda value: is_number(value) and 0 <= value <= 1, "a number from 0 to 1")
NUMBER = Rule(is_number, "a number")
POSITIVE = Rule(lambda value: is_number(value) and value > 0, "a number above 0")
NOT_NEGATIVE = Rule(lambda value: is_number(value) and value >= 0, "a number of at least 0")
INTEGER = Rule(is_integer, "a whole number")
COUNT = Rule(lambda value: is_integer(value) and value >= 0, "a whole number of at least 0")
AT_LEAST_1 = Rule(lambda value: is_integer(value) and value >= 1, "a whole number of at least 1")
ANY = Rule(lambda _: True, "anything")


def one_of(*names: str) -> Rule:
    """Return the rule that a value is one of ``names``."""
    return Rule(lambda value: isinstance(value, str) and value in names, " or ".join(f'"{name}"' for name in names))


def complaints(value: Mapping[str, Any], rules: Mapping[str, Rule]) -> Iterable[tuple[str, str]]:
    """Yield (key, sentence) for each unknown key and each value its rule does not allow. Null is "not given"."""
    for key, part in value.items():
        if key not in rules:
            yield key, unknown_key(key, rules)
        elif part is not None and not rules[key].fits(part):
            yield key, _sentence(part, rules[key].allowed)
        elif isinstance(part, str) and (fault := bad_text(part)):
            yield key, fault


def take(
    value: Mapping[str, Any],
    rules: Mapping[str, Rule],
    problems: Problems,
    where: Callable[[str], Where],
    prefix: str = "",
) -> dict[str, Any]:
    """Return the fields that are given and allowed; name the others in ``problems``, at ``where(dotted field)``."""
    wrong = set()
    for key, sentence in complaints(value, rules):
        wrong.add(key)
        problems.add(where(prefix + key), prefix + key, sentence)
    return {key: part for key, part in value.items() if key not in wrong and part is not None}


def unknown_key(key: str, allowed: Iterable[str]) -> str:
    """Return the sentence for a key nobody reads, with the nearest allowed one.

    >>> unknown_key("promt", ["id", "prompt"])
    "unknown key 'promt'; did you mean 'prompt'? Allowed: id, prompt"
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"unknown key '{shown(key)[1:-1]}'{hint} Allowed: {', '.join(names)}"


def _sentence(value: Any, allowed: str) -> str:
    # The kind says nothing where it is the kind that is allowed ("0 is a number; allowed: a number above 0").
    if kind(value) in allowed or (kind(value) == "number" and "number" in allowed):
        return f"{shown(value)} is not allowed; allowed: {allowed}"
    return wrong_value(value, allowed)
