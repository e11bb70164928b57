"""Embedding models: from what people have to an IR folder that maps token ids to one vector a text.

Two kinds are read, both without torch: folders of sentence-transformers with a BERT encoder (MiniLM, BGE, E5, GTE), and
WordLlama's static tables (a vector for each token, averaged), which need no network to speak of.

The folder holds ``openvino_model.xml`` and ``.bin``, ``tokenizer.json`` without padding and truncation, and
``model.json``, whose ``pooling`` says that it is an embedding model.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cput.errors import InputError, SetupError
from cput.models import encoder
from cput.models.checkpoint import Array
from cput.models.files import sha256_of
from cput.models.huggingface import read_json_file, weight_files
from cput.models.manifest import IR_BIN, IR_XML, TOKENIZER, Manifest
from cput.models.safetensors_file import Slice, open_safetensors

STATIC = "static"
ARCHITECTURES = ("bert", STATIC)
STATIC_CONTEXT = 8192
"""Tokens of a text that a static model reads; more would only blur the mean."""
STATIC_LENGTHS = (64, 128, 256, 512)
"""Lengths that WordLlama's tables were trained to be cut to (``matryoshka`` in its training file)."""
_TABLE = "embedding.weight"


def is_embedder(folder: Path) -> bool:
    """Whether a folder holds an embedding model: one of sentence-transformers, or a table and its tokenizer alone."""
    if (folder / "modules.json").is_file() or (folder / "config.json").is_file():
        return (folder / "modules.json").is_file()
    weights = folder / "model.safetensors"
    return weights.is_file() and (folder / TOKENIZER).is_file() and _TABLE in open_safetensors(weights)


def write_embedder(path: Path, folder: Path, *, name: str, source: str) -> Manifest:
    """Fill the existing ``folder`` from the one at ``path`` and return its manifest.

    Raises:
        InputError: a file is missing or is not what it claims.
        SetupError: a network or a pooling that is not built here.
    """
    model, figures = _encoder(path) if (path / "modules.json").is_file() else _static(path)
    _save(model, folder)
    tokenizer = _plain_tokenizer(path / TOKENIZER)
    (folder / TOKENIZER).write_text(tokenizer, encoding="utf-8")
    lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in weight_files(path))
    weights = folder / IR_BIN
    manifest = Manifest(
        name=name,
        precision="f16",
        source=source,
        source_sha256=hashlib.sha256(lines.encode()).hexdigest(),
        sha256=sha256_of(weights),
        weights_bytes=weights.stat().st_size,
        cput_version=importlib.metadata.version("cput"),
        how="float16 weights",
        **figures,
    )
    manifest.write(folder)
    return manifest


def _encoder(path: Path) -> tuple[Any, dict[str, Any]]:
    config = read_json_file(path / "config.json")
    kind = str(config.get("model_type"))
    if kind != "bert":
        raise SetupError(
            f"'{path.name}' has the architecture '{kind}'; the embedding engine reads bert and static tables. Serve it "
            "with vLLM, Ollama or llama-server: cput serve http://localhost:8080/v1"
        )
    figures = encoder.read_figures(config, f"'{path.name}'")
    pooling, normalize = _pooling(path)
    weights = {name.removeprefix("bert."): piece for name, piece in _slices(path).items()}
    model = encoder.network(figures, _Loaded(weights), pooling=pooling, normalize=normalize)
    limit = _optional(path / "sentence_bert_config.json").get("max_seq_length") or figures.positions
    return model, {
        "architecture": "bert",
        "context_length": min(int(limit), figures.positions),
        "layers": figures.layers,
        "heads": figures.heads,
        "kv_heads": figures.heads,
        "head_dim": figures.hidden // figures.heads,
        "hidden": figures.hidden,
        "vocab_size": figures.vocab_size,
        "parameters": sum(_size(piece) for name, piece in weights.items() if not name.startswith("pooler.")),
        "pooling": pooling,
        "special_tokens": True,
        "lengths": _lengths(config),
    }


