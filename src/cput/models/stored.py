"""What the store says of a model that it holds."""

from dataclasses import dataclass
from pathlib import Path

from cput.models.manifest import IR_XML, MANIFEST, load_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """A model in the store, or an IR folder given by its path."""

    name: str
    """Name in the store."""
    folder: Path
    """The IR folder, float16 where there is one; for a model that is not ``embedded``, the folder of its GGUF."""
    source: str
    """Where it came from, in words."""
    licence: str | None
    """As the source states it."""
    architecture: str
    """As GGUF spells it."""
    context_length: int
    """Positions the model was made for, in tokens."""
    parameters: int
    """Weights."""
    vocab_size: int
    """Rows of the embedding."""
    sha256: str
    """SHA-256 of the weights file in ``folder``."""
    precision: str
    """Precision of ``folder``: f16, int8, int4, or a GGUF quantization."""
    embedded: bool
    """Whether the embedded engine can load ``folder``."""
    precisions: tuple[str, ...] = ()
    """Every precision that is stored."""
    bytes: int = 0
    """Size on disk of all precisions together."""


def as_stored(folder: Path, name: str, precisions: tuple[str, ...], size: int) -> StoredModel:
    """Describe the model in ``folder`` by its manifest."""
    manifest = load_manifest(folder)
    return StoredModel(
        name=name,
        folder=folder,
        source=manifest.source,
        licence=manifest.licence,
        architecture=manifest.architecture,
        context_length=manifest.context_length,
        parameters=manifest.parameters,
        vocab_size=manifest.vocab_size,
        sha256=manifest.sha256,
        precision=manifest.precision,
        embedded=is_ir(folder),
        precisions=precisions,
        bytes=size,
    )


def is_ir(folder: Path) -> bool:
    """Whether ``folder`` holds a network and its manifest."""
    return (folder / MANIFEST).is_file() and (folder / IR_XML).is_file()


def size_of(folder: Path) -> int:
    """Return the bytes of all files under ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
