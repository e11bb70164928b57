"""Gemma 3 as an OpenVINO network, built from its weights: openvino-genai's GGUF reader does not know it.

    model = network(checkpoint.figures, {tensor.name: tensor for tensor in checkpoint.tensors})

Inputs ``input_ids``, ``attention_mask``, ``position_ids`` (int64, texts x tokens) and ``beam_idx`` (int32, texts),
output ``logits`` (float32, texts x tokens x vocabulary), keys and values kept in variables: the form that
openvino-genai's continuous batching turns into paged attention. The arithmetic is that of modeling_gemma3.py of
transformers, with the norms as GGUF has them (1 is added to them already).

Five layers in six look only at the last ``window`` tokens. Paged attention has no mask, only the window's length, and
OpenVINO reads that length off the nodes that make the mask: ``_near_mask`` is the chain, node by node, that its pass
``StateManagementPattern`` knows from gpt-oss. Another chain with the same values would lose the window in silence.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from cput.errors import InputError
from cput.models.checkpoint import Array, Figures, Tensor

LAYERS_OF_27B = 62
"""The one size whose queries are scaled by ``hidden / heads`` and not by the width of a head (llama.cpp, gemma3)."""
_HIDDEN = float(np.finfo(np.float32).min)  # what a masked score becomes; -inf would make a row of padding NaN


class _Rotation(NamedTuple):
    """Cosine and sine of every position's angles, (texts, 1, tokens, head_dim)."""

    cos: Any
    sin: Any


class _Sight(NamedTuple):
    """What a kind of layer sees: its mask, (texts, 1, tokens, slots), and how it turns positions."""

    mask: Any
    rotation: _Rotation


def network(figures: Figures, tensors: Mapping[str, Tensor]) -> Any:
    """Return the network; matrices stay in float16, vectors and rotary frequencies in float32.

    Raises:
        InputError: a tensor is missing, or has another shape than the figures say.
    """
    return _Builder(figures, tensors).model()


