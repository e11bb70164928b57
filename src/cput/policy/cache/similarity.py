"""How alike two texts are, 0 to 1: the cosine of their vectors, and in Chinese the characters that they share as well.

An English embedding model knows few Chinese characters: most become one and the same unknown token, and different
sentences the same vector. So there the cosine counts half, and the other half is Dice's coefficient of the texts'
characters and pairs of characters.
"""

from collections import Counter
from functools import lru_cache

from cput.policy.cache.characters import is_han


def similarity(cosine: float, one: str, other: str) -> float:
    """Return the similarity of two texts whose vectors have this cosine."""
    if not any(map(is_han, one + other)):
        return cosine
    return (cosine + dice(one, other)) / 2


def dice(one: str, other: str) -> float:
    """Return the share of characters and pairs of characters that two texts have in common.

    >>> dice("开灯", "开灯"), dice("开灯", "关门")
    (1.0, 0.0)
    """
    first, second = _grams(one), _grams(other)
    total = sum(first.values()) + sum(second.values())
    return 2 * sum((first & second).values()) / total if total else 0.0


@lru_cache(maxsize=8192)
def _grams(text: str) -> Counter[str]:
    said = "".join(text.split())
    return Counter([*said, *(said[at : at + 2] for at in range(len(said) - 1))])
