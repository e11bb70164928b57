"""Weights of fewer bits on an IR folder, with NNCF and without data: int8 per channel, int4 per group.

    quantize.weights(store.get("smollm2-135m-instruct").folder, Path("int4"), "int4")

Activations stay as they are; OpenVINO multiplies the integer weights directly, so decoding reads that many fewer bytes.
"""

import importlib.metadata
import io
import logging
import os
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from cput.errors import InputError, SetupError
from cput.models.files import sha256_of
from cput.models.manifest import IR_BIN, IR_XML, TOKENIZER, VOCABULARY, Manifest, load_manifest

PRECISIONS = ("int8", "int4")


def weights(
    source: Path,
    target: Path,
    precision: str,
    *,
    group_size: int = 64,
    ratio: float = 1.0,
    quantize_embeddings: bool = False,
) -> None:
    """Write the IR folder ``source`` (float16) to ``target`` with its weights in ``precision``.

    Args:
        source: An IR folder with float16 weights.
        target: A folder that is empty or does not exist; its parent exists.
        precision: ``int8`` (asymmetric, one scale and zero point per output channel) or ``int4`` (asymmetric, one
            scale and zero point per ``group_size`` weights).
        group_size: Weights that share a scale in int4; it divides the width of every layer (64 divides the 576 of
            SmolLM2-135M, 128 does not), or is -1 for one scale per channel.
        ratio: Share of the weights in int4; NNCF leaves the rest, the layers whose int4 error is largest, in int8.
        quantize_embeddings: Put embeddings and the output layer in int4 as well. They stay in int8 by default: they are
            a fifth of a 135M model, are read once per token, and every token passes through them.

    Raises:
        InputError: an unknown precision, a group size that fits no layer, a ratio out of range, weights that are
            already integers.
        SetupError: NNCF refused the model.
    """
    manifest = load_manifest(source)
    _check(manifest, source, precision, group_size, ratio)
    nncf, openvino = _libraries()
    options: dict[str, Any] = {"mode": nncf.CompressWeightsMode.INT8_ASYM}
    how = "INT8_ASYM, per channel"
    if precision == "int4":
        mode = nncf.CompressWeightsMode.INT4_ASYM
        options = {"mode": mode, "group_size": group_size, "ratio": ratio, "all_layers": quantize_embeddings}
        rest = "embeddings too" if quantize_embeddings else "embeddings and output layer INT8_ASYM"
        how = f"INT4_ASYM, group size {group_size}, ratio {ratio:g}, {rest}"
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # else the source stays open, and Windows cannot rename its folder
    try:
        with redirect_stdout(io.StringIO()):  # NNCF draws tables and a bar where the command line writes its own
            model = nncf.compress_weights(core.read_model(source / IR_XML), **options)
    except (RuntimeError, ValueError, nncf.ValidationError) as error:
        raise SetupError(f"NNCF could not quantize '{source}' to {precision}: {error}") from error
    target.mkdir(exist_ok=True)
    openvino.save_model(model, target / IR_XML, compress_to_fp16=False)
    _describe(manifest, source, target, precision, f"NNCF {importlib.metadata.version('nncf')} {how}, data-free")


def _describe(manifest: Manifest, source: Path, target: Path, precision: str, how: str) -> None:
    """Put tokenizer and manifest beside the new weights."""
    for name in (TOKENIZER, VOCABULARY):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    weights_file = target / IR_BIN
    replace(
        manifest,
        precision=precision,
        sha256=sha256_of(weights_file),
        weights_bytes=weights_file.stat().st_size,
        cput_version=importlib.metadata.version("cput"),
        how=how,
    ).write(target)


def _check(manifest: Manifest, source: Path, precision: str, group_size: int, ratio: float) -> None:
    if precision not in PRECISIONS:
        raise InputError(f"precision '{precision}' is not a quantization; allowed: {', '.join(PRECISIONS)}")
    if manifest.precision != "f16":
        raise InputError(
            f"'{source}' has {manifest.precision} weights already; quantization starts from float16 (f16) weights"
        )
    if group_size != -1 and (group_size < 1 or manifest.hidden % group_size):
        fitting = [str(size) for size in (16, 32, 64, 128, 256) if manifest.hidden % size == 0]
        raise InputError(
            f"group size {group_size} does not divide the model's width {manifest.hidden}; allowed: "
            f"{', '.join([*fitting, '-1'])}"
        )
    if not 0 < ratio <= 1:
        raise InputError(f"ratio {ratio} is not a share of the weights; allowed: above 0, up to 1")


def _libraries() -> tuple[Any, Any]:
    # NNCF reports every call to an analytics service unless this is set before it is imported. What a user compresses
    # is theirs to tell.
    os.environ.setdefault("NNCF_CI", "1")
    import nncf
    import openvino

    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf, openvino
