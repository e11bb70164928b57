"""The embedded engine, ``openvino``: openvino-genai's continuous batching in a process of its own."""

from pathlib import Path
from typing import Any

from cput.engines.openvino.engine import OpenVino
from cput.errors import InputError
from cput.models import ModelStore, load_manifest

__all__ = ["OpenVino", "open_engine"]


def open_engine(
    model: str | Path,
    *,
    max_seqs: int = 64,
    max_batched_tokens: int = 2048,
    cache_gb: int | None = None,
    kv_precision: str | None = None,
    prefix_cache: bool = False,
    prompt_lookup: bool = False,
    draft: str | Path | None = None,
    grammar: bool = True,
    device: str = "CPU",
    properties: dict[str, Any] | None = None,
) -> OpenVino:
    """Open a stored model by name, or a model folder; the options are those of ``OpenVino``."""
    folder = _folder(model)
    manifest = load_manifest(folder)
    if manifest.pooling is not None:
        raise InputError(f"'{manifest.name}' makes embeddings and generates no text; open it with the engine embedder")
    return OpenVino(
        manifest,
        folder,
        max_seqs=max_seqs,
        max_batched_tokens=max_batched_tokens,
        cache_gb=cache_gb,
        kv_precision=kv_precision,
        prefix_cache=prefix_cache,
        prompt_lookup=prompt_lookup,
        draft=_folder(draft) if draft is not None else None,
        grammar=grammar,
        device=device,
        properties=properties,
    )


def _folder(model: str | Path) -> Path:
    path = Path(model)
    return path if (path / "model.json").is_file() else ModelStore().get(str(model)).folder
