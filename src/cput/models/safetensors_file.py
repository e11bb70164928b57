"""Reads safetensors with numpy alone, bfloat16 included: numpy has no bfloat16, so its bits are shifted.

``safetensors.numpy`` refuses bfloat16; the format is a length, a JSON header and raw little-endian bytes
(https://github.com/huggingface/safetensors#format).
"""

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cput.errors import InputError, SetupError
from cput.models.checkpoint import Array

_MAX_HEADER = 100_000_000  # the format's own limit
_TYPES: dict[str, tuple[Any, int]] = {
    "F64": (np.float64, 8),
    "F32": (np.float32, 4),
    "F16": (np.float16, 2),
    "BF16": (np.uint16, 2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One tensor in a file, read when asked for."""

    path: Path
    """The file."""
    dtype: str
    """As the header spells it."""
    shape: tuple[int, ...]
    """Rows first."""
    begin: int
    """First byte in the file."""
    end: int
    """Byte after the last."""

    def load(self) -> Array:
        """Return the values: bfloat16 as float32 (exactly), other types as they are."""
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            raw = np.frombuffer(view[self.begin : self.end], dtype=_TYPES[self.dtype][0]).reshape(self.shape)
        if self.dtype == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw


def open_safetensors(path: Path, *, without: tuple[str, ...] = ()) -> dict[str, Slice]:
    """Return the tensors of a file by name; every span is checked against the file's size.

    A tensor whose name ends like one of ``without`` is passed over.

    Raises:
        InputError: not a safetensors file, or one that was cut off.
        SetupError: a type of numbers that cannot become float16 (float8, integers of quantized checkpoints).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise InputError(f"'{path}' is not a whole safetensors file ({size:,} bytes)")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise InputError(f"'{path}' has a broken safetensors header ({error})") from None
    header.pop("__metadata__", None)
    return {
        name: _slice(path, name, entry, 8 + length, size)
        for name, entry in header.items()
        if not name.endswith(without)
    }


def _slice(path: Path, name: str, entry: Any, base: int, size: int) -> Slice:
    try:
        dtype, shape = str(entry["dtype"]), tuple(int(n) for n in entry["shape"])
        begin, end = (base + int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{path}' describes the tensor '{name}' wrongly ({error!r})") from None
    if dtype not in _TYPES:
        raise SetupError(
            f"'{path.name}' holds '{name}' as {dtype}; allowed: {', '.join(_TYPES)}. "
            f"Take the model's unquantized weights"
        )
    if end > size or end - begin != int(np.prod(shape, dtype=np.int64)) * _TYPES[dtype][1]:
        raise InputError(f"'{path}' was cut off: the tensor '{name}' should end at byte {end:,} of {size:,}")
    return Slice(path=path, dtype=dtype, shape=shape, begin=begin, end=end)
