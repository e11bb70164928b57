"""``embedder``: sentence embeddings on this machine through OpenVINO, encoders and static tables alike."""

from pathlib import Path
from typing import Any

from cput.engines.embedder.engine import Embedder
from cput.errors import InputError
from cput.models import ModelStore, load_manifest

__all__ = ["Embedder", "open_engine"]


def open_engine(
    model: str | Path,
    *,
    max_texts: int = 32,
    truncate: bool = True,
    compute: str = "auto",
    device: str = "CPU",
    properties: dict[str, Any] | None = None,
) -> Embedder:
    """Open a stored embedding model by name, or a model folder; the options are those of ``Embedder``.

    Raises:
        InputError: an option out of range, or a model that generates text.
        SetupError: a model that is not stored yet.
    """
    path = Path(model)
    folder = path if (path / "model.json").is_file() else ModelStore().get(str(model)).folder
    manifest = load_manifest(folder)
    if manifest.pooling is None:
        raise InputError(f"'{manifest.name}' generates text and makes no embeddings; open it with the engine openvino")
    return Embedder(
        manifest,
        folder,
        max_texts=max_texts,
        truncate=truncate,
        compute=compute,
        device=device,
        properties=properties,
    )
