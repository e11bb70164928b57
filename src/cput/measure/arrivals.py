"""How calls arrive: closed loop (a fixed number under way), Poisson (open loop at a mean rate), or a recorded trace.

An open loop does not wait for answers: a slow engine builds up a queue, as a real one would.
"""

import asyncio
import csv
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cput.errors import InputError


class Arrivals(Protocol):
    """Says when the next call is sent."""

    @property
    def words(self) -> str:
        """For reports."""
        ...

    @property
    def most_at_once(self) -> int | None:
        """Bound on calls under way; None is unbounded."""
        ...

    def times(self, calls: int) -> AsyncIterator[int]:
        """Yield 0, 1, ... ``calls - 1``, each when that call is due."""
        ...


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """``concurrency`` calls under way until all are done."""

    concurrency: int

    def __post_init__(self) -> None:
        """Refuse less than one."""
        if self.concurrency < 1:
            raise InputError(f"--concurrency is {self.concurrency}; allowed: 1 or more")

    @property
    def words(self) -> str:
        """For reports."""
        return "one at a time" if self.concurrency == 1 else f"closed loop, {self.concurrency} at once"

    @property
    def most_at_once(self) -> int | None:
        """The concurrency."""
        return self.concurrency

    async def times(self, calls: int) -> AsyncIterator[int]:
        """All are due at once; the bound holds them back."""
        for index in range(calls):
            yield index


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent arrivals at ``rate_rps`` calls a second on average."""

    rate_rps: float
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse rates that are not positive."""
        if not 0 < self.rate_rps < float("inf"):
            raise InputError(f"--rate-rps is {self.rate_rps}; allowed: above 0 calls a second")

    @property
    def words(self) -> str:
        """For reports."""
        return f"Poisson, {self.rate_rps:g} calls/s"

    @property
    def most_at_once(self) -> int | None:
        """Unbounded."""
        return None

    async def times(self, calls: int) -> AsyncIterator[int]:
        """Wait an exponential time before each call; lateness does not add up."""
        draw = random.Random(self.seed)
        clock = asyncio.get_running_loop().time
        due = clock()
        for index in range(calls):
            due += draw.expovariate(self.rate_rps)
            await asyncio.sleep(max(0.0, due - clock()))
            yield index


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals at recorded offsets (seconds from the first)."""

    offsets_s: tuple[float, ...]
    name: str

    @property
    def words(self) -> str:
        """For reports."""
        return f"trace {self.name}"

    @property
    def most_at_once(self) -> int | None:
        """Unbounded."""
        return None

    async def times(self, calls: int) -> AsyncIterator[int]:
        """Send call i at offset i; a trace shorter than the workload starts again after its end."""
        clock = asyncio.get_running_loop().time
        start, length = clock(), len(self.offsets_s)
        span = self.offsets_s[-1] + (self.offsets_s[-1] / max(1, length - 1) if length > 1 else 1.0)
        for index in range(calls):
            due = start + self.offsets_s[index % length] + span * (index // length)
            await asyncio.sleep(max(0.0, due - clock()))
            yield index


def load_trace(path: Path) -> Trace:
    """Read arrival offsets from JSONL or CSV.

    One arrival a line, as a number or under ``offset_s``, ``timestamp`` (seconds), ``timestamp_ms`` or ``arrived_at``;
    the earliest is offset 0.

    Raises:
        InputError: names file, line and what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"trace {path} can't be read: {error}") from error
    rows = _csv_rows(text) if path.suffix.lower() == ".csv" else _json_rows(path, text)
    times = [_offset(path, number, row) for number, row in rows]
    if not times:
        raise InputError(f"trace {path} holds no arrivals; it needs one line for each")
    first = min(times)
    return Trace(tuple(sorted(time - first for time in times)), path.name)


def _csv_rows(text: str) -> list[tuple[int, object]]:
    return [(number, row) for number, row in enumerate(csv.DictReader(text.splitlines()), 2)]


def _json_rows(path: Path, text: str) -> list[tuple[int, object]]:
    rows: list[tuple[int, object]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                rows.append((number, json.loads(line)))
            except json.JSONDecodeError as error:
                raise InputError(f"{path}:{number}: not JSON: {error.msg} at column {error.colno}") from error
    return rows


def _offset(path: Path, number: int, row: object) -> float:
    scales = {"offset_s": 1.0, "timestamp": 1.0, "timestamp_ms": 1e-3, "arrived_at": 1.0}
    value, scale = row, 1.0
    if isinstance(row, dict):
        key = next((name for name in scales if name in row), None)
        if key is None:
            raise InputError(f"{path}:{number}: no arrival time; allowed fields: {', '.join(scales)}")
        value, scale = row[key], scales[key]
    try:
        seconds = float(str(value)) * scale
    except ValueError as error:
        raise InputError(f"{path}:{number}: arrival time {value!r} is not a number of seconds") from error
    if not 0 <= seconds < float("inf"):
        raise InputError(f"{path}:{number}: arrival time {value!r} is not a number of seconds from 0 up")
    return seconds
