"""Gemma 3, built here: the network computes what the formulas say, also in the engine's paged attention."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import tiny
import tiny_gemma3
from tokenizers import Tokenizer

from cput.compress import quantize
from cput.engines.openvino import OpenVino
from cput.errors import InputError, SetupError
from cput.models import ModelStore, load_manifest
from cput.models.gguf_source import read_gguf
from cput.records import Call, Grammar, GrammarKind, Message, Sampling

IDS = np.random.default_rng(4).integers(6, len(tiny_gemma3.TOKENS), 60).tolist()
WEIGHTS = tiny_gemma3.random_weights()
OTHER_WINDOWS = (None, tiny_gemma3.WINDOW - 1, tiny_gemma3.WINDOW + 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("gemma3")
    tiny_gemma3.write_gguf(root / "tiny.gguf", WEIGHTS)
    return ModelStore(root / "store").add(root / "tiny.gguf")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(model):
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    made = OpenVino(
        load_manifest(model.folder), model.folder, kv_precision="f16", max_batched_tokens=16, properties=exact
    )
    yield made
    await made.aclose()


def test_logits_are_those_of_the_formulas_beyond_the_window(model):
    expected = tiny_gemma3.reference_logits(WEIGHTS, IDS)
    for window in OTHER_WINDOWS:
        other = np.abs(tiny_gemma3.reference_logits(WEIGHTS, IDS, window=window) - expected)
        assert other[: tiny_gemma3.WINDOW - 1].max() < 1e-9  # nothing is out of sight yet
        assert other.max() > 0.1
    assert np.abs(tiny.ir_logits(model.folder, IDS) - expected).max() < 1e-3


@pytest.mark.asyncio(loop_scope="module")
async def test_paged_attention_keeps_the_window_where_a_prompt_comes_in_chunks(engine):
    """Sixteen tokens a step, so that most chunks begin with tokens whose window lies in earlier ones."""
    text = Tokenizer.from_file(str(engine.folder / "tokenizer.json")).decode(IDS, skip_special_tokens=False)
    prompt = [2, *Tokenizer.from_file(str(engine.folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids]
    found = []
    async for part in engine.answer(Call(prompt=text, sampling=Sampling(max_new_tokens=0, echo=True, logprobs=True))):
        found += getattr(part, "prompt_logprobs", None) or ()
    assert len(found) == len(prompt) - 1 > 4 * tiny_gemma3.WINDOW
    wanted = at(tiny_gemma3.reference_logits(WEIGHTS, prompt), prompt)
    assert np.abs(np.array(found) - wanted).max() < 0.02  # keys and values are in float16
    for window in OTHER_WINDOWS:
        assert np.abs(at(tiny_gemma3.reference_logits(WEIGHTS, prompt, window=window), prompt) - wanted).max() > 0.1


def at(logits, ids):
    """Return each token's log-probability after those before it."""
    return tiny_gemma3.log_probabilities(logits)[np.arange(len(ids) - 1), ids[1:]]


@pytest.mark.asyncio(loop_scope="module")
async def test_greedy_tokens_of_the_engine_are_those_of_the_formulas_and_of_the_plain_network(engine):
    """Token by token, until the window has moved past the prompt."""
    tokenizer = Tokenizer.from_file(str(engine.folder / "tokenizer.json"))
    ids = tokenizer.encode("hello hi 你好").ids
    new = 3 * tiny_gemma3.WINDOW
    by_formula, step, by_network = list(ids), stepping(engine.folder), list(ids)
    for _ in range(new):
        by_formula.append(int(tiny_gemma3.reference_logits(WEIGHTS, by_formula)[-1].argmax()))
        by_network.append(int(step(by_network)[-1].argmax()))
    assert by_network == by_formula
    call = Call(prompt="hello hi 你好", sampling=Sampling(max_new_tokens=new, ignore_eos=True))
    assert await engine.answer(call).text() == tokenizer.decode(by_formula[len(ids) :])


