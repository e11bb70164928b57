"""What a value in a user's file may be, as a test and in words."""

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

SHOWN_CHARS = 60


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


def shown(value: Any) -> str:
    """Return ``value`` as JSON, shortened to about 60 characters.

    >>> shown("a" * 100)[:12], len(shown("a" * 100))
    ('"aaaaaaaaaaa', 61)
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
