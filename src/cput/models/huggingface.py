"""Reads a Hugging Face folder (config.json, safetensors, tokenizer.json) without torch or transformers."""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import MODEL_ARCH, TensorNameMap, get_tensor_name_map

from cput.errors import InputError, SetupError
from cput.models.checkpoint import (
    END_TEXTS,
    GEMMA3,
    Array,
    Checkpoint,
    Figures,
    Local,
    Tensor,
    check_tensors,
    narrow,
    refuse_architecture,
)
from cput.models.files import sha256_of
from cput.models.gemma3 import LAYERS_OF_27B
from cput.models.safetensors_file import Slice, open_safetensors
from cput.models.tokenizer import vocabulary_of

ARCHITECTURES = {
    "llama": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
    "gemma3_text": MODEL_ARCH.GEMMA3,
}
"""``model_type`` of config.json to the GGUF architecture that computes the same network."""

GEMMA3_TEXT = "gemma3_text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A Hugging Face folder as read."""

    model: Checkpoint
    """What an IR folder is made from."""
    sha256: str
    """SHA-256 over the lines ``<sha256>  <name>`` of the weight files."""


def read_folder(path: Path) -> Folder:
    """Read a folder; weights are memory-mapped and narrowed to float16 one by one.

    Raises:
        InputError: a file that is missing or is not what it claims.
        SetupError: a network that the embedded engine cannot build.
    """
    config = read_json_file(path / "config.json")
    what = f"'{path.name}'"
    model_type = str(config.get("model_type"))
    if model_type not in ARCHITECTURES:
        raise refuse_architecture(model_type, what)
    figures = (read_gemma3_figures if model_type == GEMMA3_TEXT else read_figures)(config, what)
    files = weight_files(path)
    slices = {name: piece for file in files for name, piece in open_safetensors(file).items()}
    tensors = _tensors(slices, figures, ARCHITECTURES[model_type], tied=bool(config.get("tie_word_embeddings")))
    check_tensors([tensor.name for tensor in tensors], figures, what)
    model = _checkpoint(path, config, figures, tensors)
    lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in files)
    return Folder(model=model, sha256=hashlib.sha256(lines.encode()).hexdigest())


