"""BERT encoders as OpenVINO networks, built from their weights: no torch, no exporter.

    model = network(figures, weights, pooling="mean", normalize=True)

Inputs ``input_ids`` and ``attention_mask`` (int64, texts x tokens), output ``sentence_embedding`` (float32, texts x
hidden). The arithmetic is that of ``modeling_bert.py`` of transformers, with the pooling of sentence-transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cput.errors import InputError, SetupError
from cput.models.checkpoint import Array

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "sentence_embedding"
POOLINGS = ("mean", "cls")
_ROOT_FLOOR = 1e-12  # torch.nn.functional.normalize
_COUNT_FLOOR = 1e-9  # sentence_transformers.models.Pooling


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFigures:
    """The numbers that define a BERT encoder."""

    layers: int
    """Transformer blocks."""
    hidden: int
    """Width of the residual stream, and of a vector."""
    heads: int
    """Attention heads per block."""
    positions: int
    """Rows of the position embedding: the most tokens of a text."""
    vocab_size: int
    """Rows of the word embedding."""
    norm_eps: float
    """Added under the root of the norms."""


def read_figures(config: Mapping[str, Any], what: str) -> EncoderFigures:
    """Return a ``config.json``'s numbers.

    Raises:
        InputError: one is missing.
        SetupError: a variant that is not built here (relative positions, another activation).
    """
    kind, activation = config.get("position_embedding_type", "absolute"), config.get("hidden_act", "gelu")
    if kind != "absolute" or activation != "gelu":
        raise SetupError(
            f"{what} has {kind} positions and the activation '{activation}'; an encoder with absolute positions and "
            f"gelu can be built. Export it to OpenVINO (optimum-cli export openvino) and serve it elsewhere"
        )
    try:
        return EncoderFigures(
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            heads=int(config["num_attention_heads"]),
            positions=int(config["max_position_embeddings"]),
            vocab_size=int(config["vocab_size"]),
            norm_eps=float(config["layer_norm_eps"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"config.json of {what} lacks a number: {error!r}") from None


def network(figures: EncoderFigures, weights: Mapping[str, Array], *, pooling: str, normalize: bool) -> Any:
    """Return the network; ``weights`` go by their names in a Hugging Face folder, without the prefix ``bert.``.

    Raises:
        InputError: a weight is missing or has another shape than the figures say.
    """
    return _Builder(figures, weights).model(pooling, normalize=normalize)


class _Builder:
    """Puts the nodes together, top down."""

    def __init__(self, figures: EncoderFigures, weights: Mapping[str, Array]) -> None:
        import openvino.opset13 as ops

        self._ops = ops
        self._figures = figures
        self._weights = weights

    def model(self, pooling: str, *, normalize: bool) -> Any:
        import openvino

        ids, mask = (self._ops.parameter([-1, -1], np.int64, name) for name in INPUTS)
        for node, name in zip((ids, mask), INPUTS, strict=True):
            node.output(0).set_names({name})
        hidden = self._embedded(ids)
        allowed = self._allowed(mask)
        for layer in range(self._figures.layers):
            hidden = self._block(f"encoder.layer.{layer}", hidden, allowed)
        pooled = pool(self._ops, hidden, mask, pooling, normalize=normalize)
        return openvino.Model([pooled], [ids, mask], "encoder")

    def _embedded(self, ids: Any) -> Any:
        ops, zero = self._ops, self._whole(0)
        length = ops.gather(ops.shape_of(ids), self._whole(1), zero)
        positions = ops.range(zero, length, self._whole(1), "i64")
        words = ops.gather(self._table("embeddings.word_embeddings", self._figures.vocab_size), ids, zero)
        places = ops.gather(self._table("embeddings.position_embeddings", self._figures.positions), positions, zero)
        segment = ops.constant(self._weight("embeddings.token_type_embeddings.weight")[0])  # every token is of text A
        return self._norm("embeddings.LayerNorm", ops.add(ops.add(words, places), segment))

    def _allowed(self, mask: Any) -> Any:
        """Return where a token may look, as (texts, 1, 1, tokens)."""
        ops = self._ops
        return ops.convert(ops.unsqueeze(mask, ops.constant(np.array([1, 2], np.int64))), "boolean")

    def _block(self, name: str, hidden: Any, allowed: Any) -> Any:
        ops = self._ops
        query, key, value = (self._heads(f"{name}.attention.self.{part}", hidden) for part in ("query", "key", "value"))
        seen = ops.scaled_dot_product_attention(query, key, value, allowed)
        together = ops.transpose(seen, ops.constant(np.array([0, 2, 1, 3], np.int64)))
        flat = ops.reshape(together, ops.constant(np.array([0, 0, self._figures.hidden], np.int64)), special_zero=True)
        attended = self._linear(f"{name}.attention.output.dense", flat)
        hidden = self._norm(f"{name}.attention.output.LayerNorm", ops.add(attended, hidden))
        wide = ops.gelu(self._linear(f"{name}.intermediate.dense", hidden), "erf")
        narrow = self._linear(f"{name}.output.dense", wide)
        return self._norm(f"{name}.output.LayerNorm", ops.add(narrow, hidden))

    def _heads(self, name: str, hidden: Any) -> Any:
        ops, heads = self._ops, self._figures.heads
        split = np.array([0, 0, heads, self._figures.hidden // heads], np.int64)
        apart = ops.reshape(self._linear(name, hidden), ops.constant(split), special_zero=True)
        return ops.transpose(apart, ops.constant(np.array([0, 2, 1, 3], np.int64)))

    def _linear(self, name: str, hidden: Any) -> Any:
        ops = self._ops
        matrix, offset = ops.constant(self._weight(f"{name}.weight")), ops.constant(self._weight(f"{name}.bias"))
        return ops.add(ops.matmul(hidden, matrix, False, True), offset)

    def _norm(self, name: str, hidden: Any) -> Any:
        ops = self._ops
        axis = ops.constant(np.array([-1], np.int64))
        even = ops.mvn(hidden, axis, True, self._figures.norm_eps, "inside_sqrt")
        scale, offset = ops.constant(self._weight(f"{name}.weight")), ops.constant(self._weight(f"{name}.bias"))
        return ops.add(ops.multiply(even, scale), offset)

    def _table(self, name: str, rows: int) -> Any:
        table = self._weight(f"{name}.weight")
        if table.shape != (rows, self._figures.hidden):
            raise InputError(f"the weight '{name}' is {table.shape}; config.json says {(rows, self._figures.hidden)}")
        return self._ops.constant(table)

    def _weight(self, name: str) -> Array:
        found = self._weights.get(name)
        if found is None:
            raise InputError(f"the weights lack '{name}'; the file is not whole, or of another network")
        return np.ascontiguousarray(found, np.float32)

    def _whole(self, value: int) -> Any:
        return self._ops.constant(np.array(value, np.int64))


def pool(ops: Any, hidden: Any, mask: Any, pooling: str, *, normalize: bool) -> Any:
    """Return one vector a text from (texts, tokens, width): the mean over its tokens, or its first token's."""
    one = ops.constant(np.array(1, np.int64))
    if pooling == "cls":
        pooled = ops.gather(hidden, ops.constant(np.array(0, np.int64)), one)
    else:
        share = ops.unsqueeze(ops.convert(mask, "f32"), ops.constant(np.array(2, np.int64)))
        total = ops.reduce_sum(ops.multiply(hidden, share), one)
        pooled = ops.divide(total, ops.maximum(ops.reduce_sum(share, one), _float(ops, _COUNT_FLOOR)))
    if normalize:
        last = ops.constant(np.array([-1], np.int64))
        size = ops.sqrt(ops.reduce_sum(ops.multiply(pooled, pooled), last, keep_dims=True))
        pooled = ops.divide(pooled, ops.maximum(size, _float(ops, _ROOT_FLOOR)))
    pooled.output(0).set_names({OUTPUT})
    return pooled


def _float(ops: Any, value: float) -> Any:
    return ops.constant(np.array(value, np.float32))
