"""The embedding engine: one process, one thread for the device, texts of all calls in common batches.

    embedder = open_engine("all-minilm-l6-v2")
    rows = await embedder.embed(["a red bicycle", "the sea"])            # float32, (2, 384), of length 1
    answer = embedder.answer(Call(embed=("a red bicycle", "the sea")))   # the same as a call: metered, hung up
    await embedder.aclose()

It stays in the caller's process: OpenVINO lets go of the interpreter while it calculates, and so does the tokenizer.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cput.engines.embedder.batch import Job, Slot, next_batch
from cput.engines.embedder.network import COMPUTE, Network, Ran
from cput.engines.embedder.text import Encoded, TextEncoder
from cput.errors import EngineError, EngineUnavailable, InputError, unknown
from cput.models import Manifest
from cput.protocols import Answer
from cput.records import Call, Ending, Finish, Piece, Vectors

BATCH_TOKENS = 8192
"""Most tokens of a batch, padding included: what 32 texts of 256 have."""
INLINE_CHARS = 4000
"""Texts of this many characters together are encoded without leaving the event loop; it takes about a millisecond."""


class Embedder:
    """An embedding model on this machine. See the module for an example.

    Args:
        manifest: the model folder's manifest.
        folder: the model folder.
        max_texts: most texts that go through the network together.
        truncate: read the beginning of a text that is too long (``Vectors.cut`` says which); False refuses it.
        compute: auto, f32 or bf16: in which numbers to calculate.
        device: OpenVINO device.
        properties: further OpenVINO properties.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        *,
        max_texts: int = 32,
        truncate: bool = True,
        compute: str = "auto",
        device: str = "CPU",
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        if max_texts < 1:
            raise InputError(f"max_texts is {max_texts}; allowed: whole numbers from 1")
        if compute not in COMPUTE:
            raise unknown("compute", compute, COMPUTE)
        self.manifest = manifest
        self.name = f"embedder:{manifest.name}:{manifest.precision}"
        self.busy_s = 0.0
        """Seconds that the device worked since the engine was made."""
        self.steps = 0
        """Batches that went through the network."""
        self._how = (folder, device, compute, dict(properties or {}))
        self._max_texts = max_texts
        self._encoder = TextEncoder(manifest, folder, truncate=truncate)
        self._network: Network | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._starting = asyncio.Lock()
        self._jobs: deque[Job] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return self.manifest.hidden

    async def start(self) -> None:
        """Load the model, if it is not; the first call does it otherwise.

        Raises:
            EngineUnavailable: it can't be loaded.
        """
        self._leave_old_loop()
        async with self._starting:
            if self._network is None:
                self._network = await asyncio.to_thread(Network, *self._how)
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")

    async def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> npt.NDArray[np.float32]:
        """Return one vector a text: float32, (texts, dimensions), in the order of the texts.

        ``dimensions`` cuts the vectors, where the model was trained for it, and makes them as long as before.

        Raises:
            InputError: an empty text, one text in the place of a list, a length that the model does not have.
            EngineError: the device failed, or the engine was closed meanwhile.
        """
        if isinstance(texts, str):
            raise InputError("embed() takes a list of texts; for one text give [text]")
        if not texts:
            return np.empty((0, dimensions or self.dimensions), np.float32)
        return await self.answer(Call(embed=tuple(texts), dimensions=dimensions)).vectors()

    def answer(self, call: Call) -> Answer:
        """Answer a call with ``Vectors``, one piece for each batch that it had a part in."""
        job = Job()
        return Answer(self._stream(call, job), lambda: job.usage(complete=False))

    def count_tokens(self, texts: Sequence[str | tuple[int, ...]]) -> int:
        """Return how many tokens the model reads of these texts; those of long ones are a bound, found at once."""
        quick = _chars(texts) <= INLINE_CHARS
        return self._encoder.count(texts) if quick else self._encoder.most(texts)

    async def aclose(self) -> None:
        """Let go of the model; calls under way fail. A later call loads it again."""
        self._leave_old_loop()
        self._fail(EngineUnavailable("the engine was closed before the embeddings were ready"))
        while self._runner is not None:
            await asyncio.wait([self._runner])
        thread, self._thread, self._network = self._thread, None, None
        if thread is not None:
            thread.shutdown()

    async def _stream(self, call: Call, job: Job) -> AsyncGenerator[Piece | Ending, None]:
        self._check(call)
        job.fill(await self._encoded(call.embed))
        await self.start()
        self._jobs.append(job)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        try:
            while job.missing:
                part = await job.events.get()
                if isinstance(part, EngineError):
                    raise part
                job.missing -= len(part.places)
                yield self._shortened(part, call.dimensions)
            yield Ending(finish=Finish.STOP, usage=job.usage(complete=True), model=self.manifest.name)
        finally:
            with contextlib.suppress(ValueError):
                self._jobs.remove(job)

    def _check(self, call: Call) -> None:
        if not call.embed or call.messages or call.prompt is not None:
            raise InputError(
                f"{self.manifest.name} makes embeddings: a call for it has texts in embed, no messages and no prompt"
            )
        empty = next((at for at, text in enumerate(call.embed) if not text), None)
        if empty is not None:
            raise InputError(f"text {empty} is empty; give a text")
        allowed = (*self.manifest.lengths, self.dimensions)
        if call.dimensions is not None and call.dimensions not in allowed:
            raise InputError(
                f"dimensions is {call.dimensions}; allowed for {self.manifest.name}: {', '.join(map(str, allowed))}"
            )

    async def _encoded(self, texts: Sequence[str | tuple[int, ...]]) -> list[Encoded]:
        if _chars(texts) <= INLINE_CHARS:
            return self._encoder.encode(texts)
        return await asyncio.to_thread(self._encoder.encode, texts)

    async def _run(self) -> None:
        """Send batch after batch through the network while texts wait; what arrives meanwhile joins the next."""
        loop = asyncio.get_running_loop()
        try:
            while self._jobs:
                slots = next_batch(self._jobs, max_texts=self._max_texts, max_tokens=BATCH_TOKENS)
                assert self._network is not None, "start() comes first"
                texts = [slot.job.texts[slot.place].ids for slot in slots]
                try:
                    ran = await loop.run_in_executor(self._thread, self._network.run, texts)
                except Exception as error:  # noqa: BLE001  # whatever the device raises must reach those who wait
                    self._tell(slots, EngineError(f"the device failed: {error}"))
                else:
                    self._hand_out(slots, ran)
        finally:
            self._runner = None

    def _hand_out(self, slots: Sequence[Slot], ran: Ran) -> None:
        self.busy_s += ran.seconds
        self.steps += 1
        total = sum(len(slot.job.texts[slot.place].ids) for slot in slots)
        for job, rows in _by_job(slots):
            places = tuple(slots[row].place for row in rows)
            job.engine_s += ran.seconds * sum(len(job.texts[place].ids) for place in places) / total
            cut = tuple(place for place in places if job.texts[place].cut)
            job.events.put_nowait(Vectors(places=places, values=ran.values[rows], cut=cut))

    def _shortened(self, part: Vectors, dimensions: int | None) -> Vectors:
        if dimensions is None or dimensions == self.dimensions:
            return part
        short = part.values[:, :dimensions]
        size = np.maximum(np.linalg.norm(short, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return Vectors(places=part.places, values=short / size, cut=part.cut)

    def _fail(self, error: EngineError) -> None:
        jobs, self._jobs = list(self._jobs), deque()
        for job in jobs:
            job.events.put_nowait(error)

    @staticmethod
    def _tell(slots: Sequence[Slot], error: EngineError) -> None:
        for job, _ in _by_job(slots):
            job.events.put_nowait(error)

    def _leave_old_loop(self) -> None:
        """Forget what an event loop began that is over, as after a second ``asyncio.run``."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._jobs, self._runner, self._loop = deque(), None, loop
            self._starting = asyncio.Lock()


def _by_job(slots: Sequence[Slot]) -> list[tuple[Job, list[int]]]:
    """Return the rows of a batch by the job that they belong to."""
    rows: dict[int, tuple[Job, list[int]]] = {}
    for row, slot in enumerate(slots):
        rows.setdefault(id(slot.job), (slot.job, []))[1].append(row)
    return list(rows.values())


def _chars(texts: Sequence[str | tuple[int, ...]]) -> int:
    return sum(map(len, texts))
