"""The machine's matrix peak: the best rate of a large square multiplication, in operations per second.

    python benches/matrix_peak.py [--threads N] [--quick] [--json]

FP32 by numpy (its BLAS) and by OpenVINO, BF16 and INT8 by OpenVINO where the CPU's capabilities list them. One
multiplication of n x n by n x n counts 2 n^3 operations. The multiplication is OpenVINO's own, with constant weights as
a model's layers have; the precision that it really ran in is read back from the compiled network.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

SIZES = (512, 1024, 2048, 4096)
QUICK_SIZES = (512, 1024)
SECONDS, QUICK_SECONDS = 1.5, 0.3
FEWEST = 3
LEVELS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """One precision through one library."""

    precision: str
    """fp32, bf16, int8."""
    library: str
    """numpy or openvino."""
    ops_per_s: float | None
    """Best rate over all sizes; None where it was not measured."""
    size: int | None
    """The n at which it was reached."""
    ran_as: str | None
    """Precision and kernel as the compiled network states them; for numpy, its BLAS."""
    reason: str | None
    """Why it was not measured."""


def best_rate(sizes: Iterable[int], seconds: float, prepare: Callable[[int], Callable[[], Any]]) -> tuple[float, int]:
    """Return the best operations per second and its size; each size runs for ``seconds`` after one warm-up."""
    rates: list[tuple[float, int]] = []
    for size in sizes:
        multiply = prepare(size)
        multiply()
        end, runs, fastest_s = time.perf_counter() + seconds, 0, float("inf")
        while runs < FEWEST or time.perf_counter() < end:
            began = time.perf_counter()
            multiply()
            fastest_s = min(fastest_s, time.perf_counter() - began)
            runs += 1
        rates.append((2.0 * size**3 / fastest_s, size))
    return max(rates)


def numpy_peak(sizes: Iterable[int], seconds: float) -> Peak:
    """FP32 through numpy's BLAS."""
    import numpy as np

    generator = np.random.default_rng(0)

    def prepare(size: int) -> Callable[[], Any]:
        a, b = (generator.standard_normal((size, size), dtype=np.float32) for _ in range(2))
        out = np.empty_like(a)
        return lambda: np.matmul(a, b, out=out)

    rate, size = best_rate(sizes, seconds, prepare)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return Peak(
        precision="fp32",
        library="numpy",
        ops_per_s=rate,
        size=size,
        ran_as=f"{blas['name']} {blas['version']}",
        reason=None,
    )


def openvino_peak(precision: str, sizes: Iterable[int], seconds: float, threads: int) -> Peak:
    """FP32, BF16 or INT8 through an OpenVINO MatMul."""
    import numpy as np
    import openvino

    core = openvino.Core()
    capability = precision.upper()
    if capability not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return _not_measured(precision, "not supported by this CPU")
    hint = "bf16" if precision == "bf16" else "f32"
    kernels: dict[int, str] = {}

    def prepare(size: int) -> Callable[[], Any]:
        options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        compiled = core.compile_model(_network(size, integer=precision == "int8"), "CPU", options)
        kernels[size] = _kernel(compiled)
        request = compiled.create_infer_request()
        values = np.random.default_rng(0).uniform(-1, 1, (size, size)).astype(np.float32)
        request.set_input_tensor(openvino.Tensor(values))
        return lambda: request.infer()  # noqa: PLW0108  # OpenVINO's method has no type of its own

    rate, size = best_rate(sizes, seconds, prepare)
    wanted = {"fp32": "f32", "bf16": "bf16", "int8": "8"}[precision]
    if wanted not in kernels[size].split(" ")[0]:
        return _not_measured(precision, f"OpenVINO ran it as {kernels[size]}")
    return Peak(precision=precision, library="openvino", ops_per_s=rate, size=size, ran_as=kernels[size], reason=None)


def _not_measured(precision: str, reason: str) -> Peak:
    return Peak(precision=precision, library="openvino", ops_per_s=None, size=None, ran_as=None, reason=reason)


def _network(size: int, *, integer: bool) -> Any:
    """A MatMul with constant weights; for integers, quantized the way OpenVINO's low-precision passes look for."""
    import numpy as np
    import openvino.opset13 as ops
    from openvino import Model

    generator = np.random.default_rng(1)
    x = ops.parameter([size, size], np.float32)
    if not integer:
        weights = ops.constant(generator.standard_normal((size, size), dtype=np.float32))
        return Model([ops.matmul(x, weights, False, True)], [x])
    low, high = np.float32(-1), np.float32(1)
    quantized = ops.fake_quantize(x, low, high, low, high, LEVELS)
    whole = ops.constant(generator.integers(-127, 128, (size, size)).astype(np.int8))
    scale = ops.constant(np.full((size, 1), 1 / 127, dtype=np.float32))
    weights = ops.multiply(ops.convert(whole, "f32"), scale)
    return Model([ops.matmul(quantized, weights, False, True)], [x])


def _kernel(compiled: Any) -> str:
    """Return ``<precision> <primitive>`` of the multiplication in a compiled network."""
    for node in compiled.get_runtime_model().get_ops():
        info = {
            key: str(value.value if hasattr(value, "value") else value) for key, value in node.get_rt_info().items()
        }
        if info.get("layerType") in {"FullyConnected", "MatMul", "Subgraph"}:
            return f"{info.get('runtimePrecision', 'unknown')} {info.get('primitiveType', 'unknown')}"
    return "unknown"


def measure(threads: int, *, quick: bool) -> list[Peak]:
    """Measure everything in this process."""
    sizes, seconds = (QUICK_SIZES, QUICK_SECONDS) if quick else (SIZES, SECONDS)
    through_openvino = [openvino_peak(name, sizes, seconds, threads) for name in ("fp32", "bf16", "int8")]
    return [numpy_peak(sizes, seconds), *through_openvino]


def measure_apart(threads: int, *, quick: bool) -> list[Peak]:
    """Measure in a process of its own, because a BLAS reads its thread count when it is loaded."""
    command = [sys.executable, __file__, "--json", "--threads", str(threads), *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment(threads))
    return [Peak(**row) for row in json.loads(done.stdout.strip().splitlines()[-1])]


def best(peaks: Iterable[Peak]) -> dict[str, float]:
    """Return the highest measured rate of each precision."""
    found: dict[str, float] = {}
    for peak in peaks:
        if peak.ops_per_s is not None:
            found[peak.precision] = max(found.get(peak.precision, 0.0), peak.ops_per_s)
    return found


def _environment(threads: int) -> dict[str, str]:
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads))}


def main() -> None:
    parser = argparse.ArgumentParser(description="The machine's matrix peak.")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="smaller matrices, less time")
    parser.add_argument("--json", action="store_true", help="measure here and print one line of JSON")
    given = parser.parse_args()
    if given.json:
        print(json.dumps([asdict(peak) for peak in measure(given.threads, quick=given.quick)]))
        return
    for peak in measure_apart(given.threads, quick=given.quick):
        rate = peak.reason or f"{(peak.ops_per_s or 0) / 1e9:8.1f} G op/s at n = {peak.size} ({peak.ran_as})"
        print(f"{peak.precision:5} {peak.library:9} {rate}")


if __name__ == "__main__":
    main()
