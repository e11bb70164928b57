"""A tiny random Gemma 3 for tests: its GGUF, and its logits by numpy alone.

The forward pass follows the formulas of transformers' modeling_gemma3.py, whose norms multiply by 1 + w; a GGUF holds
1 + w (convert_hf_to_gguf.py). Four layers, of which the third looks at everything and the others at 12 tokens.
"""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN = 64, 4, 4, 1, 32, 96
WINDOW, PERIOD, THETA, LOCAL_THETA, EPS = 12, 3, 50_000.0, 10_000.0, 1e-6
TOKENS = (
    *("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "\n", "  ", "   "),
    *(f"<0x{byte:02X}>" for byte in range(256)),
    *("▁", *"abcdefghijklmnopqrstuvwxyz", "▁h", "▁hi", "hi", "▁he", "ll", "▁hell", "▁hello", "你", "好", "你好"),
)
TYPES = (3, 3, 3, 3, 3, 3, 4, 4, 4, *(6,) * 256, *(1,) * (len(TOKENS) - 265))
SCORES = tuple(-float(i) for i in range(len(TOKENS)))
EOS, BOS, END_OF_TURN = 1, 2, 5
TEMPLATE = (
    "{{ bos_token }}{% set system = messages[0]['content'] + '\n\n' if messages[0]['role'] == 'system' else '' %}"
    "{% for m in messages if m['role'] != 'system' %}<start_of_turn>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ system if loop.first else '' }}{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def random_weights(seed=0):
    """Return float32 weights under GGUF names, norms as transformers has them (around 0); float16 holds all exactly."""
    rng = np.random.default_rng(seed)

    def values(*shape, scale):
        return rng.normal(0, scale, shape).astype(np.float16).astype(np.float32)

    out = {"token_embd.weight": values(len(TOKENS), HIDDEN, scale=0.3), "output_norm.weight": values(HIDDEN, scale=0.2)}
    for layer in range(LAYERS):
        at = f"blk.{layer}"
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            out[f"{at}.{norm}.weight"] = values(HIDDEN, scale=0.2)
        for norm in ("attn_q_norm", "attn_k_norm"):
            out[f"{at}.{norm}.weight"] = values(HEAD_DIM, scale=0.2)
        out[f"{at}.attn_q.weight"] = values(HEADS * HEAD_DIM, HIDDEN, scale=0.3)
        out[f"{at}.attn_k.weight"] = values(KV_HEADS * HEAD_DIM, HIDDEN, scale=0.3)
        out[f"{at}.attn_v.weight"] = values(KV_HEADS * HEAD_DIM, HIDDEN, scale=0.3)
        out[f"{at}.attn_output.weight"] = values(HIDDEN, HEADS * HEAD_DIM, scale=0.3)
        out[f"{at}.ffn_gate.weight"] = values(FFN, HIDDEN, scale=0.3)
        out[f"{at}.ffn_up.weight"] = values(FFN, HIDDEN, scale=0.3)
        out[f"{at}.ffn_down.weight"] = values(HIDDEN, FFN, scale=0.3)
    return out


def write_gguf(path: Path, weights, *, template: str | None = TEMPLATE, values=None, extra=(), without=()) -> None:
    """Write the weights with float16 matrices; ``values`` adds metadata, ``extra`` and ``without`` tensors by name."""
    writer = GGUFWriter(path, "gemma3")
    writer.add_file_type(1)
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_freq_base(THETA)
    writer.add_layer_norm_rms_eps(EPS)
    writer.add_sliding_window(WINDOW)
    for key, value in {"gemma3.attention.sliding_window_pattern": PERIOD, **(values or {})}.items():
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, list: writer.add_array}
        add[type(value)](key, value)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(TOKENS))
    writer.add_token_scores(list(SCORES))
    writer.add_token_types(list(TYPES))
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    if template is not None:
        writer.add_chat_template(template)
    for name, data in {**weights, **{name: np.ones(4, np.float32) for name in extra}}.items():
        if name in without:
            continue
        stored = data + 1 if "norm" in name else data
        writer.add_tensor(name, stored if data.ndim == 1 else stored.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def reference_logits(weights, ids, *, window: int | None = WINDOW, scaling: float = 1.0):
    """Return the logits [tokens, vocab] in float64; ``scaling`` divides the frequencies of layers that see all."""
    w = {name: values.astype(np.float64) for name, values in weights.items()}
    slots = np.arange(len(ids))
    ahead, behind = slots[None, :] > slots[:, None], slots[:, None] - slots[None, :]

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * (1 + w[f"{name}.weight"])

    def rotate(x, frequencies):
        angles = np.outer(slots, frequencies)
        cos, sin = (np.concatenate([f(angles)] * 2, -1)[:, None, :] for f in (np.cos, np.sin))
        half = HEAD_DIM // 2
        return x * cos + np.concatenate([-x[..., half:], x[..., :half]], -1) * sin

    x = w["token_embd.weight"][ids] * np.sqrt(HIDDEN)
    for layer in range(LAYERS):
        at = f"blk.{layer}"
        local = (layer + 1) % PERIOD != 0
        frequencies = (LOCAL_THETA if local else THETA) ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        frequencies = frequencies if local else frequencies / scaling
        h = norm(x, f"{at}.attn_norm")
        q, k, v = (
            (h @ w[f"{at}.attn_{part}.weight"].T).reshape(len(ids), heads, HEAD_DIM)
            for part, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS))
        )
        q = rotate(norm(q, f"{at}.attn_q_norm"), frequencies)
        k = rotate(norm(k, f"{at}.attn_k_norm"), frequencies)
        k, v = (np.repeat(part, HEADS // KV_HEADS, axis=1) for part in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(HEAD_DIM)
        scores[:, ahead | (behind >= window) if local and window else ahead] = -np.inf
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        seen = np.einsum("hij,jhd->ihd", share, v).reshape(len(ids), -1) @ w[f"{at}.attn_output.weight"].T
        x = x + norm(seen, f"{at}.post_attention_norm")
        h = norm(x, f"{at}.ffn_norm")
        gate, up = (h @ w[f"{at}.ffn_{part}.weight"].T for part in ("gate", "up"))
        gelu = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        x = x + norm((gelu * up) @ w[f"{at}.ffn_down.weight"].T, f"{at}.post_ffw_norm")
    return norm(x, "output_norm") @ w["token_embd.weight"].T


def log_probabilities(logits):
    """Return the logits less the logarithm of their exponentials' sum."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