def test_keys_and_values_kept_from_one_step_serve_the_next(model):
    step = stepping(model.folder)
    found = np.concatenate([step(IDS[:end]) for end in (25, 26, 60)])
    assert np.abs(found - tiny_gemma3.reference_logits(WEIGHTS, IDS)).max() < 1e-3


def stepping(folder):
    """Return a function that gives the logits of the tokens that are new since its last call, by the plain network."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    request = core.compile_model(core.read_model(folder / "openvino_model.xml"), "CPU", settings).create_infer_request()
    done = 0

    def step(ids):
        nonlocal done
        begin, done = done, len(ids)
        inputs = {
            "input_ids": np.array([ids[begin:]], np.int64),
            "attention_mask": np.ones((1, done), np.int64),
            "position_ids": np.arange(begin, done, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        return request.infer(inputs)["logits"][0].copy()

    return step


HF_CONFIG = {
    "model_type": "gemma3_text",
    "hidden_size": tiny_gemma3.HIDDEN,
    "intermediate_size": tiny_gemma3.FFN,
    "num_hidden_layers": tiny_gemma3.LAYERS,
    "num_attention_heads": tiny_gemma3.HEADS,
    "num_key_value_heads": tiny_gemma3.KV_HEADS,
    "head_dim": tiny_gemma3.HEAD_DIM,
    "query_pre_attn_scalar": tiny_gemma3.HEAD_DIM,
    "max_position_embeddings": 512,
    "rms_norm_eps": tiny_gemma3.EPS,
    "hidden_activation": "gelu_pytorch_tanh",
    "sliding_window": tiny_gemma3.WINDOW,
}
OLD_ROPE = {
    "rope_theta": tiny_gemma3.THETA,
    "rope_local_base_freq": tiny_gemma3.LOCAL_THETA,
    "sliding_window_pattern": tiny_gemma3.PERIOD,
}
NEW_ROPE = {
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": tiny_gemma3.THETA},
        "sliding_attention": {"rope_type": "default", "rope_theta": tiny_gemma3.LOCAL_THETA},
    },
}


HF_NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "attn_output": "self_attn.o_proj",
    **{f"attn_{part}_norm": f"self_attn.{part}_norm" for part in "qk"},
    **{f"attn_{part}": f"self_attn.{part}_proj" for part in "qkv"},
    **{f"ffn_{part}": f"mlp.{part}_proj" for part in ("gate", "up", "down")},
}


def hf_name(name):
    """Return what transformers calls a tensor of a GGUF."""
    *layer, part, _ = name.split(".")
    return ".".join(["model", *(["layers", layer[1]] if layer else []), HF_NAMES[part], "weight"])


def write_hf_folder(folder, model, config):
    """Write the weights under the names of transformers, with the tokenizer that the GGUF gave."""
    folder.mkdir()
    weights = {hf_name(name): values for name, values in WEIGHTS.items()}
    tiny.write_safetensors(folder / "model.safetensors", weights, "F16")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_bytes((model.folder / "tokenizer.json").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": True, "eos_token": "<eos>"}))


@pytest.mark.parametrize("rope", [OLD_ROPE, NEW_ROPE])
def test_a_hugging_face_folder_gives_the_same_network(rope, model, tmp_path):
    write_hf_folder(tmp_path / "hf", model, HF_CONFIG | rope)
    folder = ModelStore(tmp_path / "store").add(tmp_path / "hf").folder
    assert np.abs(tiny.ir_logits(folder, IDS) - tiny_gemma3.reference_logits(WEIGHTS, IDS)).max() < 1e-3
    manifest = load_manifest(folder)
    assert (manifest.architecture, manifest.eos_token_ids, manifest.add_bos) == ("gemma3", (1, 5), True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_activation": "silu"}, "has hidden_activation = 'silu'.*'gelu_pytorch_tanh'"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention = True"),
        ({"query_pre_attn_scalar": 168}, "scales its queries by 168; 32 is what is built"),
    ],
)
def test_a_hugging_face_folder_of_another_network_is_refused(change, words, model, tmp_path):
    write_hf_folder(tmp_path / "hf", model, HF_CONFIG | OLD_ROPE | change)
    with pytest.raises(SetupError, match=words):
        ModelStore(tmp_path / "store").add(tmp_path / "hf")


def test_linear_scaling_turns_only_the_layers_that_see_everything(tmp_path):
    values = {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}
    tiny_gemma3.write_gguf(tmp_path / "m.gguf", WEIGHTS, values=values)
    folder = ModelStore(tmp_path / "store").add(tmp_path / "m.gguf").folder
    expected = tiny_gemma3.reference_logits(WEIGHTS, IDS, scaling=8.0)
    assert np.abs(expected - tiny_gemma3.reference_logits(WEIGHTS, IDS)).max() > 0.05
    assert np.abs(tiny.ir_logits(folder, IDS) - expected).max() < 1e-3


@pytest.mark.parametrize(
    ("pattern", "local"), [(3, (0, 1, 3)), ([True, False, True, True], (0, 2, 3)), (None, (0, 1, 2, 3))]
)
def test_local_layers_are_every_sixth_one_less_unless_the_file_says(pattern, local, tmp_path):
    key = "gemma3.attention.sliding_window_pattern"
    tiny_gemma3.write_gguf(tmp_path / "m.gguf", WEIGHTS, values={key: 6 if pattern is None else pattern})
    figures = read_gguf(tmp_path / "m.gguf").figures
    assert figures.local is not None
    assert (figures.local.window, figures.local.layers, figures.local.rope_theta) == (12, local, 10_000.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"extra": ["blk.0.altup_proj.weight"]}, r"1 tensors.*'blk.0.altup_proj.weight'"),
        ({"extra": ["output.weight"]}, r"1 tensors.*'output.weight'"),
        ({"without": ["blk.3.post_ffw_norm.weight"]}, r"lacks 1 tensors \(first: 'blk.3.post_ffw_norm.weight'\)"),
        ({"values": {"gemma3.final_logit_softcapping": 30.0}}, r"caps its logits \(gemma3.final_logit_softcapping\)"),
        ({"values": {"gemma3.rope.scaling.type": "yarn"}}, r"scales its rotary positions by 'yarn'"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(options, words, tmp_path):
    tiny_gemma3.write_gguf(tmp_path / "m.gguf", WEIGHTS, **options)
    store = ModelStore(tmp_path / "store")
    with pytest.raises(SetupError, match=words):
        store.add(tmp_path / "m.gguf")
    assert store.list() == ()


def test_a_matrix_of_another_width_is_named(tmp_path):
    narrow = {**WEIGHTS, "blk.1.ffn_down.weight": WEIGHTS["blk.1.ffn_down.weight"][:, :50]}
    tiny_gemma3.write_gguf(tmp_path / "m.gguf", narrow)
    with pytest.raises(InputError, match=r"'blk.1.ffn_down.weight' is \(64, 50\).*96 columns"):
        ModelStore(tmp_path / "store").add(tmp_path / "m.gguf")


def test_the_manifest_says_how_texts_begin_and_end(model):
    manifest = load_manifest(model.folder)
    assert (manifest.architecture, manifest.precision, model.embedded) == ("gemma3", "f16", True)
    assert (manifest.bos_token_id, manifest.eos_token_ids, manifest.add_bos) == (2, (1, 5), True)
    assert manifest.chat_template == tiny_gemma3.TEMPLATE
    assert manifest.parameters == sum(values.size for values in WEIGHTS.values())


@pytest.mark.parametrize("text", ["hi  hello   \n\n hi", "你好 hello", "naïve 🎉 👩‍👧", "\x00\x7f ﬁ", " ", "<b>hi</b>"])
def test_texts_come_back_from_the_tokens(text, model):
    tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_runs_of_spaces_and_turns_are_taken_whole(model):
    tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    assert tokenizer.encode("hi   hi\nhi").tokens == ["<bos>", "hi", "   ", "hi", "\n", "hi"]
    assert tokenizer.encode("<start_of_turn>hi<end_of_turn>", add_special_tokens=False).tokens == [
        "<start_of_turn>",
        "hi",
        "<end_of_turn>",
    ]


def test_the_grammars_vocabulary_says_the_same_texts(model):
    openvino_genai = importlib.import_module("openvino_genai")
    tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    theirs = openvino_genai.Tokenizer(str(model.folder / "tokenizer.gguf"))
    for text in ("hi  hello   \n\n hi", "你好 hello", "naïve 🎉"):
        assert theirs.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


@pytest.mark.asyncio(loop_scope="module")
async def test_a_grammar_holds_on_a_sentencepiece_vocabulary(engine):
    choices = ("hi  hello\n\nhi", "你好   hi")
    grammar = Grammar(kind=GrammarKind.CHOICE, value=choices)
    assert (
        await engine.answer(Call(prompt="hi", sampling=Sampling(max_new_tokens=40, grammar=grammar))).text() in choices
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_a_conversation_opens_with_one_bos_and_folds_the_system_turn_in(engine):
    call = Call(messages=(Message(role="system", content="hello"), Message(role="user", content=" hi ")))
    ids = await engine._prompt_ids(call)
    tokens = [tiny_gemma3.TOKENS[i] for i in ids]
    assert tokens[:2] == ["<bos>", "<start_of_turn>"]
    assert tokens.count("<bos>") == 1
    text = Tokenizer.from_file(str(engine.folder / "tokenizer.json")).decode(ids, skip_special_tokens=False)
    assert text == "<bos><start_of_turn>user\nhello\n\nhi<end_of_turn>\n<start_of_turn>model\n"


@pytest.mark.asyncio
async def test_a_base_model_opens_a_conversation_with_its_bos(tmp_path):
    tiny_gemma3.write_gguf(tmp_path / "m.gguf", WEIGHTS, template=None)
    folder = ModelStore(tmp_path / "store").add(tmp_path / "m.gguf").folder
    engine = OpenVino(load_manifest(folder), folder)
    ids = await engine._prompt_ids(Call(messages=(Message(role="user", content="hi"),)))
    assert [tiny_gemma3.TOKENS[i] for i in ids] == ["<bos>", "hi", "\n"]


@pytest.mark.parametrize(("precision", "worst"), [("int8", 0.05), ("int4", 0.6)])
def test_fewer_bits_keep_one_table_for_embedding_and_output(precision, worst, model, tmp_path):
    import openvino

    quantize.weights(model.folder, tmp_path / precision, precision, group_size=32)
    exact = tiny.ir_logits(model.folder, IDS)
    error = np.sqrt(((tiny.ir_logits(tmp_path / precision, IDS) - exact) ** 2).mean()) / exact.std()
    assert 0 < error < worst
    network = openvino.Core().read_model(tmp_path / precision / "openvino_model.xml")
    shape = [len(tiny_gemma3.TOKENS), tiny_gemma3.HIDDEN]
    tables = [op for op in network.get_ops() if op.get_type_name() == "Constant" and list(op.shape) == shape]
    assert [table.get_element_type().get_type_name() for table in tables] == ["u8"]


@pytest.mark.slow
def test_the_catalogues_model_predicts_english_also_beyond_its_window():
    """Its terms must be accepted by a person, so that the test takes it from the store and never pulls it."""
    try:
        folder = ModelStore().get("gemma-3-270m").folder
    except SetupError as why:
        pytest.skip(str(why))
    text = (Path(__file__).parents[2] / "docs" / "design" / "models.md").read_text(encoding="utf-8")
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids[:1200]
    likely = at(tiny.ir_logits(folder, ids), ids)
    assert len(likely) > 1000
    assert 2 < np.exp(-likely[:512].mean()) < 80  # a network with one wrong node is in the thousands
    assert likely[512:].mean() > likely[:512].mean() - 0.5
