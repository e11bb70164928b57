"""A model as read from its source, before it becomes an IR folder: figures, tensors under GGUF names, vocabulary.

Readers (``gguf_source``, ``huggingface``) make a ``Checkpoint``; ``convert`` writes it. Nothing here touches a disk.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cput.errors import SetupError

READABLE = ("llama", "qwen2", "qwen3", "gemma3")
"""Architectures that the embedded engine's networks are built for: openvino-genai's GGUF reader builds the first three
(``create_from_gguf`` in its gguf_modeling.cpp), ``gemma3`` is built here."""
GEMMA3 = "gemma3"

Array = npt.NDArray[Any]

_BLOCK = r"blk\.\d+\."
_KNOWN_TENSORS = re.compile(
    rf"^(token_embd\.weight|output_norm\.weight|output\.(weight|bias)"
    rf"|{_BLOCK}(attn_norm|ffn_norm|attn_q_norm|attn_k_norm)\.weight"
    rf"|{_BLOCK}(attn_q|attn_k|attn_v|attn_output|ffn_gate|ffn_up|ffn_down)\.(weight|bias))$"
)
_GEMMA3_NORMS = ("attn_q_norm", "attn_k_norm", "post_attention_norm", "post_ffw_norm")
_GEMMA3_TENSORS = re.compile(
    rf"^(token_embd|output_norm|{_BLOCK}(attn_norm|ffn_norm|{'|'.join(_GEMMA3_NORMS)}"
    rf"|attn_q|attn_k|attn_v|attn_output|ffn_gate|ffn_up|ffn_down))\.weight$"
)

# Texts that end a turn in the families that the embedded engine reads; llama.cpp keeps such a list for the same reason:
# many files name only one of the two or three tokens their model really stops with.
END_TEXTS = frozenset(
    {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "</s>", "<|end|>", "<end_of_turn>"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """Layers that look only at the tokens nearby, as Gemma 3 has them."""

    window: int
    """Tokens that such a layer looks at, the asking one included."""
    layers: tuple[int, ...]
    """Which layers they are, from 0; the others look at everything."""
    rope_theta: float
    """Base of their rotary frequencies; long-context scaling is for the others only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The numbers that define the network."""

    architecture: str
    """As GGUF spells it."""
    layers: int
    """Transformer blocks."""
    hidden: int
    """Width of the residual stream."""
    ffn: int
    """Width of the feed-forward layer."""
    heads: int
    """Query heads."""
    kv_heads: int
    """Key-value heads."""
    head_dim: int
    """Width of one head."""
    context_length: int
    """Positions the model was made for."""
    rope_theta: float
    """Base of the rotary frequencies."""
    rms_eps: float
    """Added under the root of the norms."""
    rope_factors: tuple[float, ...] | None = None
    """What each of the ``head_dim / 2`` rotary frequencies is divided by (long-context scaling); None is 1."""
    local: Local | None = None
    """Layers with a sliding window; None where every layer looks at everything."""

    @property
    def rope_frequencies(self) -> list[float]:
        """Rotary frequencies, radians per position: ``theta^(-2i / head_dim) / factor_i``."""
        pairs = self.head_dim // 2
        factors = self.rope_factors or (1.0,) * pairs
        return [self.rope_theta ** (-i / pairs) / factor for i, factor in enumerate(factors)]

    @property
    def local_frequencies(self) -> list[float]:
        """Rotary frequencies of local layers, or those of all layers where none is local."""
        if self.local is None:
            return self.rope_frequencies
        pairs = self.head_dim // 2
        return [self.local.rope_theta ** (-i / pairs) for i in range(pairs)]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One weight, read when it is needed so that a model never lies in memory twice."""

    name: str
    """GGUF name, e.g. ``blk.0.attn_q.weight``."""
    shape: tuple[int, ...]
    """Rows first, as numpy has it."""
    load: Callable[[], Array]
    """Returns the values in float16, or float32 for one-dimensional tensors (norms and biases)."""

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """A tokenizer in the words of GGUF; ids are positions."""

    tokens: tuple[str, ...]
    """Token texts in the byte-level alphabet of GPT-2."""
    merges: tuple[str, ...]
    """``left right`` in order of rank."""
    types: tuple[int, ...]
    """1 normal, 3 control, 4 user-defined, 5 unused, 6 byte."""
    pre: str
    """Name of the pre-tokenizer in llama.cpp's list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that an IR folder is made from."""

    figures: Figures
    """The network."""
    tensors: tuple[Tensor, ...]
    """All weights under GGUF names."""
    tokenizer_json: str
    """A Hugging Face ``tokenizers`` file."""
    vocabulary: Vocabulary
    """The same vocabulary for openvino-genai's grammars."""
    chat_template: str | None
    """Jinja source, or None."""
    bos_token_id: int | None
    """Token that opens a text."""
    eos_token_ids: tuple[int, ...]
    """Tokens that end a turn or a text, sorted."""
    pad_token_id: int | None
    """Filler."""
    add_bos: bool
    """Whether raw texts are opened with the bos token."""
    title: str | None
    """The model's own name, if the source has one."""
    licence: str | None
    """As the source states it."""

    @property
    def parameters(self) -> int:
        """Weights in all; tied embeddings are one tensor and count once."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding."""
        return next(tensor.shape[0] for tensor in self.tensors if tensor.name == "token_embd.weight")


def refuse_architecture(architecture: str, what: str) -> SetupError:
    """Return the error for a network that the embedded engine cannot build, with what can serve it."""
    return SetupError(
        f"{what} has the architecture '{architecture}', which the embedded engine cannot read (it reads "
        f"{', '.join(READABLE)}). {serve_elsewhere()}"
    )


def serve_elsewhere() -> str:
    """Return the way out for a model that only other engines can serve."""
    return (
        "Serve it with llama-server, vLLM or Ollama and measure it there: "
        "cput measure WORKLOAD --engine openai --base-url http://localhost:8080/v1"
    )


def check_tensors(names: list[str], figures: Figures, what: str) -> None:
    """Refuse a model with tensors that the reader would silently drop, or without ones it needs.

    Raises:
        SetupError: dropped weights (rope factors, experts, sinks) would give wrong answers, not an error.
    """
    known = _GEMMA3_TENSORS if figures.architecture == GEMMA3 else _KNOWN_TENSORS
    foreign = [name for name in names if not known.match(name)]
    if foreign:
        raise SetupError(
            f"{what} has {len(foreign)} tensors that the embedded engine would ignore (first: '{foreign[0]}'), so its "
            f"answers would be wrong. {serve_elsewhere()}"
        )
    parts = ["attn_norm", "ffn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    parts += _GEMMA3_NORMS if figures.architecture == GEMMA3 else ()
    needed = {"token_embd.weight", "output_norm.weight"}
    needed |= {f"blk.{layer}.{part}.weight" for layer in range(figures.layers) for part in parts}
    missing = sorted(needed - set(names))
    if missing:
        raise SetupError(f"{what} lacks {len(missing)} tensors (first: '{missing[0]}'); the file is not whole")


def narrow(values: Array, name: str) -> Array:
    """Return float16 for matrices and float32 for vectors; refuse what float16 cannot hold.

    Raises:
        SetupError: a weight that is not finite in float16 (|w| > 65504, or already not a number).
    """
    if values.ndim < 2:
        return np.ascontiguousarray(values, dtype=np.float32)
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(values, dtype=np.float16)
    if not np.isfinite(half).all():
        raise SetupError(f"tensor '{name}' has values that float16 cannot hold (beyond 65504, or not finite)")
    return half
