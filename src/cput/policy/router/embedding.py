"""Vectors of prompts, from threads that run no event loop, each text once a process and once a machine.

    vectors = Embedding("all-minilm-l6-v2")
    vectors.of(["What is 7 * 8?"])          # float32 (1, 384), rows of length 1

Fitting and replaying ask for the same thousands of texts again and again, so that whole lists are kept in the user's
cache folder, under a digest of the model and the texts (no text is written). Single requests are never kept.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from cput.engines.embedder import Embedder

Vectors = npt.NDArray[np.float32]
KEPT_FROM = 256
"""Texts from which a list is kept on disk."""
BATCH = 512


class Embedding:
    """An embedding model by name; it is loaded when it is first asked.

    Args:
        model: name in the model store, or a model folder.
        cache: where vectors are kept; None is the user's cache folder.
    """

    def __init__(self, model: str, *, cache: Path | None = None) -> None:
        self.model = model
        self._cache = cache
        self._thread: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._embedder: Embedder | None = None

    def of(self, texts: Sequence[str], *, progress: Callable[[int], None] = lambda _: None) -> Vectors:
        """Return one vector a text, (n, d); ``progress`` is told how many are done. An empty text counts as a blank.

        Raises:
            SetupError: the model is not stored; the message says how to get it.
        """
        if len(texts) < KEPT_FROM:
            return self._made(texts, progress)
        file = self._file(texts)
        if file.is_file():
            found: Vectors = np.load(file, allow_pickle=False)
            progress(len(texts))
            return found
        made = self._made(texts, progress)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.stem}.{os.getpid()}.npy")
        np.save(part, made)
        part.replace(file)  # another process sees the whole file or none
        return made

    def close(self) -> None:
        """Let go of the model."""
        if self._thread is not None:
            self._thread.submit(self._run_close).result()
            self._thread.shutdown()
            self._thread = self._loop = self._embedder = None

    def _made(self, texts: Sequence[str], progress: Callable[[int], None]) -> Vectors:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="router-embedding")
        return self._thread.submit(self._run, list(texts), progress).result()

    def _run(self, texts: list[str], progress: Callable[[int], None]) -> Vectors:
        """Embed on the one thread that owns the model and its event loop: callers may run a loop of their own."""
        if self._loop is None:
            from cput.engines.embedder import open_engine

            self._embedder = open_engine(self.model)
            self._loop = asyncio.new_event_loop()
        assert self._embedder is not None
        parts = []
        for start in range(0, len(texts), BATCH):
            batch = [text if text.strip() else "." for text in texts[start : start + BATCH]]
            parts.append(self._loop.run_until_complete(self._embedder.embed(batch)))
            progress(start + len(batch))
        return np.concatenate(parts) if parts else np.empty((0, self._embedder.dimensions), np.float32)

    def _run_close(self) -> None:
        if self._loop is not None and self._embedder is not None:
            self._loop.run_until_complete(self._embedder.aclose())
            self._loop.close()

    def _file(self, texts: Sequence[str]) -> Path:
        import platformdirs

        digest = hashlib.sha256(self.model.encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        folder = self._cache or platformdirs.user_cache_path("cput") / "router-vectors"
        return folder / f"{digest.hexdigest()[:32]}.npy"
