"""NVIDIA GPUs through NVML (nvidia-ml-py, the vendor's own binding): millijoules since the driver was loaded.

GPUs from Volta on have the counter. All GPUs that ``CUDA_VISIBLE_DEVICES`` shows are counted, used or not: they are
reserved with the machine.
"""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cput.measure.energy.powercap import Found

DRIVER = Path("/proc/driver/nvidia")
_LONGEST_PERIOD_S = 30.0


class Gpu:
    """The energy counter of one GPU."""

    kind = "gpu"
    period_s = _LONGEST_PERIOD_S

    def __init__(self, library: Any, index: int) -> None:
        """Read the GPU's counter once; raises the library's error where it has none."""
        self._library = library
        self._handle = library.nvmlDeviceGetHandleByIndex(index)
        name = library.nvmlDeviceGetName(self._handle)
        said = name.decode() if isinstance(name, bytes) else name
        self.component = f"nvidia-{index}"
        self.source = f"NVML {self.component} ({said})"
        self._first_mj = self._raw_mj()

    def joules(self) -> float:
        """Return the joules since it was opened."""
        try:
            return (self._raw_mj() - self._first_mj) / 1000
        except self._library.NVMLError as error:
            raise OSError(f"{self.source}: {error}") from error

    def uuid(self) -> str:
        """Return the GPU's own id."""
        found = self._library.nvmlDeviceGetUUID(self._handle)
        return found.decode() if isinstance(found, bytes) else str(found)

    def _raw_mj(self) -> int:
        return int(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle))


def nvml_counters(library: Any = None, visible: str | None = None) -> Found:
    """Open the counters of the visible GPUs.

    ``library`` replaces pynvml, ``visible`` the environment's ``CUDA_VISIBLE_DEVICES``.
    """
    try:
        nvml = library if library is not None else importlib.import_module("pynvml")
    except ImportError:
        without = "GPUs are not counted: NVML's binding is missing. Run: pip install 'cput[nvml]'"
        return Found((), without if DRIVER.exists() else None)
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:  # no driver is loaded: no GPU can be used
        return Found((), None)
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    gpus, missing = _opened(nvml, count)
    return Found(tuple(gpu for gpu in gpus if _is_visible(gpu, wanted)), missing or None)


def _opened(nvml: Any, count: int) -> tuple[Sequence[Gpu], str]:
    gpus, reasons = [], []
    for index in range(count):
        try:
            gpus.append(Gpu(nvml, index))
        except nvml.NVMLError as error:
            reasons.append(f"GPU {index} has no energy counter ({error})")
    return gpus, "; ".join(reasons)


def _is_visible(gpu: Gpu, wanted: str | None) -> bool:
    """Say whether CUDA's list shows a GPU: by its index, or by the beginning of its id; no list shows all."""
    if wanted is None:
        return True
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    return any(gpu.component == f"nvidia-{name}" or gpu.uuid().startswith(name) for name in names)
