"""Fewer bits cost some exactness and no shape, and never touch the source."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from cput.compress import quantize
from cput.errors import InputError
from cput.models import ModelStore, load_manifest
from cput.models.files import sha256_of

_spec = importlib.util.spec_from_file_location("tiny", Path(__file__).parents[1] / "models" / "tiny.py")
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)

IDS = np.random.default_rng(3).integers(0, 260, 64).tolist()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("quantize")
    tiny.write_hf_folder(root / "hf")
    return ModelStore(root / "store").add(root / "hf", "tiny").folder


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    """int8, int4 and int4 with embeddings, with their logits."""
    root = tmp_path_factory.mktemp("made")
    quantize.weights(source, root / "int8", "int8")
    quantize.weights(source, root / "int4", "int4")
    quantize.weights(source, root / "int4e", "int4", group_size=32, quantize_embeddings=True)
    return {name: (root / name, tiny.ir_logits(root / name, IDS)) for name in ("int8", "int4", "int4e")}


def test_error_grows_as_bits_fall(source, made):
    exact = tiny.ir_logits(source, IDS)
    errors = [np.sqrt(((made[name][1] - exact) ** 2).mean()) / exact.std() for name in ("int8", "int4")]
    assert 0 < 3 * errors[0] < errors[1] < 0.8


def test_bytes_shrink_as_bits_fall(source, made):
    sizes = [
        load_manifest(folder).weights_bytes
        for folder in (source, *(made[name][0] for name in ("int8", "int4", "int4e")))
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] < 0.6 * sizes[0]


def test_the_manifest_says_what_was_done_and_the_rest_stays(source, made):
    before = load_manifest(source)
    for name, words in (("int8", "INT8_ASYM, per channel"), ("int4", "group size 64"), ("int4e", "embeddings too")):
        folder = made[name][0]
        after = load_manifest(folder)
        assert words in after.how
        assert (after.precision, after.name, after.eos_token_ids) == (name[:4], "tiny", before.eos_token_ids)
        assert after.sha256 == sha256_of(folder / "openvino_model.bin") != before.sha256
        assert (folder / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
        assert (folder / "tokenizer.gguf").exists()
    assert before.sha256 == sha256_of(source / "openvino_model.bin")


def test_nothing_is_printed(source, tmp_path, capfd):
    quantize.weights(source, tmp_path / "int8", "int8")
    assert capfd.readouterr() == ("", "")


def test_integers_are_not_quantized_again(made, tmp_path):
    with pytest.raises(InputError, match=r"int8 weights already"):
        quantize.weights(made["int8"][0], tmp_path / "x", "int4")


@pytest.mark.parametrize(
    ("precision", "options", "words"),
    [
        ("int2", {}, r"'int2' is not a quantization; allowed: int8, int4"),
        ("int4", {"group_size": 48}, r"group size 48 does not divide the model's width 64; allowed: 16, 32, 64, -1"),
        ("int4", {"ratio": 0.0}, r"ratio 0.0 .*above 0, up to 1"),
        ("int4", {"ratio": 1.5}, r"ratio 1.5"),
    ],
)
def test_bad_parameters_are_named_with_what_is_allowed(precision, options, words, source, tmp_path):
    with pytest.raises(InputError, match=words):
        quantize.weights(source, tmp_path / "x", precision, **options)
    assert not (tmp_path / "x").exists()


def test_a_variant_is_made_through_the_store(source):
    store = ModelStore(source.parents[1])
    folder = store.variant("tiny", "int8", lambda a, b: quantize.weights(a, b, "int8"))
    assert load_manifest(folder).precision == "int8"
    assert store.get("tiny").precisions == ("f16", "int8")
