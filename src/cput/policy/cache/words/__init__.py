"""The words that the guard knows, one file a language: ``en.toml`` and ``zh.toml`` say what their tables are.

words_of("en").same["ENABLE"]        # ("turn on", "switch on", "enable", ...)
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language's tables."""

    rewritten: tuple[tuple[re.Pattern[str], str], ...]
    """Pattern and what takes its place, in order."""
    frames: tuple[tuple[re.Pattern[str], str], ...]
    """How a request begins: pattern and marker, in order."""
    same: Mapping[str, tuple[str, ...]]
    """Actions by marker."""
    things: Mapping[str, tuple[str, ...]]
    """Things and properties by marker."""
    polar: frozenset[str]
    """Words of direction."""
    light: frozenset[str]
    """Words that are left out."""
    copula: frozenset[str]
    """Those of them that a statement keeps."""
    speaker: frozenset[str]
    """Who asks."""
    no_plural: frozenset[str]
    """Words in -s that are no plural."""
    fillers: tuple[str, ...]
    """Texts that are left out wherever they stand."""


@lru_cache(maxsize=4)
def words_of(language: str) -> Words:
    """Return the tables of ``en`` or ``zh``."""
    held = tomllib.loads(files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    return Words(
        rewritten=tuple((re.compile(pattern), other) for pattern, other in held["rewritten"]),
        frames=tuple((re.compile("|".join(frame["patterns"])), frame["marker"]) for frame in held["frames"]),
        same=_groups(held["same"]),
        things=_groups(held["things"]),
        polar=frozenset(held["polar"].split()),
        light=frozenset(held.get("light", "").split()),
        copula=frozenset(held.get("copula", "").split()),
        speaker=frozenset(held.get("speaker", "").split()),
        no_plural=frozenset(held.get("no_plural", "").split()),
        fillers=tuple(held.get("fillers", ())),
    )


def _groups(table: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {marker: tuple(members.split("|")) for marker, members in table.items()}
