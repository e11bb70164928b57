"""Takes in an OpenVINO IR folder: our own, or an export of optimum-intel (IR beside the Hugging Face files)."""

import importlib.metadata
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from cput.errors import InputError, SetupError
from cput.models.convert import write_vocabulary_file
from cput.models.files import sha256_of
from cput.models.huggingface import chat_template, read_json_file, token_ids
from cput.models.manifest import IR_BIN, IR_XML, MANIFEST, TOKENIZER, VOCABULARY, Manifest, load_manifest
from cput.models.tokenizer import vocabulary_of

INPUTS = frozenset({"input_ids", "attention_mask", "position_ids", "beam_idx"})
"""What openvino-genai feeds a language model."""


def copy_ir(path: Path, folder: Path, *, name: str, source: str) -> Manifest:
    """Copy the IR at ``path`` into ``folder`` and describe it.

    Raises:
        InputError: a file is missing, or the network is no language model.
    """
    for file in (IR_XML, IR_BIN, TOKENIZER):
        if not (path / file).is_file():
            raise InputError(
                f"'{path}' has no {file}; an OpenVINO model folder needs {IR_XML}, {IR_BIN} and {TOKENIZER}"
            )
        shutil.copyfile(path / file, folder / file)
    if (path / MANIFEST).is_file():
        manifest = _ours(path, folder, name)
    else:
        manifest = _exported(path, folder, name, source)
    manifest.write(folder)
    return manifest


def _ours(path: Path, folder: Path, name: str) -> Manifest:
    manifest = replace(load_manifest(path), name=name)
    found = sha256_of(folder / IR_BIN)
    if found != manifest.sha256:
        raise SetupError(f"'{path / IR_BIN}' has the wrong checksum: sha256 {found}, expected {manifest.sha256}")
    if (path / VOCABULARY).is_file():
        shutil.copyfile(path / VOCABULARY, folder / VOCABULARY)
    return manifest


def _exported(path: Path, folder: Path, name: str, source: str) -> Manifest:
    config = read_json_file(path / "config.json")
    network = _network(folder / IR_XML, path)
    heads, hidden = int(config.get("num_attention_heads", 0)), int(config.get("hidden_size", 0))
    if not heads or not hidden:
        raise InputError(f"'{path / 'config.json'}' lacks num_attention_heads or hidden_size")
    text = (folder / TOKENIZER).read_text(encoding="utf-8")
    vocab_size = network.vocab_size or int(config["vocab_size"])
    vocabulary = vocabulary_of(text, vocab_size)
    ids = token_ids(path, config, vocabulary.tokens)
    template = chat_template(path)
    write_vocabulary_file(folder / VOCABULARY, vocabulary, bos=ids.bos, ends=ids.ends, pad=ids.pad, template=template)
    weights = folder / IR_BIN
    digest = sha256_of(weights)
    return Manifest(
        name=name,
        architecture=str(config.get("model_type", "unknown")),
        chat_template=template,
        bos_token_id=ids.bos,
        eos_token_ids=ids.ends,
        pad_token_id=ids.pad,
        add_bos=ids.add_bos,
        context_length=int(config.get("max_position_embeddings", 2048)),
        layers=int(config.get("num_hidden_layers", 0)),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or hidden // heads),
        hidden=hidden,
        vocab_size=vocab_size,
        parameters=network.parameters,
        precision=network.precision,
        source=source,
        source_sha256=digest,
        sha256=digest,
        weights_bytes=weights.stat().st_size,
        cput_version=importlib.metadata.version("cput"),
        how="imported as an OpenVINO folder",
    )


class _Network:
    """What the network itself tells: its precision is that of most weights in matrices."""

    def __init__(self, model: Any) -> None:
        sizes: Counter[str] = Counter()
        for node in model.get_ops():
            if node.get_type_name() == "Constant" and len(node.shape) > 1:
                sizes[node.get_element_type().get_type_name()] += int(node.get_output_size() and _count(node.shape))
        kinds = {"u8": "int8", "i8": "int8", "u4": "int4", "i4": "int4"}
        weights = {kind: size for kind, size in sizes.items() if kind in {*kinds, "f16", "f32", "bf16"}}
        main = max(weights, key=lambda kind: weights[kind], default="f16")
        self.precision = kinds.get(main, "f16")
        self.parameters = sum(size for kind, size in weights.items() if (kind in kinds) == (main in kinds))
        last = model.output(0).partial_shape[-1]
        self.vocab_size = int(last.get_length()) if last.is_static else None


def _network(xml: Path, path: Path) -> _Network:
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the folder is renamed while this process lives
    try:
        model = core.read_model(xml)
    except RuntimeError as error:
        raise InputError(f"'{path / IR_XML}' is not a whole OpenVINO model ({error})") from None
    inputs = {name for port in model.inputs for name in port.get_names()}
    if not INPUTS - {"position_ids"} <= inputs:
        missing = ", ".join(sorted(INPUTS - {"position_ids"} - inputs))
        raise InputError(f"'{path}' is not a stateful language model: it has no input called {missing}")
    return _Network(model)


def _count(shape: Any) -> int:
    total = 1
    for size in shape:
        total *= int(size)
    return total
