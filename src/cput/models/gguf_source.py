"""Reads a GGUF file (or its shards) of any quantization that ``gguf.dequantize`` knows into a ``Checkpoint``.

Blocks are dequantized here, exactly as the format defines them, because openvino-genai's own readers of the quantized
types change the weights: SmolLM2-135M in Q4_1 degenerates through them and answers well through float16.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFReader, dequantize

from cput.errors import InputError, SetupError
from cput.models.checkpoint import (
    END_TEXTS,
    GEMMA3,
    READABLE,
    Array,
    Checkpoint,
    Figures,
    Local,
    Tensor,
    Vocabulary,
    check_tensors,
    narrow,
    refuse_architecture,
)
from cput.models.tokenizer import from_gpt2_vocabulary, from_sentencepiece_vocabulary

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
CONTROL = 3
GEMMA3_PERIOD = 6
"""Every sixth layer of Gemma 3 looks at everything."""
ROPE_FACTORS = "rope_freqs.weight"
"""The tensor by which llama.cpp divides rotary frequencies (Llama 3.1 and later)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a GGUF file says of itself, for files that are only stored."""

    architecture: str
    """As the file spells it."""
    title: str | None
    """``general.name``."""
    licence: str | None
    """``general.license``."""
    precision: str
    """The tensor type that holds most weights, e.g. Q4_K."""
    parameters: int
    """Weights in all."""
    figures: Figures
    """The network's numbers."""
    vocab_size: int
    """Tokens."""
    chat_template: str | None
    """Jinja source, or None."""


