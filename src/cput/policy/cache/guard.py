"""The guard: whether two texts may be given one answer. It is closed: what it can't align is refused.

    refusal("turn on dark mode", "turn off dark mode")      # "polarity"
    refusal("enable 2FA", "please turn on 2FA")             # None: they may share an answer

Two texts pass when they ask for the same kind of answer and say the same things in the same order, after ``canon``. In
English questions about what the one who asks may do, one action may stand elsewhere. Everything that is left over on
one side, in whatever language, is a refusal; the reason is for people, and the decision does not depend on it. Numbers,
names and negations are part of the sequence, so that their scope and their order (A to B, B to A) are compared too.
"""

import hashlib
from collections import Counter
from functools import lru_cache
from importlib.resources import files

from cput.policy.cache.canon import Canon, canon
from cput.policy.cache.words import words_of

MOVABLE = frozenset({"HOW", "CAN", "SHOULD", "MUST"})
"""Questions in which the one who asks does what is asked about: there an action may stand elsewhere."""
_SOURCES = ("amounts.py", "canon.py", "characters.py", "guard.py", "similarity.py")
_TABLES = ("words/__init__.py", "words/en.toml", "words/zh.toml")


def refusal(one: str, other: str) -> str | None:
    """Return why two texts may not share an answer, in a word; None where they may.

    characters, language, question, number, polarity, entity, reversal, content.
    """
    if one == other:
        return None
    first, second = canon(one), canon(other)
    if first is None or second is None:
        return "characters"
    if first.language != second.language:
        return "language"
    if first.says == second.says:
        return None if first.asks == second.asks else "question"
    if first.asks != second.asks:
        return "question"
    if Counter(first.says) == Counter(second.says):
        may_move = first.language == "en" and bool(first.asks) and set(first.asks) <= MOVABLE
        return None if may_move and _one_action_moved(first.says, second.says) else "reversal"
    return _difference(first, second)


@lru_cache(maxsize=1)
def guard_version() -> str:
    """Return a digest of the guard's words and rules: a certificate holds for the guard that it was measured with."""
    digest = hashlib.sha256()
    for name in (*_SOURCES, *_TABLES):
        digest.update(files("cput.policy.cache").joinpath(name).read_bytes())
    return digest.hexdigest()[:16]


def _one_action_moved(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether the sequences are equal without one action that both have once."""
    return any(
        _without(one, action) == _without(other, action)
        for action in set(one) & words_of("en").same.keys()
        if one.count(action) == 1
    )


def _without(says: tuple[str, ...], word: str) -> tuple[str, ...]:
    return tuple(each for each in says if each != word)


def _difference(first: Canon, second: Canon) -> str:
    one, other = Counter(first.says), Counter(second.says)
    left = (one - other) + (other - one)
    polar = words_of("en").polar | words_of(first.language).polar
    if any(word.startswith("#") or word.isdigit() for word in left):
        return "number"
    if any(word in polar for word in left):
        return "polarity"
    return "entity" if any(word.startswith("=") for word in left) else "content"
