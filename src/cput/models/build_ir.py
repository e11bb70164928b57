"""Turns a float16 GGUF into an OpenVINO network, in a process of its own (``python -m cput.models.build_ir FILE``).

openvino-genai builds the network and saves it beside the file. That prints to standard output from C++, holds the GIL,
compiles the network as a side effect, and may end the process where a file is malformed; hence the process.

The saved network is then mended: openvino-genai 2026.4 saves the rotary frequencies in float16, whose rounding turns
queries by 0.2 radians at position 2,000 and ignores the scaling of long-context models. They are put back in float32,
read from standard input as a JSON list of ``head_dim / 2`` numbers.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cput.models.manifest import IR_BIN, IR_XML


def main(weights: Path, frequencies: list[float]) -> None:
    """Write ``openvino_model.xml`` and ``.bin`` beside ``weights``."""
    build(weights)
    set_frequencies(weights.parent, frequencies)


def build(weights: Path) -> None:
    """Have openvino-genai build and save the network."""
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 1
    openvino_genai.ContinuousBatchingPipeline(str(weights), scheduler, "CPU", {"enable_save_ov_model": True}, {})


def set_frequencies(folder: Path, frequencies: list[float]) -> None:
    """Replace the network's rotary frequencies, radians per position, by ``frequencies`` in float32.

    Raises:
        RuntimeError: the network has not exactly one constant of that shape; the layout of the saved network changed.
    """
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file is replaced below
    model = core.read_model(folder / IR_XML)
    shape = [1, len(frequencies), 1]
    found = [node for node in model.get_ops() if node.get_type_name() == "Constant" and list(node.shape) == shape]
    if len(found) != 1:
        raise RuntimeError(f"expected one constant of shape {shape} (the rotary frequencies), found {len(found)}")
    exact = openvino.opset13.constant(np.array(frequencies, np.float32).reshape(shape), name="rotary_frequencies")
    for target in _readers(found[0]):
        target.replace_source_output(exact.output(0))
    mended = folder / f"mended_{IR_XML}"
    openvino.save_model(model, mended, compress_to_fp16=False)
    mended.replace(folder / IR_XML)
    mended.with_suffix(".bin").replace(folder / IR_BIN)


def _readers(constant: Any) -> list[Any]:
    """Return the inputs that read ``constant``, past the conversion to float32 that a saved network puts after it."""
    targets = list(constant.output(0).get_target_inputs())
    converts = [target.get_node() for target in targets if target.get_node().get_type_name() == "Convert"]
    if not converts:
        return targets
    return [target for convert in converts for target in convert.output(0).get_target_inputs()]


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