class GgufFile:
    """An open GGUF file with its shards. Tensors are memory-mapped; ``value`` reads metadata."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._readers = [_open(part) for part in shards(path)]

    def value(self, key: str, default: Any = None) -> Any:
        """Return the metadata under ``key``; ``{arch}`` in it stands for the architecture."""
        key = key.replace("{arch}", self.architecture) if "{arch}" in key else key
        field = self._readers[0].fields.get(key)
        return default if field is None else field.contents()

    @property
    def architecture(self) -> str:
        """``general.architecture``."""
        field = self._readers[0].fields.get("general.architecture")
        if field is None:
            raise InputError(f"'{self.path}' has no general.architecture; it is not a language model's GGUF")
        return str(field.contents())

    @property
    def raw_tensors(self) -> list[Any]:
        """The reader's tensors over all shards."""
        return [tensor for reader in self._readers for tensor in reader.tensors]

    def figures(self) -> Figures:
        """Return the network's numbers; InputError names a key that is missing."""
        hidden, heads = self._number("{arch}.embedding_length"), self._number("{arch}.attention.head_count")
        head_dim = int(self.value("{arch}.attention.key_length") or hidden // heads)
        layers = self._number("{arch}.block_count")
        return Figures(
            architecture=self.architecture,
            layers=layers,
            hidden=hidden,
            ffn=self._number("{arch}.feed_forward_length"),
            heads=heads,
            kv_heads=self._number("{arch}.attention.head_count_kv", heads),
            head_dim=head_dim,
            context_length=self._number("{arch}.context_length"),
            rope_theta=float(self.value("{arch}.rope.freq_base", 10000.0)),
            rms_eps=float(self.value("{arch}.attention.layer_norm_rms_epsilon", 1e-5)),
            rope_factors=self._rope_factors(head_dim // 2),
            local=self._local(layers) if self.architecture == GEMMA3 else None,
        )

    def _local(self, layers: int) -> Local | None:
        window = int(self.value("{arch}.attention.sliding_window", 0))
        if not window:
            return None
        # Most files leave these two out; llama.cpp's defaults for gemma3 (llama-model.cpp) are what the models have.
        pattern = self.value("{arch}.attention.sliding_window_pattern", GEMMA3_PERIOD)
        local = pattern if isinstance(pattern, list) else [(layer + 1) % pattern != 0 for layer in range(layers)]
        return Local(
            window=window,
            layers=tuple(layer for layer, is_local in enumerate(local) if is_local),
            rope_theta=float(self.value("{arch}.rope.freq_base_swa", 10000.0)),
        )

    def _rope_factors(self, pairs: int) -> tuple[float, ...] | None:
        for tensor in self.raw_tensors:
            if tensor.name == ROPE_FACTORS:
                return tuple(float(factor) for factor in tensor.data)
        if self.value("{arch}.rope.scaling.type") == "linear":
            return (float(self.value("{arch}.rope.scaling.factor", 1.0)),) * pairs
        return None

    def _number(self, key: str, default: int | None = None) -> int:
        value = self.value(key, default)
        if not isinstance(value, int):
            raise InputError(f"'{self.path}' has no whole number under {key.replace('{arch}', self.architecture)}")
        return value

    def summary(self) -> Summary:
        """Return what the file says of itself."""
        sizes: Counter[str] = Counter()
        for tensor in self.raw_tensors:
            # Embeddings are often kept finer than the rest and outweigh it in small models; blocks name the file.
            in_block = tensor.name.startswith("blk.")
            sizes[tensor.tensor_type.name] += int(tensor.n_elements) if in_block else 0
        return Summary(
            architecture=self.architecture,
            title=self.value("general.name"),
            licence=self.value("general.license"),
            precision=sizes.most_common(1)[0][0] if sizes else "unknown",
            parameters=sum(int(tensor.n_elements) for tensor in self.raw_tensors),
            figures=self.figures(),
            vocab_size=len(self.value("tokenizer.ggml.tokens", ())),
            chat_template=self.value("tokenizer.chat_template"),
        )


def shards(path: Path) -> tuple[Path, ...]:
    """Return all parts of a split GGUF, or the file itself.

    Raises:
        InputError: a part is missing.
    """
    match = _SHARD.search(path.name)
    if match is None:
        return (path,)
    total = int(match[2])
    parts = tuple(
        path.with_name(_SHARD.sub(f"-{number:05d}-of-{total:05d}.gguf", path.name)) for number in range(1, total + 1)
    )
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise InputError(f"'{path.name}' is one of {total} parts and '{missing[0]}' is missing in '{path.parent}'")
    return parts


def read_gguf(path: Path) -> Checkpoint:
    """Read a language model's GGUF.

    Raises:
        InputError: not a GGUF, or one without the metadata of a language model.
        SetupError: a network or tokenizer that the embedded engine cannot take.
    """
    file = GgufFile(path)
    what = f"'{path.name}'"
    if file.architecture not in READABLE:
        raise refuse_architecture(file.architecture, what)
    figures = file.figures()
    _refuse_scaling(file, figures, what)
    raw = [tensor for tensor in file.raw_tensors if tensor.name != ROPE_FACTORS]
    check_tensors([tensor.name for tensor in raw], figures, what)
    vocabulary, tokenizer_json = _tokenizer(file, what)
    return Checkpoint(
        figures=figures,
        tensors=tuple(_tensor(tensor) for tensor in raw),
        tokenizer_json=tokenizer_json,
        vocabulary=vocabulary,
        chat_template=file.value("tokenizer.chat_template"),
        bos_token_id=file.value("tokenizer.ggml.bos_token_id"),
        eos_token_ids=_end_ids(file),
        pad_token_id=file.value("tokenizer.ggml.padding_token_id"),
        add_bos=bool(file.value("tokenizer.ggml.add_bos_token", _default_add_bos(file))),
        title=file.value("general.name"),
        licence=file.value("general.license"),
    )


def _open(path: Path) -> GGUFReader:
    try:
        return GGUFReader(path)
    except FileNotFoundError:
        raise InputError(f"'{path}' does not exist") from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, OSError, MemoryError) as error:
        # The reader trusts lengths inside the file; a cut or foreign file fails in any of these ways.
        raise InputError(f"'{path}' is not a whole GGUF file ({error})") from None


def _refuse_scaling(file: GgufFile, figures: Figures, what: str) -> None:
    scaling = file.value("{arch}.rope.scaling.type")
    if scaling not in {None, "none", "linear"}:
        raise SetupError(
            f"{what} scales its rotary positions by '{scaling}', which the embedded engine's network does not have (it "
            f"has linear and llama3). Import an OpenVINO export of the model, or serve it with llama-server"
        )
    rotated = file.value("{arch}.rope.dimension_count")
    if rotated not in {None, figures.head_dim}:
        raise SetupError(f"{what} rotates {rotated} of {figures.head_dim} dimensions per head; only all of them works")
    for key in ("{arch}.attn_logit_softcapping", "{arch}.final_logit_softcapping"):
        if file.value(key):
            raise SetupError(
                f"{what} caps its logits ({key.format(arch=file.architecture)}), which no network here does"
            )
    experts = file.value("{arch}.expert_count")
    if experts:
        raise refuse_architecture(f"{figures.architecture} with {experts} experts", what)


def _tensor(raw: Any) -> Tensor:
    shape = tuple(int(size) for size in reversed(raw.shape))

    def load() -> Array:
        return narrow(dequantize(raw.data, raw.tensor_type).reshape(shape), raw.name)

    return Tensor(raw.name, shape, load)


def _tokenizer(file: GgufFile, what: str) -> tuple[Vocabulary, str]:
    kind = file.value("tokenizer.ggml.model")
    tokens = file.value("tokenizer.ggml.tokens")
    if kind is None or not tokens:
        raise InputError(f"{what} carries no tokenizer; import the Hugging Face folder of the model instead")
    types = tuple(file.value("tokenizer.ggml.token_type") or (1,) * len(tokens))
    add_bos = bool(file.value("tokenizer.ggml.add_bos_token", _default_add_bos(file)))
    bos = file.value("tokenizer.ggml.bos_token_id") if add_bos else None
    if kind == "gpt2":
        vocabulary = Vocabulary(
            tokens=tuple(tokens),
            merges=tuple(file.value("tokenizer.ggml.merges", ())),
            types=types,
            pre=file.value("tokenizer.ggml.pre", "default"),
        )
        return vocabulary, from_gpt2_vocabulary(vocabulary, bos)
    if kind == "llama":
        scores = tuple(file.value("tokenizer.ggml.scores") or ())
        space_prefix = bool(file.value("tokenizer.ggml.add_space_prefix", True))
        return from_sentencepiece_vocabulary(tuple(tokens), scores, types, bos=bos, space_prefix=space_prefix)
    raise SetupError(
        f"{what} has a tokenizer of the kind '{kind}'; the kinds read from GGUF are gpt2 and llama. "
        f"Import the Hugging Face folder of the model, whose tokenizer.json is taken as it is"
    )


def _default_add_bos(file: GgufFile) -> bool:
    # llama.cpp's defaults (llama-vocab.cpp): SentencePiece opens with bos, and so does Llama 3's BPE.
    return file.value("tokenizer.ggml.model") == "llama" or file.value("tokenizer.ggml.pre") in {"llama-bpe", "llama3"}


def _end_ids(file: GgufFile) -> tuple[int, ...]:
    keys = ("eos_token_id", "eot_token_id", "eom_token_id")
    ids = {file.value(f"tokenizer.ggml.{key}") for key in keys} | set(file.value("tokenizer.ggml.eos_token_ids") or ())
    types = file.value("tokenizer.ggml.token_type") or ()
    tokens = file.value("tokenizer.ggml.tokens", ())
    ids |= {
        i for i, (text, kind) in enumerate(zip(tokens, types, strict=False)) if kind == CONTROL and text in END_TEXTS
    }
    return tuple(sorted(int(i) for i in ids if i is not None))
