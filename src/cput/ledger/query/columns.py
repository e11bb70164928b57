"""One row per call, as numpy columns: what every question about cost is answered from.

Texts are coded: a column of small numbers and the words that they stand for. On disk every column takes the smallest
type that holds it, about 60 bytes a call.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
UNCOUNTED = -1
"""Stands for tokens that nobody counted, where a count can't be negative."""


class Coded(NamedTuple):
    """A column of texts."""

    codes: Ints
    """Per row, the place of its text among ``words``."""
    words: tuple[str | None, ...]
    """Each text once; None is unknown."""

    def take(self, rows: npt.NDArray[Any] | slice) -> Self:
        """Return these rows, with only the words that they use."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        return self._replace(codes=codes.astype(np.int64), words=tuple(self.words[code] for code in used))

    def picked(self, rows: Ints) -> "Coded":
        """Return the text of each given row; row -1 is unknown."""
        words = self.words if None in self.words else (*self.words, None)
        codes = np.full(len(rows), words.index(None), np.int64)
        codes[rows >= 0] = self.codes[rows[rows >= 0]]
        return Coded(codes, words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """All columns have one entry per call."""

    arrival: Ints
    """In which order the call arrived, where the database says so."""
    started_s: Floats
    """When its first attempt was sent (Unix seconds); NaN without attempts."""
    attempts: Ints
    """Its attempts, whatever they did."""
    input_tokens: Ints
    """Prompt tokens of all attempts, those that were counted."""
    input_uncounted: Ints
    """Attempts whose prompt tokens nobody counted."""
    output_tokens: Ints
    """Generated tokens of all attempts, those that were counted."""
    output_uncounted: Ints
    """Attempts whose generated tokens nobody counted."""
    answer_tokens: Ints
    """Output tokens of the answer given; ``UNCOUNTED`` where there is none or nobody counted."""
    engine_ns: Ints
    """Device time of all attempts in nanoseconds; unknown counts as none."""
    cost: Ints
    """Nano-dollars of its charges in effect, those that are known."""
    avoided: Ints
    """Nano-dollars that caches and students saved on it."""
    unpriced: Flags
    """Whether a charge is missing or unknown, for whatever basis."""
    value: Floats
    """The least value of the highest tier that judged it, to be held against a threshold; NaN while pending."""
    workload: Coded
    """The call's workload."""
    policy: Coded
    """The policy that served it."""
    tenant: Coded
    """Who asked."""
    run: Coded
    """The run it belongs to."""
    tags: Coded
    """Its tags as JSON text."""
    model: Coded
    """The model that gave the answer, or of the last serving leg where none did."""
    engine: Coded
    """The engine of that leg."""
    provider: Coded
    """Who bills that leg."""
    unmeasured: Coded
    """Where the share of a device's window is unknown: the price version of that window; None elsewhere."""

    def __len__(self) -> int:
        return len(self.arrival)

    def take(self, rows: npt.NDArray[Any] | slice) -> "Columns":
        """Return these rows."""
        taken: dict[str, Any] = {
            name: column.take(rows) if isinstance(column, Coded) else column[rows] for name, column in _columns(self)
        }
        return replace(self, **taken)


_NAMES = tuple(field.name for field in fields(Columns))
TEXTS = tuple(field.name for field in fields(Columns) if field.type is Coded)
_FLOATS = tuple(field.name for field in fields(Columns) if field.type == Floats)
_FLAGS = tuple(field.name for field in fields(Columns) if field.type == Flags)
_SIGNED = (np.int8, np.int16, np.int32, np.int64)


def coded(values: Iterable[str | None]) -> Coded:
    """Return texts as a coded column."""
    words: dict[str | None, int] = {}
    codes = [words.setdefault(value, len(words)) for value in values]
    return Coded(np.array(codes, np.int64), tuple(words))


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the rows of all parts, in order, each column in its own type."""
    return Columns(**{name: _joined(name, [getattr(part, name) for part in parts]) for name in _NAMES})


def overlaid(columns: Columns, places: Ints, rows: Columns) -> Columns:
    """Return the columns with ``rows`` in these places; they are written into, so they must be nobody else's."""
    changed: dict[str, Any] = {}
    for name, column in _columns(columns):
        new = getattr(rows, name)
        if isinstance(column, Coded):
            words = {word: code for code, word in enumerate(column.words)}
            codes = np.array([words.setdefault(word, len(words)) for word in new.words], np.int64)
            column.codes[places] = codes[new.codes]
            changed[name] = Coded(column.codes, tuple(words))
        else:
            column[places] = new
    return replace(columns, **changed)


class _Packed(msgspec.Struct, array_like=True):
    columns: dict[str, tuple[str, memoryview]]
    words: dict[str, list[str | None]]


def packed(columns: Columns) -> bytes:
    """Return columns as bytes, little-endian, each in the smallest type that holds it."""
    arrays = {
        name: _narrow(column.codes if isinstance(column, Coded) else column) for name, column in _columns(columns)
    }
    words = {name: list(column.words) for name, column in _columns(columns) if isinstance(column, Coded)}
    stored = {name: (array.dtype.str, memoryview(array.tobytes())) for name, array in arrays.items()}
    return msgspec.msgpack.encode(_Packed(columns=stored, words=words))


def unpacked(data: bytes) -> Columns:
    """Return what ``packed`` was given, columns still in their small types; ``joined`` gives them their own.

    Raises:
        msgspec.MsgspecError, KeyError, ValueError, TypeError: when the bytes are something else.
    """
    stored = msgspec.msgpack.decode(data, type=_Packed)
    arrays = {name: np.frombuffer(view, dtype) for name, (dtype, view) in stored.columns.items()}
    columns: dict[str, Any] = {name: arrays[name] for name in _NAMES}
    return Columns(**columns | {name: Coded(columns[name], tuple(stored.words[name])) for name in TEXTS})


def _columns(columns: Columns) -> list[tuple[str, Any]]:
    return [(name, getattr(columns, name)) for name in _NAMES]


def _joined(name: str, parts: list[Any]) -> Any:
    if name not in TEXTS:
        dtype: Any = np.float64 if name in _FLOATS else np.bool_ if name in _FLAGS else np.int64
        return np.concatenate(parts, dtype=dtype)
    words: dict[str | None, int] = {}
    codes = [
        np.array([words.setdefault(word, len(words)) for word in part.words], np.int64)[part.codes] for part in parts
    ]
    return Coded(np.concatenate(codes), tuple(words))


def _narrow(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array in the smallest type that holds its values, little-endian."""
    if array.dtype.kind == "i" and len(array):
        low, high = int(array.min()), int(array.max())
        array = array.astype(next(t for t in _SIGNED if np.iinfo(t).min <= low and high <= np.iinfo(t).max))
    return array.astype(array.dtype.newbyteorder("<"), copy=False)
