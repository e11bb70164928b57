"""Tiny random models for tests: a Hugging Face folder, and its logits by numpy alone (the reference for conversion).

The forward pass follows the formulas of transformers' modeling_llama.py, modeling_qwen2.py and modeling_qwen3.py.
"""

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

HIDDEN, LAYERS, HEADS, KV_HEADS, FFN = 64, 2, 4, 2, 128
WORDS = ("hello", " world", " token", " cost")


def byte_level_tokenizer() -> Tokenizer:
    """Return a byte-level BPE of 256 bytes, a few words and three control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: i for i, character in enumerate(alphabet)}
    merges = []
    for word in (text.replace(" ", "Ġ") for text in WORDS):
        left = word[0]
        for right in word[1:]:
            if left + right not in vocab:
                vocab[left + right] = len(vocab)
                merges.append((left, right))
            left += right
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return tokenizer


def bfloat16(values):
    """Return float32 values rounded towards zero to bfloat16, and their 16 bits."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16
    return (bits << 16).view(np.float32), bits.astype("<u2")


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], dtype: str) -> None:
    """Write a file by the format's description, independently of the reader under test."""
    header, blobs, offset = {}, [], 0
    for name, values in tensors.items():
        blob = (
            bfloat16(values)[1].tobytes()
            if dtype == "BF16"
            else values.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
        )
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def random_weights(model_type: str, *, tied: bool, head_dim: int, vocab: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def matrix(rows, columns):
        # Values that both bfloat16 and float16 hold exactly, so that the comparison sees the conversion, not rounding.
        return bfloat16(rng.normal(0, 0.3, (rows, columns)).astype(np.float16).astype(np.float32))[0]

    def vector(size, mean):
        return bfloat16(rng.normal(mean, 0.2, size).astype(np.float32))[0]

    out = {"model.embed_tokens.weight": matrix(vocab, HIDDEN), "model.norm.weight": vector(HIDDEN, 1.0)}
    if not tied:
        out["lm_head.weight"] = matrix(vocab, HIDDEN)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        rows = {"q_proj": HEADS * head_dim, "k_proj": KV_HEADS * head_dim, "v_proj": KV_HEADS * head_dim}
        for part, size in rows.items():
            out[f"{at}.self_attn.{part}.weight"] = matrix(size, HIDDEN)
            if model_type == "qwen2":
                out[f"{at}.self_attn.{part}.bias"] = vector(size, 0.0)
        out[f"{at}.self_attn.o_proj.weight"] = matrix(HIDDEN, HEADS * head_dim)
        if model_type == "qwen3":
            out[f"{at}.self_attn.q_norm.weight"] = vector(head_dim, 1.0)
            out[f"{at}.self_attn.k_norm.weight"] = vector(head_dim, 1.0)
        out[f"{at}.mlp.gate_proj.weight"] = matrix(FFN, HIDDEN)
        out[f"{at}.mlp.up_proj.weight"] = matrix(FFN, HIDDEN)
        out[f"{at}.mlp.down_proj.weight"] = matrix(HIDDEN, FFN)
        out[f"{at}.input_layernorm.weight"] = vector(HIDDEN, 1.0)
        out[f"{at}.post_attention_layernorm.weight"] = vector(HIDDEN, 1.0)
    return out


def write_hf_folder(
    folder: Path,
    model_type: str = "llama",
    *,
    dtype: str = "BF16",
    tied: bool = False,
    shards: int = 1,
    head_dim: int = 16,
    rope: dict | None = None,
    extra: dict | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Write a Hugging Face folder and return its weights in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = byte_level_tokenizer()
    vocab = tokenizer.get_vocab_size() + 5  # embeddings are often padded beyond the tokenizer
    weights = random_weights(model_type, tied=tied, head_dim=head_dim, vocab=vocab, seed=seed)
    config = {
        "model_type": model_type,
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": head_dim,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        **({"rope_theta": 5000.0} if rope is None else rope),
        **(extra or {}),
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"pad_token_id": tokenizer.token_to_id("<|endoftext|>")}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": "{{ messages[0]['content'] }}", "eos_token": "<|im_end|>"})
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = list(weights)
    if shards == 1:
        write_safetensors(folder / "model.safetensors", weights, dtype)
        return weights
    files = {name: f"model-{i % shards + 1:05d}-of-{shards:05d}.safetensors" for i, name in enumerate(names)}
    for file in sorted(set(files.values())):
        write_safetensors(folder / file, {name: weights[name] for name in names if files[name] == file}, dtype)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return weights


def reference_logits(
    weights: dict[str, np.ndarray], ids: list[int], *, head_dim: int = 16, frequencies=None, eps: float = 1e-5
):
    """Return the logits [tokens, vocab] in float64."""
    w = {name: values.astype(np.float64) for name, values in weights.items()}

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[name]

    def project(x, name):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    if frequencies is None:
        frequencies = 5000.0 ** (-np.arange(0, head_dim, 2) / head_dim)
    angles = np.outer(np.arange(len(ids)), frequencies)
    cos, sin = (np.concatenate([f(angles)] * 2, -1)[:, None, :] for f in (np.cos, np.sin))

    def rotate(x):
        half = head_dim // 2
        return x * cos + np.concatenate([-x[..., half:], x[..., :half]], -1) * sin

    x = w["model.embed_tokens.weight"][ids]
    future = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        h = norm(x, f"{at}.input_layernorm.weight")
        q = project(h, f"{at}.self_attn.q_proj").reshape(len(ids), HEADS, head_dim)
        k = project(h, f"{at}.self_attn.k_proj").reshape(len(ids), KV_HEADS, head_dim)
        v = project(h, f"{at}.self_attn.v_proj").reshape(len(ids), KV_HEADS, head_dim)
        if f"{at}.self_attn.q_norm.weight" in w:
            q, k = norm(q, f"{at}.self_attn.q_norm.weight"), norm(k, f"{at}.self_attn.k_norm.weight")
        q, k = rotate(q), rotate(k)
        k, v = (np.repeat(part, HEADS // KV_HEADS, axis=1) for part in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(head_dim) + future
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        x = x + project(np.einsum("hij,jhd->ihd", share, v).reshape(len(ids), -1), f"{at}.self_attn.o_proj")
        h = norm(x, f"{at}.post_attention_layernorm.weight")
        gate = project(h, f"{at}.mlp.gate_proj")
        x = x + project(gate / (1 + np.exp(-gate)) * project(h, f"{at}.mlp.up_proj"), f"{at}.mlp.down_proj")
    return norm(x, "model.norm.weight") @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def ir_logits(folder: Path, ids: list[int]) -> np.ndarray:
    """Return the logits [tokens, vocab] of an IR folder in float32 arithmetic."""
    import openvino as ov

    core = ov.Core()
    model = core.compile_model(
        core.read_model(folder / "openvino_model.xml"),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"},
    )
    n = len(ids)
    inputs = {
        "input_ids": np.array([ids], np.int64),
        "attention_mask": np.ones((1, n), np.int64),
        "position_ids": np.arange(n, dtype=np.int64)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
    return model.create_infer_request().infer(inputs)["logits"][0].copy()