def _static(path: Path) -> tuple[Any, dict[str, Any]]:
    import openvino
    import openvino.opset13 as ops

    slices = _slices(path)
    if set(slices) != {_TABLE} or len(slices[_TABLE].shape) != 2:
        found = ", ".join(f"{name} {piece.shape}" for name, piece in sorted(slices.items()))
        raise SetupError(f"'{path.name}' holds {found}; a static model is one table called {_TABLE}, tokens x numbers")
    table = np.ascontiguousarray(slices[_TABLE].load(), np.float32)
    ids, mask = (ops.parameter([-1, -1], np.int64, given) for given in encoder.INPUTS)
    for node, given in zip((ids, mask), encoder.INPUTS, strict=True):
        node.output(0).set_names({given})
    rows = ops.gather(ops.constant(table), ids, ops.constant(np.array(0, np.int64)))
    pooled = encoder.pool(ops, rows, mask, "mean", normalize=True)
    return openvino.Model([pooled], [ids, mask], STATIC), {
        "architecture": STATIC,
        "context_length": STATIC_CONTEXT,
        "layers": 0,
        "heads": 0,
        "kv_heads": 0,
        "head_dim": 0,
        "hidden": table.shape[1],
        "vocab_size": table.shape[0],
        "parameters": table.size,
        "pooling": "mean",
        "special_tokens": False,
        "lengths": tuple(length for length in STATIC_LENGTHS if length < table.shape[1]),
    }


def _pooling(path: Path) -> tuple[str, bool]:
    """Return how a folder of sentence-transformers makes one vector of many, and whether it has length 1 then."""
    try:
        kinds = [str(module["type"]).rsplit(".", maxsplit=1)[-1] for module in _list(path / "modules.json")]
    except (KeyError, TypeError) as error:
        raise InputError(f"'{path / 'modules.json'}' is not a list of modules ({error!r})") from None
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise SetupError(
            f"'{path.name}' is made of {', '.join(kinds)}; Transformer, Pooling and Normalize can be built"
        )
    said = read_json_file(path / "1_Pooling" / "config.json")
    modes = [name.removeprefix("pooling_mode_") for name, on in said.items() if name.startswith("pooling_mode") and on]
    found = {"mean_tokens": "mean", "cls_token": "cls"}.get(modes[0]) if len(modes) == 1 else None
    if found is None:
        raise SetupError(f"'{path.name}' pools by {' and '.join(modes) or 'nothing'}; mean_tokens or cls_token is read")
    return found, "Normalize" in kinds


def _lengths(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shorter lengths that a model was trained for, where its config.json has them."""
    said = config.get("matryoshka_dimensions") or ()
    return tuple(sorted(int(length) for length in said if int(length) < int(config["hidden_size"])))


def _save(model: Any, folder: Path) -> None:
    import openvino

    openvino.save_model(model, folder / IR_XML, compress_to_fp16=True)


def _plain_tokenizer(path: Path) -> str:
    """Return a tokenizers file that neither pads nor truncates: the engine does both, by the batch."""
    from tokenizers import Tokenizer

    if not path.is_file():
        raise InputError(f"'{path.parent}' has no {TOKENIZER}; an embedding model needs it")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  # the library raises a bare Exception
        raise InputError(f"'{path}' is not a tokenizers file ({error})") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return str(tokenizer.to_str())


def _slices(path: Path) -> dict[str, Slice]:
    """Return the weights; the numbering of positions, which older files have, is none."""
    found = [open_safetensors(file, without=("position_ids",)) for file in weight_files(path)]
    return {name: piece for slices in found for name, piece in slices.items()}


class _Loaded(dict[str, Array]):
    """Weights that are read when they are asked for."""

    def __init__(self, slices: Mapping[str, Slice]) -> None:
        super().__init__()
        self._slices = slices

    def get(self, name: str, default: Any = None) -> Any:
        """Return a weight's values, or ``default``."""
        piece = self._slices.get(name)
        return default if piece is None else piece.load()


def _size(piece: Slice) -> int:
    return int(np.prod(piece.shape, dtype=np.int64))


def _optional(path: Path) -> dict[str, Any]:
    return read_json_file(path) if path.is_file() else {}


def _list(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' can't be read as JSON ({error})") from None
    return found if isinstance(found, list) else []