def read_figures(config: dict[str, Any], what: str) -> Figures:
    """Return the network's numbers from config.json; refuse what the embedded engine would compute wrongly."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if config.get("use_sliding_window") or (config.get("sliding_window") and config.get("model_type") == "llama"):
        raise SetupError(f"{what} attends through a sliding window, which the embedded engine's reader ignores")
    if config.get("hidden_act", "silu") != "silu":
        raise SetupError(
            f"{what} has the activation '{config['hidden_act']}'; the embedded engine's reader builds silu"
        )
    heads, hidden = _whole(config, "num_attention_heads"), _whole(config, "hidden_size")
    head_dim = int(config.get("head_dim") or hidden // heads)
    theta = float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    return Figures(
        architecture=str(config["model_type"]),
        layers=_whole(config, "num_hidden_layers"),
        hidden=hidden,
        ffn=_whole(config, "intermediate_size"),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=head_dim,
        context_length=_whole(config, "max_position_embeddings"),
        rope_theta=theta,
        rms_eps=float(config.get("rms_norm_eps", 1e-6)),
        rope_factors=rope_factors(rope, theta, head_dim // 2, what),
    )


def read_gemma3_figures(config: dict[str, Any], what: str) -> Figures:
    """Return a Gemma 3's numbers (``configuration_gemma3.py`` of transformers); refuse what is not built."""
    layers, head_dim = _whole(config, "num_hidden_layers"), _whole(config, "head_dim")
    for key, built in (
        ("hidden_activation", "gelu_pytorch_tanh"),
        ("attn_logit_softcapping", None),
        ("final_logit_softcapping", None),
        ("use_bidirectional_attention", False),
        ("attention_bias", False),
        ("tie_word_embeddings", True),
    ):
        if config.get(key, built) != built:
            raise SetupError(f"{what} has {key} = {config[key]!r}; the embedded engine's Gemma 3 has {built!r}")
    hidden, heads = _whole(config, "hidden_size"), _whole(config, "num_attention_heads")
    scale = hidden / heads if layers == LAYERS_OF_27B else head_dim
    if config.get("query_pre_attn_scalar", scale) != scale:
        raise SetupError(f"{what} scales its queries by {config['query_pre_attn_scalar']}; {scale:g} is what is built")
    ropes = config.get("rope_parameters") or {}  # transformers 5 keeps one entry a kind of layer
    rope = ropes.get("full_attention") or config.get("rope_scaling") or {}
    local_rope = ropes.get("sliding_attention") or {}
    theta = float(rope.get("rope_theta") or config.get("rope_theta") or 1_000_000.0)
    kinds = config.get("layer_types") or [
        "full_attention" if (layer + 1) % int(config.get("sliding_window_pattern") or 6) == 0 else "sliding_attention"
        for layer in range(layers)
    ]
    return Figures(
        architecture=GEMMA3,
        layers=layers,
        hidden=hidden,
        ffn=_whole(config, "intermediate_size"),
        heads=heads,
        kv_heads=_whole(config, "num_key_value_heads"),
        head_dim=head_dim,
        context_length=_whole(config, "max_position_embeddings"),
        rope_theta=theta,
        rms_eps=float(config.get("rms_norm_eps", 1e-6)),
        rope_factors=rope_factors(rope, theta, head_dim // 2, what),
        local=Local(
            window=_whole(config, "sliding_window"),
            layers=tuple(layer for layer, kind in enumerate(kinds) if kind == "sliding_attention"),
            rope_theta=float(local_rope.get("rope_theta") or config.get("rope_local_base_freq") or 10_000.0),
        ),
    )


def rope_factors(rope: dict[str, Any], theta: float, pairs: int, what: str) -> tuple[float, ...] | None:
    """Return what each rotary frequency is divided by, or None (``modeling_rope_utils.py`` of transformers).

    Raises:
        SetupError: a scaling that also changes the attention or depends on the prompt's length (yarn, dynamic, ...).
    """
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    factor = float(rope.get("factor", 1.0))
    if kind == "linear":
        return (factor,) * pairs
    if kind != "llama3":
        raise SetupError(
            f"{what} scales its rotary positions by '{kind}', which the embedded engine's network does not have (it "
            f"has linear and llama3). Export it to OpenVINO (optimum-cli export openvino) and import that folder"
        )
    try:
        low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
        length = float(rope["original_max_position_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{what} has a llama3 rope_scaling without a number under {error}") from None
    factors = []
    for i in range(pairs):
        turns = length / (2 * math.pi * theta ** (i / pairs))  # of this frequency within the original context
        smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
        factors.append(1.0 / ((1 - smooth) / factor + smooth))
    return tuple(factors)


def read_json_file(path: Path) -> dict[str, Any]:
    """Return a JSON object; InputError where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"'{path.parent}' has no {path.name}; a Hugging Face folder needs it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read as JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"'{path}' holds a {type(value).__name__} where an object is expected")
    return value


def weight_files(path: Path) -> tuple[Path, ...]:
    """Return the safetensors files: those of the index, or the one file."""
    index = path / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        names = sorted(set(map(str, dict(read_json_file(index).get("weight_map") or {}).values())))
    missing = [name for name in names if Path(name).name != name or not (path / name).is_file()]
    if missing or not names:
        raise InputError(f"'{path}' lacks the weights '{missing[0] if missing else 'model.safetensors'}'")
    return tuple(path / name for name in names)


def _tensors(slices: dict[str, Slice], figures: Figures, arch: MODEL_ARCH, *, tied: bool) -> tuple[Tensor, ...]:
    names = get_tensor_name_map(arch, figures.layers)
    out = []
    for source, piece in sorted(slices.items()):
        if source.endswith(".rotary_emb.inv_freq") or (tied and source == "lm_head.weight"):
            continue  # computed from the base; the same matrix as the embedding
        out.append(_tensor(_gguf_name(names, source), piece, figures))
    return tuple(out)


def _gguf_name(names: TensorNameMap, source: str) -> str:
    # An unknown name goes on as it is, so that the check for tensors that would be dropped names it.
    return names.get_name(source, try_suffixes=(".weight", ".bias")) or source


def _tensor(name: str, piece: Slice, figures: Figures) -> Tensor:
    part = name.split(".")[-2] if "." in name else name
    heads = {"attn_q": figures.heads, "attn_k": figures.kv_heads}.get(part)
    permuted = heads if figures.architecture == "llama" else None

    gemma_norm = figures.architecture == GEMMA3 and part.endswith("norm")  # GGUF has 1 + w of these

    def load() -> Array:
        values = piece.load().astype(np.float32) + 1 if gemma_norm else piece.load()
        return narrow(values if permuted is None else _interleave(values, permuted), name)

    return Tensor(name, piece.shape, load)


def _interleave(values: Array, heads: int) -> Array:
    """Reorder rows from halves to pairs: GGUF's llama rotates neighbours (``permute`` in convert_hf_to_gguf.py)."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def _checkpoint(path: Path, config: dict[str, Any], figures: Figures, tensors: tuple[Tensor, ...]) -> Checkpoint:
    tokenizer = path / "tokenizer.json"
    if not tokenizer.is_file():
        raise InputError(
            f"'{path}' has no tokenizer.json; save the model's fast tokenizer there "
            f"(AutoTokenizer.from_pretrained(...).save_pretrained(...))"
        )
    text = tokenizer.read_text(encoding="utf-8")
    rows = next((tensor.shape[0] for tensor in tensors if tensor.name == "token_embd.weight"), 0)
    vocabulary = vocabulary_of(text, rows)
    ids = token_ids(path, config, vocabulary.tokens)
    return Checkpoint(
        figures=figures,
        tensors=tensors,
        tokenizer_json=text,
        vocabulary=vocabulary,
        chat_template=chat_template(path),
        bos_token_id=ids.bos,
        eos_token_ids=ids.ends,
        pad_token_id=ids.pad,
        add_bos=ids.add_bos,
        title=config.get("_name_or_path") or None,
        licence=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIds:
    """The tokens that mean something to the engine."""

    bos: int | None
    """Opens a text."""
    ends: tuple[int, ...]
    """Every token that ends a turn or a text."""
    pad: int | None
    """Filler."""
    add_bos: bool
    """Whether tokenizer.json opens a text with ``bos``."""


def token_ids(path: Path, config: dict[str, Any], tokens: tuple[str, ...]) -> TokenIds:
    """Collect them from generation_config.json, config.json and tokenizer_config.json (bos, pad: in this order)."""
    generation = _optional(path / "generation_config.json")
    settings = _optional(path / "tokenizer_config.json")
    ends: set[int] = set()
    for place in (generation, config):
        value = place.get("eos_token_id")
        ends |= set(value) if isinstance(value, list) else {value} if isinstance(value, int) else set()
    positions = {token: i for i, token in enumerate(tokens)}
    named = _text_of(settings.get("eos_token"))
    ends |= {positions[text] for text in END_TEXTS | {named} if text in positions}
    bos = generation.get("bos_token_id", config.get("bos_token_id"))
    pad = generation.get("pad_token_id", config.get("pad_token_id"))
    if pad is None:
        pad = positions.get(_text_of(settings.get("pad_token")))
    return TokenIds(bos=bos, ends=tuple(sorted(ends)), pad=pad, add_bos=bool(settings.get("add_bos_token")))


def chat_template(path: Path) -> str | None:
    """Return the template of chat_template.jinja, chat_template.json or tokenizer_config.json, in this order."""
    jinja = path / "chat_template.jinja"
    if jinja.is_file():
        return jinja.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        value = _optional(path / name).get("chat_template")
        if isinstance(value, list):  # several named templates; "default" is the one for plain chats
            value = next((entry["template"] for entry in value if entry.get("name") == "default"), None)
        if isinstance(value, str):
            return value
    return None


def _optional(path: Path) -> dict[str, Any]:
    return read_json_file(path) if path.is_file() else {}


def _text_of(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _whole(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value < 1:
        raise InputError(f"config.json has {key} = {value!r}; a whole number above 0 is needed")
    return value
