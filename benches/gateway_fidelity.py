"""What a gateway does to a stream: paced chunks that carry the moment of their writing, and when they arrive.

The machine's monotonic clock is one for all its processes, so that a chunk's way is the time of its arrival less the
time in it. A gateway's own share is its chunks' way less the way of a direct stream.
"""

import asyncio
import itertools
import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway_load import request
from gateway_mock import CHUNKS

_STAMP = re.compile(rb"(\d+)@(\d+\.\d+)")


@dataclass
class Fidelity:
    """What arrived of some paced streams."""

    first_way_s: list[float] = field(default_factory=list)
    """Of each stream's first chunk."""
    way_s: list[float] = field(default_factory=list)
    """Of every chunk."""
    gap_error_s: list[float] = field(default_factory=list)
    """How far the time between two chunks is from the time between their writing."""
    lost: int = 0
    """Chunks that never came, or came twice or out of order."""
    merged: int = 0
    """Chunks that came in one read with the chunk before, though written ``PACE_S`` after it."""


async def paced_streams(url: str, *, key: str, streams: int, concurrency: int) -> Fidelity:
    """Read some paced streams, ``concurrency`` at once."""
    found, left = Fidelity(), iter(range(streams))

    async def worker() -> None:
        for _ in left:
            _take(found, await _read(url, key))

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return found


async def _read(url: str, key: str) -> list[tuple[float, bytes]]:
    """Return what each read gave, with its moment."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    writer.write(request(url, stream=True, model="paced", key=key))
    reads: list[tuple[float, bytes]] = []
    async with asyncio.timeout(60):
        while not (reads and reads[-1][1].endswith(b"0\r\n\r\n")):
            data = await reader.read(1 << 16)
            if not data:
                break
            reads.append((time.monotonic(), data))
    writer.close()
    return reads


def _take(found: Fidelity, reads: list[tuple[float, bytes]]) -> None:
    arrived = [(int(match[1]), float(match[2]), moment) for moment, data in reads for match in _STAMP.finditer(data)]
    numbers = [number for number, _, _ in arrived]
    found.lost += CHUNKS - len(set(numbers)) + sum(later <= earlier for earlier, later in itertools.pairwise(numbers))
    if not arrived:
        return
    found.first_way_s.append(arrived[0][2] - arrived[0][1])
    found.way_s.extend(moment - written for _, written, moment in arrived)
    for (_, written, moment), (_, later_written, later_moment) in itertools.pairwise(arrived):
        found.gap_error_s.append(abs((later_moment - moment) - (later_written - written)))
        found.merged += later_moment == moment