class _Builder:
    """Puts the nodes together, top down."""

    def __init__(self, figures: Figures, tensors: Mapping[str, Tensor]) -> None:
        import openvino.opset13 as ops

        self._ops = ops
        self._figures = figures
        self._tensors = tensors
        self._inputs = {
            name: ops.parameter([-1, -1], np.int64, name=name)
            for name in ("input_ids", "attention_mask", "position_ids")
        }
        self._inputs["beam_idx"] = ops.parameter([-1], np.int32, name="beam_idx")
        self._sinks: list[Any] = []

    def model(self) -> Any:
        import openvino

        ops, figures = self._ops, self._figures
        for name, node in self._inputs.items():
            node.output(0).get_tensor().set_names({name})
        ids = self._inputs["input_ids"]
        table = self._matrix("token_embd", figures.hidden)  # also the output layer: one constant, read by both
        hidden = ops.gather(table, ops.convert(ids, "i32"), _whole(ops, 0))
        hidden = ops.multiply(hidden, ops.constant(np.array([[[figures.hidden**0.5]]], np.float32)))
        everything, nearby = self._sights()
        for layer in range(figures.layers):
            local = figures.local is not None and layer in figures.local.layers
            hidden = self._block(layer, hidden, nearby if local else everything)
        logits = ops.matmul(self._norm("output_norm", hidden), table, False, True)
        logits.output(0).get_tensor().set_names({"logits"})
        result = ops.result(logits, name="logits")
        return openvino.Model([result], self._sinks, list(self._inputs.values()), figures.architecture)

    def _sights(self) -> tuple[_Sight, _Sight]:
        """Return what global and local layers see."""
        ops, figures = self._ops, self._figures
        mask = self._inputs["attention_mask"]
        one, zero = _whole(ops, 1), _whole(ops, 0)
        total = ops.gather(ops.shape_of(mask), one, zero)
        past = ops.subtract(total, ops.gather(ops.shape_of(self._inputs["input_ids"]), one, zero))
        slots = ops.unsqueeze(ops.range(zero, total, one, "i64"), _axes(ops, 0, 1, 2))
        asking = ops.unsqueeze(ops.range(past, total, one, "i64"), _axes(ops, 0, 1, 3))
        earlier = ops.less_equal(slots, asking)
        real = ops.convert(ops.unsqueeze(mask, _axes(ops, 1, 2)), "boolean")
        everything = _Sight(
            self._scores(ops.logical_and(earlier, real)), self._rotation(np.array(figures.rope_frequencies))
        )
        if figures.local is None:
            return everything, everything
        mask = self._near_mask(figures.local.window, slots, asking, earlier, real)
        return everything, _Sight(mask, self._rotation(np.array(figures.local_frequencies)))

    def _near_mask(self, window: int, slots: Any, asking: Any, earlier: Any, real: Any) -> Any:
        """Return the mask of layers with a window, in the only form in which paged attention gets to know of it."""
        ops = self._ops
        near = ops.greater(slots, ops.add(asking, ops.constant(np.array(-window, np.int64))))
        always = ops.constant(np.array(True))
        allowed = ops.bitwise_and(ops.bitwise_and(always, near), earlier)
        allowed = ops.bitwise_and(ops.bitwise_and(always, allowed), real)
        scores = self._scores(ops.broadcast(allowed, ops.shape_of(allowed)))
        end = ops.gather(ops.shape_of(self._inputs["attention_mask"]), _axes(ops, 1), _whole(ops, 0))
        return ops.slice(scores, _axes(ops, 0), end, _axes(ops, 1), _axes(ops, 3))

    def _scores(self, allowed: Any) -> Any:
        """Return what is added to a score: 0 where a token may look, else as good as minus infinity."""
        ops = self._ops
        return ops.select(allowed, ops.constant(np.float32(0)), ops.constant(np.float32(_HIDDEN)))

    def _rotation(self, frequencies: Array) -> _Rotation:
        ops = self._ops
        row = ops.constant(frequencies.astype(np.float32).reshape(1, -1, 1))
        positions = ops.convert(ops.unsqueeze(self._inputs["position_ids"], _whole(ops, 1)), "f32")
        angles = ops.transpose(ops.matmul(row, positions, False, False), _axes(ops, 0, 2, 1))
        both = ops.concat([angles, angles], -1)
        return _Rotation(*(ops.unsqueeze(turn(both), _whole(ops, 1)) for turn in (ops.cos, ops.sin)))

    def _block(self, layer: int, hidden: Any, sight: _Sight) -> Any:
        ops, at = self._ops, f"blk.{layer}"
        attended = self._attention(layer, self._norm(f"{at}.attn_norm", hidden), sight)
        hidden = ops.add(hidden, self._norm(f"{at}.post_attention_norm", attended))
        fed = self._feed_forward(at, self._norm(f"{at}.ffn_norm", hidden))
        return ops.add(hidden, self._norm(f"{at}.post_ffw_norm", fed))

    def _attention(self, layer: int, hidden: Any, sight: _Sight) -> Any:
        ops, figures, at = self._ops, self._figures, f"blk.{layer}"
        width = figures.heads * figures.head_dim
        query = self._norm(f"{at}.attn_q_norm", self._heads(f"{at}.attn_q", hidden, figures.heads))
        key = self._norm(f"{at}.attn_k_norm", self._heads(f"{at}.attn_k", hidden, figures.kv_heads))
        query, key = self._rotated(query, sight.rotation), self._rotated(key, sight.rotation)
        value = self._heads(f"{at}.attn_v", hidden, figures.kv_heads)
        keys, values = self._remembered(layer, "key", key), self._remembered(layer, "value", value)
        per_head = figures.hidden / figures.heads if figures.layers == LAYERS_OF_27B else figures.head_dim
        scale = ops.constant(np.array(per_head**-0.5, np.float32))
        seen = ops.scaled_dot_product_attention(query, keys, values, sight.mask, scale)
        flat = ops.reshape(ops.transpose(seen, _axes(ops, 0, 2, 1, 3)), _axes(ops, 0, 0, width), special_zero=True)
        return ops.matmul(flat, self._matrix(f"{at}.attn_output", width), False, True)

    def _heads(self, name: str, hidden: Any, heads: int) -> Any:
        """Return a projection as (texts, heads, tokens, head_dim)."""
        ops, figures = self._ops, self._figures
        flat = ops.matmul(hidden, self._matrix(name, figures.hidden), False, True)
        apart = ops.reshape(flat, _axes(ops, 0, 0, heads, figures.head_dim), special_zero=True)
        return ops.transpose(apart, _axes(ops, 0, 2, 1, 3))

    def _rotated(self, heads: Any, rotation: _Rotation) -> Any:
        """Rotate each pair (i, i + head_dim / 2) by its angle."""
        ops, half, size = self._ops, self._figures.head_dim // 2, self._figures.head_dim
        first, second = (
            ops.slice(heads, _axes(ops, a), _axes(ops, b), _axes(ops, 1), _axes(ops, 3))
            for a, b in ((0, half), (half, size))
        )
        turned = ops.concat([ops.multiply(second, ops.constant(np.full((1, 1, 1, 1), -1, np.float32))), first], -1)
        return ops.add(ops.multiply(heads, rotation.cos), ops.multiply(turned, rotation.sin))

    def _remembered(self, layer: int, kind: str, new: Any) -> Any:
        """Append ``new`` to the layer's keys or values; return all of them, once for each query head."""
        import openvino

        ops, figures = self._ops, self._figures
        batch = ops.gather(ops.shape_of(self._inputs["input_ids"]), _axes(ops, 0), _whole(ops, 0))
        empty = ops.concat([batch, _axes(ops, figures.kv_heads, 0, figures.head_dim)], 0)
        info = openvino.op.util.VariableInfo()
        info.data_shape = openvino.PartialShape([-1, figures.kv_heads, -1, figures.head_dim])
        info.data_type = openvino.Type.f32
        info.variable_id = f"past_key_values.{layer}.{kind}present.{layer}.{kind}"
        variable = openvino.op.util.Variable(info)
        before = ops.read_value(ops.broadcast(ops.constant(np.float32(0)), empty), variable)
        together = ops.concat([ops.gather(before, self._inputs["beam_idx"], _whole(ops, 0)), new], 2)
        self._sinks.append(ops.assign(together, variable))
        group = figures.heads // figures.kv_heads
        shape = ops.concat([batch, _axes(ops, figures.kv_heads, group, 1, figures.head_dim)], 0)
        repeated = ops.broadcast(ops.unsqueeze(together, _whole(ops, 2)), shape, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(repeated, _axes(ops, 0, figures.heads, -1, figures.head_dim), special_zero=True)

    def _feed_forward(self, at: str, hidden: Any) -> Any:
        ops, figures = self._ops, self._figures
        gate, up = (
            ops.matmul(hidden, self._matrix(f"{at}.{part}", figures.hidden), False, True)
            for part in ("ffn_gate", "ffn_up")
        )
        wide = ops.multiply(ops.gelu(gate, "tanh"), up)
        return ops.matmul(wide, self._matrix(f"{at}.ffn_down", figures.ffn), False, True)

    def _norm(self, name: str, values: Any) -> Any:
        """Return ``values`` divided by the root of their mean square over the last axis, times the weight."""
        ops = self._ops
        ones = [1] * (len(values.get_output_partial_shape(0)) - 1)
        square = ops.power(values, ops.constant(np.full((*ones, 1), 2, np.float32)))
        mean = ops.reduce_mean(square, _axes(ops, -1), keep_dims=True)
        root = ops.sqrt(ops.add(mean, ops.constant(np.full((*ones, 1), self._figures.rms_eps, np.float32))))
        even = ops.multiply(values, ops.divide(ops.constant(np.full((*ones, 1), 1, np.float32)), root))
        weight = self._weight(name)
        return ops.multiply(even, ops.constant(weight.reshape(*ones, -1)))

    def _matrix(self, name: str, columns: int) -> Any:
        """Return a float16 constant as float32: OpenVINO reads it in its own precision."""
        values = self._weight(name)
        if values.ndim != 2 or values.shape[1] != columns:
            raise InputError(f"tensor '{name}.weight' is {values.shape}; the file's figures ask for {columns} columns")
        constant = self._ops.constant(values)
        constant.set_friendly_name(f"{name}.weight")
        return self._ops.convert(constant, "f32")

    def _weight(self, name: str) -> Array:
        tensor = self._tensors.get(f"{name}.weight")
        if tensor is None:
            raise InputError(f"the weights lack '{name}.weight'; the file is not whole, or of another network")
        return tensor.load()


def _whole(ops: Any, value: int) -> Any:
    return ops.constant(np.array(value, np.int64))


def _axes(ops: Any, *values: int) -> Any:
    return ops.constant(np.array(values, np.int64))
