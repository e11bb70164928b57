"""Tries a grammar before it may join the batch.

openvino-genai compiles a grammar inside ``step()``; where that fails (a bad schema, an unclosed bracket) the exception
leaves the scheduler half-way and every call of the batch is lost. So each new grammar is compiled first for a toy
network: one attention layer of 16 zeros, no knowledge, the model's own vocabulary. It takes milliseconds and a few
megabytes, and only where grammars are used.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai
from openvino import opset13 as ops

WIDTH = 16
REMEMBERED = 1000


class GrammarTrial:
    """Compiles grammars where a failure harms nobody."""

    def __init__(self, tokenizer: Any, vocab_size: int) -> None:
        """``vocab_size`` is the width of the model's logits."""
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._pipeline: Any = None
        self._good: set[tuple[str, str]] = set()

    def check(self, kind: str, value: str, config: Any) -> None:
        """Return where the library can compile the grammar in ``config``; else raise what it raised."""
        if (kind, value) in self._good:
            return
        if self._pipeline is None:
            self._pipeline = _pipeline(self._tokenizer, self._vocab_size)
        trial = genai.GenerationConfig()
        trial.max_new_tokens = 1
        trial.structured_output_config = config.structured_output_config
        try:
            handle = self._pipeline.add_request(0, openvino.Tensor(np.zeros((1, 1), np.int64)), trial)
            while handle.get_status().name == "RUNNING":
                self._pipeline.step()
        except Exception:
            self._pipeline = None  # it is ruined; the next grammar gets a fresh one
            raise
        if len(self._good) >= REMEMBERED:
            self._good.clear()
        self._good.add((kind, value))


def _pipeline(tokenizer: Any, vocab_size: int) -> Any:
    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = 2
    scheduler.max_num_seqs = 1
    with tempfile.TemporaryDirectory(prefix="cput-grammar-") as folder:
        openvino.save_model(_toy(vocab_size), str(Path(folder) / "openvino_model.xml"), compress_to_fp16=False)
        return genai.ContinuousBatchingPipeline(folder, tokenizer, scheduler, "CPU", ENABLE_MMAP=False)


def _toy(vocab_size: int) -> Any:
    """Return a stateful network of the shape that openvino-genai turns into paged attention."""
    ids, mask, positions = (
        ops.parameter([-1, -1], np.int64, name=name) for name in ("input_ids", "attention_mask", "position_ids")
    )
    beams = ops.parameter([-1], np.int32, name="beam_idx")
    for port in (ids, mask, positions, beams):
        port.output(0).get_tensor().set_names({port.get_friendly_name()})
    embedded = ops.gather(np.zeros((vocab_size, WIDTH), np.float32), ids, np.int64(0))
    heads = ops.transpose(ops.reshape(embedded, np.array([0, 0, 1, WIDTH]), special_zero=True), np.array([0, 2, 1, 3]))
    batch = ops.gather(ops.shape_of(ids), np.array([0]), np.int64(0))
    empty = ops.broadcast(np.float32(0), ops.concat([batch, np.array([1, 0, WIDTH])], 0))
    sinks, past = [], []
    for name in ("key", "value"):
        info = openvino.op.util.VariableInfo()
        info.data_shape = openvino.PartialShape([-1, 1, -1, WIDTH])
        info.data_type = openvino.Type.f32
        info.variable_id = f"past_key_values.0.{name}present.0.{name}"
        variable = openvino.op.util.Variable(info)
        kept = ops.gather(ops.read_value(empty, variable), beams, np.int64(0))
        past.append(ops.concat([kept, heads], 2))
        sinks.append(ops.assign(past[-1], variable))
    wide = ops.unsqueeze(ops.convert(mask, np.float32), np.array([1, 2]))
    attended = ops.scaled_dot_product_attention(heads, past[0], past[1], wide)
    flat = ops.reshape(ops.transpose(attended, np.array([0, 2, 1, 3])), np.array([0, 0, WIDTH]), special_zero=True)
    shift = ops.unsqueeze(ops.convert(positions, np.float32), np.array([2]))
    logits = ops.matmul(ops.add(flat, shift), np.zeros((vocab_size, WIDTH), np.float32), False, True)
    logits.output(0).get_tensor().set_names({"logits"})
    return openvino.Model([ops.result(logits)], sinks, [ids, mask, positions, beams], "toy")
