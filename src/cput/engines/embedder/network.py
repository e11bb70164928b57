"""The network itself: ids in, one vector a text out. Inference lets go of the interpreter, so a thread is enough."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cput.engines.embedder.text import Ids
from cput.errors import EngineUnavailable
from cput.models.manifest import IR_XML

COMPUTE = {"auto": {}, "f32": {"INFERENCE_PRECISION_HINT": "f32"}, "bf16": {"INFERENCE_PRECISION_HINT": "bf16"}}
"""In which numbers a network may calculate; ``auto`` is OpenVINO's choice: bf16 where the CPU multiplies matrices in it
(AMX), else f32."""


class Ran(NamedTuple):
    """One batch."""

    values: npt.NDArray[np.float32]
    """One row a text."""
    seconds: float
    """How long the device took."""


class Network:
    """A compiled network with one request. For one thread at a time."""

    def __init__(self, folder: Path, device: str, compute: str, properties: Mapping[str, Any]) -> None:
        """Load and compile, in a fraction of a second.

        Raises:
            EngineUnavailable: OpenVINO can't.
        """
        import openvino

        try:
            config = {"PERFORMANCE_HINT": "LATENCY", **COMPUTE[compute], **properties}
            self._request = openvino.Core().compile_model(folder / IR_XML, device, config).create_infer_request()
        except RuntimeError as error:
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise EngineUnavailable(f"the model could not be loaded: {said[-1] if said else error!r}") from error

    def run(self, texts: Sequence[Ids]) -> Ran:
        """Return the vectors of a batch."""
        began = time.perf_counter()
        ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        values = np.array(self._request.infer([ids, mask])[0], np.float32)  # a copy: the next batch reuses its memory
        return Ran(values, time.perf_counter() - began)
