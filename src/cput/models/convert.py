"""Writes a ``Checkpoint`` as an IR folder: float16 weights, tokenizer, vocabulary, manifest.

openvino-genai builds networks from GGUF, so the weights go into a float16 GGUF first (``build_ir`` does the rest).
Gemma 3, which it does not know, is built here (``gemma3``).
"""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

from cput.errors import SetupError
from cput.models import gemma3
from cput.models.checkpoint import GEMMA3, Checkpoint, Vocabulary
from cput.models.files import sha256_of
from cput.models.manifest import IR_BIN, IR_XML, TOKENIZER, VOCABULARY, Manifest

MOSTLY_F16 = 1
"""``general.file_type`` of GGUF."""

# The builder wants some tokenizer in the file and never uses it: any byte-level one will do, whatever the model's is.
_PLACEHOLDER = Vocabulary(tokens=("<s>", "a", "b", "ab"), merges=("a b",), types=(3, 1, 1, 1), pre="gpt-2")


def write_ir_folder(
    checkpoint: Checkpoint, folder: Path, *, name: str, source: str, source_sha256: str | None
) -> Manifest:
    """Write the five files of an IR folder into the existing empty ``folder`` and return its manifest.

    Needs about twice the float16 size of the model on disk while it runs.

    Raises:
        SetupError: openvino-genai refused the network; the sentence carries its words.
    """
    if checkpoint.figures.architecture == GEMMA3:
        _save_gemma3(checkpoint, folder)
    else:
        weights = folder / "weights.gguf"
        _write_weights(checkpoint, weights)
        _build_ir(weights, folder, checkpoint.figures.rope_frequencies)
        weights.unlink()
    (folder / TOKENIZER).write_text(checkpoint.tokenizer_json, encoding="utf-8")
    write_vocabulary_file(
        folder / VOCABULARY,
        checkpoint.vocabulary,
        bos=checkpoint.bos_token_id,
        ends=checkpoint.eos_token_ids,
        pad=checkpoint.pad_token_id,
        template=checkpoint.chat_template,
    )
    manifest = _manifest(checkpoint, folder, name, source, source_sha256)
    manifest.write(folder)
    return manifest


def _save_gemma3(checkpoint: Checkpoint, folder: Path) -> None:
    import openvino

    model = gemma3.network(checkpoint.figures, {tensor.name: tensor for tensor in checkpoint.tensors})
    openvino.save_model(model, folder / IR_XML, compress_to_fp16=False)  # matrices are in float16 already


def write_vocabulary_file(
    path: Path, vocabulary: Vocabulary, *, bos: int | None, ends: tuple[int, ...], pad: int | None, template: str | None
) -> None:
    """Write the metadata-only GGUF that ``openvino_genai.Tokenizer`` loads for grammars."""
    writer = GGUFWriter(path, "llama")
    writer.add_file_type(MOSTLY_F16)
    _add_tokenizer(writer, vocabulary)
    _add_ids(writer, bos=bos, eos=_main_end(vocabulary, ends), pad=pad)
    writer.add_chat_template(template or "")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _main_end(vocabulary: Vocabulary, ends: tuple[int, ...]) -> int:
    """Return the token that ends a turn; a file has room for one, the manifest lists all."""
    turn = [i for i in ends if vocabulary.tokens[i] in {"<|im_end|>", "<|eot_id|>", "<end_of_turn>"}]
    return turn[0] if turn else ends[0] if ends else 0


def _write_weights(checkpoint: Checkpoint, path: Path) -> None:
    writer = _writer(checkpoint, path)
    _add_tokenizer(writer, _PLACEHOLDER)
    _add_ids(writer, bos=0, eos=0, pad=0)
    writer.add_chat_template("")
    for tensor in checkpoint.tensors:
        dtype = np.dtype(np.float16 if len(tensor.shape) > 1 else np.float32)
        writer.add_tensor_info(tensor.name, tensor.shape, dtype, tensor.size * dtype.itemsize)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in checkpoint.tensors:  # one at a time: the whole model never lies in memory
            writer.write_tensor_data(tensor.load())
    finally:
        writer.close()


def _writer(checkpoint: Checkpoint, path: Path) -> GGUFWriter:
    figures = checkpoint.figures
    writer = GGUFWriter(path, figures.architecture)
    writer.add_file_type(MOSTLY_F16)
    writer.add_block_count(figures.layers)
    writer.add_context_length(figures.context_length)
    writer.add_embedding_length(figures.hidden)
    writer.add_feed_forward_length(figures.ffn)
    writer.add_head_count(figures.heads)
    writer.add_head_count_kv(figures.kv_heads)
    writer.add_key_length(figures.head_dim)
    writer.add_value_length(figures.head_dim)
    writer.add_rope_dimension_count(figures.head_dim)
    writer.add_rope_freq_base(figures.rope_theta)
    writer.add_layer_norm_rms_eps(figures.rms_eps)
    return writer


def _add_tokenizer(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.types))
    # openvino-genai's reader demands merges; a SentencePiece vocabulary has none and is only read token by token.
    writer.add_token_merges(list(vocabulary.merges) or [f"{vocabulary.tokens[0]} {vocabulary.tokens[0]}"])


def _add_ids(writer: GGUFWriter, *, bos: int | None, eos: int, pad: int | None) -> None:
    # openvino-genai's reader demands all three ids; a model without one is given its end.
    writer.add_bos_token_id(eos if bos is None else bos)
    writer.add_eos_token_id(eos)
    writer.add_pad_token_id(eos if pad is None else pad)


def _build_ir(weights: Path, folder: Path, frequencies: list[float]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cput.models.build_ir", str(weights)],
        input=json.dumps(frequencies),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not (folder / IR_XML).is_file() or not (folder / IR_BIN).is_file():
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SetupError(
            f"openvino-genai could not build the network (exit status {done.returncode}): "
            f"{said[-1] if said else 'it said nothing; the machine may lack memory'}"
        )


def _manifest(checkpoint: Checkpoint, folder: Path, name: str, source: str, source_sha256: str | None) -> Manifest:
    figures, weights = checkpoint.figures, folder / IR_BIN
    return Manifest(
        name=name,
        architecture=figures.architecture,
        chat_template=checkpoint.chat_template,
        bos_token_id=checkpoint.bos_token_id,
        eos_token_ids=checkpoint.eos_token_ids,
        pad_token_id=checkpoint.pad_token_id,
        add_bos=checkpoint.add_bos,
        context_length=figures.context_length,
        layers=figures.layers,
        heads=figures.heads,
        kv_heads=figures.kv_heads,
        head_dim=figures.head_dim,
        hidden=figures.hidden,
        vocab_size=checkpoint.vocab_size,
        parameters=checkpoint.parameters,
        precision="f16",
        licence=checkpoint.licence,
        source=source,
        source_sha256=source_sha256,
        sha256=sha256_of(weights),
        weights_bytes=weights.stat().st_size,
        cput_version=importlib.metadata.version("cput"),
        how="float16 weights, float32 rotary frequencies",
    )
