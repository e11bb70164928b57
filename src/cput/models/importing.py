"""Recognises what a path holds and fills an IR folder from it."""

import importlib.metadata
import shutil
from dataclasses import replace
from pathlib import Path

from cput.errors import InputError
from cput.models.checkpoint import READABLE
from cput.models.convert import write_ir_folder
from cput.models.embedder import is_embedder, write_embedder
from cput.models.files import sha256_of
from cput.models.gguf_source import GgufFile, read_gguf, shards
from cput.models.huggingface import read_folder
from cput.models.manifest import IR_XML, Manifest
from cput.models.openvino_folder import copy_ir


def import_into(
    path: Path, folder: Path, name: str, *, source: str | None = None, licence: str | None = None, keep: bool = False
) -> Manifest:
    """Fill ``folder`` from a GGUF file, an OpenVINO folder or a Hugging Face folder.

    Args:
        path: What the user has.
        folder: An existing folder to fill; ``path`` may lie in it.
        name: The model's name in the store.
        source: Where it came from, in words; by default the file's name.
        licence: Overrides what the source states.
        keep: Store a GGUF whose network the embedded engine cannot read instead of refusing it.

    Raises:
        InputError: contents of no known kind.
        SetupError: a network or tokenizer that the embedded engine cannot take.
    """
    source = source or path.name
    if path.is_file():
        manifest = _from_gguf(path, folder, name, source, keep=keep)
    elif (path / IR_XML).is_file():
        manifest = copy_ir(path, folder, name=name, source=source)
    elif is_embedder(path):
        manifest = write_embedder(path, folder, name=name, source=source)
    elif (path / "config.json").is_file():
        checkpoint = read_folder(path)
        manifest = write_ir_folder(checkpoint.model, folder, name=name, source=source, source_sha256=checkpoint.sha256)
    else:
        ggufs = sorted(path.glob("*.gguf"))
        hint = f"; import the file itself, e.g. {ggufs[0]}" if ggufs else ""
        raise InputError(
            f"'{path}' is no model folder: it has neither {IR_XML} (OpenVINO) nor config.json (Hugging Face){hint}"
        )
    if licence is not None:
        manifest = replace(manifest, licence=licence)
        manifest.write(folder)
    return manifest


def _from_gguf(path: Path, folder: Path, name: str, source: str, *, keep: bool) -> Manifest:
    digest = sha256_of(path)
    if keep and GgufFile(path).architecture not in READABLE:
        return _store_gguf(path, folder, name, source, digest)
    return write_ir_folder(read_gguf(path), folder, name=name, source=source, source_sha256=digest)


def _store_gguf(path: Path, folder: Path, name: str, source: str, digest: str) -> Manifest:
    for part in shards(path):
        if part.parent != folder:
            shutil.copyfile(part, folder / part.name)
    summary = GgufFile(path).summary()
    figures = summary.figures
    manifest = Manifest(
        name=name,
        architecture=summary.architecture,
        chat_template=summary.chat_template,
        context_length=figures.context_length,
        layers=figures.layers,
        heads=figures.heads,
        kv_heads=figures.kv_heads,
        head_dim=figures.head_dim,
        hidden=figures.hidden,
        vocab_size=summary.vocab_size,
        parameters=summary.parameters,
        precision=summary.precision,
        licence=summary.licence,
        source=source,
        source_sha256=digest,
        sha256=digest,
        weights_bytes=path.stat().st_size,
        cput_version=importlib.metadata.version("cput"),
        how="stored as it came; the embedded engine cannot read it",
    )
    manifest.write(folder)
    return manifest
