"""Which texts go through the network together: of like length, of several calls at once, every call in its turn."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cput.engines.embedder.text import Encoded
from cput.errors import EngineError
from cput.records import CountedBy, Usage, Vectors

SHORT = 32
"""Texts of up to this many tokens go together, whatever their lengths: padding costs less than a batch more."""


@dataclass(slots=True, eq=False)
class Job:
    """The texts of one call, and what became of them."""

    texts: Sequence[Encoded] = ()
    """All of them, by place."""
    left: list[int] = field(default_factory=list)
    """Places that wait, the shortest first, so that the longest is taken off the end."""
    missing: int = 0
    """Texts whose vectors have not been handed over."""
    tokens: int = 0
    """Tokens of texts that went through the network, or are in it now."""
    engine_s: float = 0.0
    """This call's share of the device's time."""
    events: "asyncio.Queue[Vectors | EngineError]" = field(default_factory=asyncio.Queue)
    """What its caller is to read."""

    def fill(self, texts: Sequence[Encoded]) -> None:
        """Take in the texts, once they are encoded."""
        self.texts = texts
        self.left = sorted(range(len(texts)), key=lambda at: len(texts[at].ids))
        self.missing = len(texts)

    def usage(self, *, complete: bool) -> Usage:
        """Return what the call used so far. Nothing is ever generated, and that is certain."""
        return Usage(
            input_uncached=self.tokens,
            output=0,
            engine_s=self.engine_s,
            complete=complete,
            counted_by=CountedBy.ENGINE,
        )


class Slot(NamedTuple):
    """One row of a batch."""

    job: Job
    place: int


def next_batch(jobs: "deque[Job]", *, max_texts: int, max_tokens: int) -> list[Slot]:
    """Take the next batch off the jobs that wait, and pass the turn on.

    The first job leads with its longest text, and fills the batch with its next ones; what room is left goes to texts
    of the other jobs that are about as long. ``max_tokens`` bounds texts times the longest one, padding included.
    """
    lead = jobs[0]
    jobs.rotate(-1)
    width = max(SHORT, len(lead.texts[lead.left[-1]].ids))
    most = max(1, min(max_texts, max_tokens // width))
    slots: list[Slot] = []
    for job in [lead, *(job for job in jobs if job is not lead)]:
        while job.left and len(slots) < most and _joins(len(job.texts[job.left[-1]].ids), width):
            slots.append(Slot(job, job.left.pop()))
    for slot in slots:
        slot.job.tokens += len(slot.job.texts[slot.place].ids)
    for job in {id(slot.job): slot.job for slot in slots if not slot.job.left}.values():
        jobs.remove(job)
    return slots


def _joins(length: int, width: int) -> bool:
    return length <= width and (2 * length >= width or width == SHORT)
