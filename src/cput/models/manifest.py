"""What an IR folder is: ``model.json`` beside the weights, read by the engine without opening them.

    manifest = load_manifest(store.get("smollm2-135m-instruct").folder)
    manifest.eos_token_ids            # (0, 2)

Every IR folder holds ``openvino_model.xml`` and ``.bin``, ``tokenizer.json`` (Hugging Face ``tokenizers``),
``tokenizer.gguf`` (vocabulary only, for openvino-genai's grammars) and ``model.json``.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cput.errors import InputError

MANIFEST = "model.json"
IR_XML = "openvino_model.xml"
IR_BIN = "openvino_model.bin"
TOKENIZER = "tokenizer.json"
VOCABULARY = "tokenizer.gguf"
IR_FILES = (IR_XML, IR_BIN, TOKENIZER, VOCABULARY, MANIFEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The figures of one stored model in one precision. Lengths are in tokens; sizes are counts, not bytes."""

    name: str
    """Name in the store."""
    architecture: str
    """As GGUF spells it: llama, qwen2, qwen3."""
    chat_template: str | None = None
    """Jinja source that turns messages into a prompt; None where the model has none (a base model)."""
    bos_token_id: int | None = None
    """Token that opens a text; None where the model has none."""
    eos_token_ids: tuple[int, ...] = ()
    """Every token that ends a turn or a text; generation stops at the first of them."""
    pad_token_id: int | None = None
    """Filler of ragged batches."""
    add_bos: bool = False
    """Whether a raw text is meant to be opened with ``bos_token_id``; ``tokenizer.json`` does it by itself."""
    context_length: int
    """Positions the model was made for: prompt plus answer."""
    layers: int
    """Transformer blocks."""
    heads: int
    """Query heads per block."""
    kv_heads: int
    """Key-value heads per block."""
    head_dim: int
    """Width of one head; KV bytes per token = 2 x layers x kv_heads x head_dim x bytes per value."""
    hidden: int
    """Width of the residual stream."""
    vocab_size: int
    """Rows of the embedding, padding rows included."""
    parameters: int
    """Weights, tied embeddings counted once."""
    precision: str
    """f16, int8, int4, or the quantization of a GGUF that the embedded engine cannot read (Q4_K, ...)."""
    licence: str | None = None
    """SPDX name or title, as the source states it."""
    source: str
    """Where it came from: an index file, a hub name and revision, or a file's name."""
    source_sha256: str | None = None
    """SHA-256 of the file it was made from; for several files, of the lines ``<sha256>  <name>`` in order."""
    sha256: str
    """SHA-256 of this folder's weights file."""
    weights_bytes: int
    """Size of this folder's weights file."""
    cput_version: str
    """Version of cput that wrote the folder."""
    how: str | None = None
    """What was done to the weights, in words (e.g. the quantization's parameters)."""
    pooling: str | None = None
    """How an embedding model makes one vector of a text's tokens: mean or cls; None for a model that generates."""
    special_tokens: bool = True
    """Whether a text to embed is wrapped in the tokenizer's special tokens."""
    lengths: tuple[int, ...] = ()
    """Lengths below ``hidden`` that vectors may be cut to, where the model was trained for it (Matryoshka)."""

    def write(self, folder: Path) -> None:
        """Write ``model.json`` into ``folder``."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def load_manifest(folder: Path) -> Manifest:
    """Read ``model.json`` of an IR folder.

    Raises:
        InputError: the folder has none, or it is not one of ours; the sentence says which field.
    """
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"'{folder}' is not a cput model folder: it has no {MANIFEST}; bring it in with: "
            f"cput models import {folder}"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read ({error}); import the model again: cput models import") from None
    return _from_json(raw, path)


def _from_json(raw: Any, path: Path) -> Manifest:
    if not isinstance(raw, dict):
        raise InputError(f"'{path}' holds a {type(raw).__name__}; a model manifest is an object")
    known = {item.name for item in fields(Manifest)}
    values = {key: value for key, value in raw.items() if key in known}  # fields of a later version are not ours
    for name in ("eos_token_ids", "lengths"):
        values[name] = tuple(values.get(name) or ())
    try:
        return Manifest(**values)
    except TypeError as error:
        missing = str(error).rsplit(":", maxsplit=1)[-1].strip()
        raise InputError(f"'{path}' lacks the field {missing}; import the model again: cput models import") from None
