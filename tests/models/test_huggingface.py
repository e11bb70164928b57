"""A converted folder computes what the published formulas compute."""

import json
import math

import numpy as np
import pytest
import tiny

from cput.errors import InputError, SetupError
from cput.models import ModelStore, load_manifest
from cput.models.huggingface import read_folder

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def llama3_frequencies(head_dim=16, theta=5000.0):
    # Llama 3.1's apply_scaling, by wavelength: long waves are slowed, short ones kept, those between interpolated.
    out = []
    for frequency in theta ** (-np.arange(0, head_dim, 2) / head_dim):
        wavelength = 2 * math.pi / frequency
        if wavelength < 64 / 4.0:
            out.append(frequency)
        elif wavelength > 64 / 1.0:
            out.append(frequency / 8.0)
        else:
            smooth = (64 / wavelength - 1.0) / (4.0 - 1.0)
            out.append((1 - smooth) * frequency / 8.0 + smooth * frequency)
    return np.array(out)


CASES = {
    "llama, bfloat16, rope_parameters": (
        "llama",
        {"rope": {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}},
    ),
    "llama, tied, sharded, float32, linear scaling": (
        "llama",
        {
            "tied": True,
            "shards": 3,
            "dtype": "F32",
            "rope": {"rope_theta": 5000.0, "rope_scaling": {"type": "linear", "factor": 4.0}},
        },
    ),
    "llama, llama3 scaling": ("llama", {"rope": {"rope_theta": 5000.0, "rope_scaling": LLAMA3}}),
    "qwen2 with biases, tied": ("qwen2", {"tied": True}),
    "qwen3 with head norms and wide heads, float16": ("qwen3", {"head_dim": 32, "dtype": "F16"}),
}


@pytest.mark.parametrize("case", CASES)
def test_converted_logits_are_those_of_the_reference_forward_pass(case, tmp_path):
    model_type, options = CASES[case]
    weights = tiny.write_hf_folder(tmp_path / "hf", model_type, **options)
    model = ModelStore(tmp_path / "store").add(tmp_path / "hf", "tiny")
    # 200 positions: rotary frequencies that were rounded to float16 on the way would be off by 1e-2 here.
    ids = np.random.default_rng(1).integers(0, 260, 200).tolist()
    head_dim = options.get("head_dim", 16)
    frequencies = {
        "llama, llama3 scaling": llama3_frequencies(),
        "llama, tied, sharded, float32, linear scaling": 5000.0 ** (-np.arange(0, 16, 2) / 16) / 4,
    }.get(case)
    expected = tiny.reference_logits(weights, ids, head_dim=head_dim, frequencies=frequencies)
    found = tiny.ir_logits(model.folder, ids)
    assert found.shape == expected.shape
    assert expected.std() > 0.5  # the comparison is of real figures
    assert np.abs(found - expected).max() < 1e-3


def test_manifest_says_what_the_folder_says(tmp_path):
    weights = tiny.write_hf_folder(tmp_path / "hf", "llama", tied=True)
    manifest = load_manifest(ModelStore(tmp_path / "store").add(tmp_path / "hf", "tiny").folder)
    tokenizer = tiny.byte_level_tokenizer()
    assert manifest.parameters == sum(values.size for values in weights.values())
    assert (manifest.layers, manifest.heads, manifest.kv_heads, manifest.head_dim, manifest.hidden) == (2, 4, 2, 16, 64)
    assert manifest.eos_token_ids == (tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>"))
    assert manifest.pad_token_id == tokenizer.token_to_id("<|endoftext|>")
    assert manifest.chat_template == "{{ messages[0]['content'] }}"
    assert manifest.vocab_size == weights["model.embed_tokens.weight"].shape[0]
    assert manifest.context_length == 256


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"model_type": "gemma2"}, "gemma2.*llama, qwen2, qwen3.*--engine openai"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        ({"sliding_window": 128}, "sliding window"),
        ({"hidden_act": "gelu"}, "gelu"),
    ],
)
def test_a_network_that_would_be_computed_wrongly_is_refused(extra, words, tmp_path):
    tiny.write_hf_folder(tmp_path / "hf", extra=extra)
    with pytest.raises(SetupError, match=words):
        read_folder(tmp_path / "hf")


def test_a_tensor_that_the_reader_would_drop_is_refused(tmp_path):
    weights = tiny.write_hf_folder(tmp_path / "hf")
    weights["model.layers.0.self_attn.sinks"] = np.ones(4, np.float32)
    tiny.write_safetensors(tmp_path / "hf" / "model.safetensors", weights, "F32")
    with pytest.raises(SetupError, match=r"1 tensors.*sinks"):
        read_folder(tmp_path / "hf")


def test_weights_beyond_float16_are_refused_not_clipped(tmp_path):
    weights = tiny.write_hf_folder(tmp_path / "hf")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = 70000.0
    tiny.write_safetensors(tmp_path / "hf" / "model.safetensors", weights, "F32")
    store = ModelStore(tmp_path / "store")
    with pytest.raises(SetupError, match=r"blk.1.ffn_up.weight.*float16"):
        store.add(tmp_path / "hf", "tiny")
    assert store.list() == ()


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(missing, tmp_path):
    tiny.write_hf_folder(tmp_path / "hf")
    (tmp_path / "hf" / missing).unlink()
    with pytest.raises(InputError, match=missing.split(".")[0]):
        ModelStore(tmp_path / "store").add(tmp_path / "hf", "tiny")


@pytest.mark.parametrize("value", [None, "64", 0])
def test_a_figure_that_is_no_whole_number_is_named_with_its_value(value, tmp_path):
    tiny.write_hf_folder(tmp_path / "hf", extra={"hidden_size": value})
    with pytest.raises(InputError, match=f"hidden_size = {value!r}"):
        read_folder(tmp_path / "hf")


def test_a_broken_config_is_a_sentence(tmp_path):
    tiny.write_hf_folder(tmp_path / "hf")
    (tmp_path / "hf" / "config.json").write_text('{"model_type": "llama"')
    with pytest.raises(InputError, match=r"config.json' cannot be read as JSON"):
        read_folder(tmp_path / "hf")


def test_the_default_of_several_chat_templates_is_taken(tmp_path):
    tiny.write_hf_folder(tmp_path / "hf")
    templates = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    (tmp_path / "hf" / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    assert read_folder(tmp_path / "hf").model.chat_template == "D"
    (tmp_path / "hf" / "chat_template.jinja").write_text("J")
    assert read_folder(tmp_path / "hf").model.chat_template == "J"


def test_a_llama3_scaling_that_lacks_a_figure_names_it(tmp_path):
    scaling = {key: value for key, value in LLAMA3.items() if key != "high_freq_factor"}
    tiny.write_hf_folder(tmp_path / "hf", rope={"rope_scaling": scaling})
    with pytest.raises(InputError, match=r"without a number under 'high_freq_factor'"):
        read_folder(tmp_path / "hf")
