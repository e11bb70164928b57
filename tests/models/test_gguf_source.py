"""A GGUF of any quantization computes what its dequantized weights compute."""

import gguf
import numpy as np
import pytest
import tiny

from cput.errors import InputError, SetupError
from cput.models import ModelStore, load_manifest
from cput.models.gguf_source import GgufFile, read_gguf
from cput.models.huggingface import read_folder

TYPE = gguf.GGMLQuantizationType
IDS = np.random.default_rng(2).integers(0, 260, 120).tolist()


def write_gguf(
    path, folder, kind=TYPE.F16, *, architecture="llama", rope_factors=None, values=None, extra_tensor=None, pre="gpt-2"
):
    """Write a folder of ``tiny`` as GGUF with its matrices in ``kind``; return the weights as they are in the file."""
    model = read_folder(folder).model
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_file_type(1)
    figures = model.figures
    writer.add_block_count(figures.layers)
    writer.add_context_length(figures.context_length)
    writer.add_embedding_length(figures.hidden)
    writer.add_feed_forward_length(figures.ffn)
    writer.add_head_count(figures.heads)
    writer.add_head_count_kv(figures.kv_heads)
    writer.add_rope_freq_base(figures.rope_theta)
    writer.add_layer_norm_rms_eps(figures.rms_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(list(model.vocabulary.tokens))
    writer.add_token_types(list(model.vocabulary.types))
    writer.add_token_merges(list(model.vocabulary.merges))
    writer.add_eos_token_id(model.vocabulary.tokens.index("<|im_end|>"))
    writer.add_chat_template("{{ messages }}")
    for key, value in (values or {}).items():
        (writer.add_string if isinstance(value, str) else writer.add_uint32)(key, value)
    if rope_factors is not None:
        writer.add_tensor("rope_freqs.weight", np.array(rope_factors, np.float32))
    if extra_tensor:
        writer.add_tensor(extra_tensor, np.ones(4, np.float32))
    stored = {}
    for tensor in model.tensors:
        data = tensor.load()
        if data.ndim == 1:
            writer.add_tensor(tensor.name, data)
            continue
        packed = gguf.quantize(data.astype(np.float32), kind)
        stored[tensor.name] = gguf.dequantize(packed, kind)
        writer.add_tensor(tensor.name, packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


def as_reference(weights, stored):
    """Put the file's matrices in place of the originals, undoing the order of rows that GGUF's llama has."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, tiny.LAYERS)
    out = {}
    for name, values in weights.items():
        data = stored.get(names.get_name(name, try_suffixes=(".weight",)), values)
        heads = tiny.HEADS if ".q_proj" in name else tiny.KV_HEADS if ".k_proj" in name else None
        if heads is not None:
            data = data.reshape(heads, data.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(data.shape)
        out[name] = data
    return out


@pytest.mark.parametrize("kind", [TYPE.Q4_0, TYPE.Q4_1, TYPE.Q5_0, TYPE.Q5_1, TYPE.Q8_0, TYPE.BF16, TYPE.F32])
def test_every_quantization_is_dequantized_exactly(kind, tmp_path):
    tiny.write_hf_folder(tmp_path / "hf")
    stored = write_gguf(tmp_path / "m.gguf", tmp_path / "hf", kind)
    for tensor in read_gguf(tmp_path / "m.gguf").tensors:
        if tensor.name in stored:
            np.testing.assert_array_equal(tensor.load(), stored[tensor.name].astype(np.float16))


def test_logits_of_a_q4_1_file_are_those_of_its_weights(tmp_path):
    weights = tiny.write_hf_folder(tmp_path / "hf")
    stored = write_gguf(tmp_path / "M.gguf", tmp_path / "hf", TYPE.Q4_1)
    model = ModelStore(tmp_path / "store").add(tmp_path / "M.gguf")
    assert (model.name, model.precision) == ("m", "f16")
    expected = tiny.reference_logits(as_reference(weights, stored), IDS)
    assert np.abs(tiny.reference_logits(weights, IDS) - expected).max() > 0.1  # four bits do change the answers
    # Scale times code plus minimum is rounded to float16 here, 2**-11 of a weight; the order of that stays.
    assert np.abs(tiny.ir_logits(model.folder, IDS) - expected).max() < 0.05
    manifest = load_manifest(model.folder)
    tokenizer = tiny.byte_level_tokenizer()
    # The file names one; <|endoftext|> ends this model's texts as well.
    assert manifest.eos_token_ids == (tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>"))
    assert manifest.chat_template == "{{ messages }}"


def test_rope_factors_of_long_context_models_are_kept(tmp_path):
    weights = tiny.write_hf_folder(tmp_path / "hf")
    factors = np.linspace(1.0, 8.0, 8)
    stored = write_gguf(tmp_path / "m.gguf", tmp_path / "hf", TYPE.F16, rope_factors=factors)
    model = ModelStore(tmp_path / "store").add(tmp_path / "m.gguf")
    frequencies = 5000.0 ** (-np.arange(0, 16, 2) / 16) / factors
    expected = tiny.reference_logits(as_reference(weights, stored), IDS, frequencies=frequencies)
    assert np.abs(expected - tiny.reference_logits(weights, IDS)).max() > 0.1
    assert np.abs(tiny.ir_logits(model.folder, IDS) - expected).max() < 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "gemma2"}, r"architecture 'gemma2'.*reads llama, qwen2, qwen3, gemma3.*--engine openai"),
        ({"values": {"llama.rope.scaling.type": "yarn"}}, r"scales its rotary positions by 'yarn'"),
        ({"values": {"llama.expert_count": 8}}, r"llama with 8 experts"),
        ({"values": {"llama.rope.dimension_count": 8}}, r"rotates 8 of 16 dimensions"),
        ({"extra_tensor": "blk.0.attn_sinks"}, r"1 tensors.*'blk.0.attn_sinks'"),
        ({"pre": "tekken"}, r"pre-tokenizer 'tekken'.*known: .*qwen2"),
    ],
)
def test_a_file_that_would_be_read_wrongly_is_refused(options, words, tmp_path):
    tiny.write_hf_folder(tmp_path / "hf")
    write_gguf(tmp_path / "m.gguf", tmp_path / "hf", **options)
    store = ModelStore(tmp_path / "store")
    with pytest.raises(SetupError, match=words):
        store.add(tmp_path / "m.gguf")
    assert store.list() == ()


def test_a_cut_or_foreign_file_is_a_sentence(tmp_path):
    tiny.write_hf_folder(tmp_path / "hf")
    path = tmp_path / "m.gguf"
    write_gguf(path, tmp_path / "hf")
    whole = path.read_bytes()
    for content in (b"", b"GGUF", whole[:100], whole[:5000], whole[:-1000], b"not a model" * 50):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"m.gguf' is not a whole GGUF file"):
            GgufFile(path)


def test_a_split_file_needs_all_its_parts(tmp_path):
    path = tmp_path / "m-00001-of-00002.gguf"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"one of 2 parts and 'm-00002-of-00002.gguf' is missing"):
        GgufFile(path)
