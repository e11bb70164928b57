"""llama.cpp as an outside program: ``llama-server`` with as many slots as requests, and ``llama-batched-bench``.

Both are run as they come; nothing of them is linked or copied here.
"""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine_child import ContestantError

START_LIMIT_S = 120.0
BATCHED_LIMIT_S = 1800.0


class LlamaServer:
    """A llama-server that is restarted when another number of slots is wanted."""

    def __init__(self, server: str, model: str, threads: int, context: int) -> None:
        self._server, self._model, self._threads, self._context = server, model, threads, context
        self._process: subprocess.Popen[bytes] | None = None
        self._slots = 0
        self._base_url = ""

    def with_slots(self, slots: int) -> str:
        """Return the base URL (up to ``/v1``) of a server with that many slots of ``context`` tokens each."""
        if self._process is not None and self._slots == slots and self._process.poll() is None:
            return self._base_url
        self.close()
        port = free_port()
        self._process = subprocess.Popen(
            [self._server, *self.arguments(slots), "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )
        self._slots, self._base_url = slots, f"http://127.0.0.1:{port}/v1"
        self._wait_until_healthy(f"http://127.0.0.1:{port}/health")
        return self._base_url

    def arguments(self, slots: int) -> list[str]:
        """Return the command line. The KV cache is split over the slots; what is not named is llama-server's own."""
        sizes = ["-np", str(slots), "-c", str(slots * self._context)]
        threads = ["-t", str(self._threads), "-tb", str(self._threads)]
        return ["-m", self._model, *sizes, *threads, "--no-kv-unified", "--jinja", "--no-webui", "--cache-ram", "0"]

    def version(self) -> str:
        """Return what the program says of itself."""
        done = subprocess.run([self._server, "--version"], capture_output=True, text=True, check=False, timeout=60)
        match = re.search(r"version:\s*(.+)", done.stdout + done.stderr)
        return match[1].strip() if match else "unknown"

    def close(self) -> None:
        """End the server."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _wait_until_healthy(self, url: str) -> None:
        assert self._process is not None
        limit = time.monotonic() + START_LIMIT_S
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy to this machine
        while time.monotonic() < limit:
            if self._process.poll() is not None:
                raise ContestantError(f"llama-server ended with exit code {self._process.returncode} while starting")
            try:
                with opener.open(url, timeout=2) as response:
                    if response.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise ContestantError(f"llama-server was not ready within {START_LIMIT_S:g} s")


class BatchedRow(NamedTuple):
    """One line of llama-batched-bench."""

    concurrency: int
    """Sequences decoded at once."""
    decode_tokens_per_s: float
    """Generated tokens per second, prompts not included."""
    prefill_tokens_per_s: float
    """Prompt tokens per second."""


def batched_bench(
    program: Path, model: Path, *, threads: int, prompt_tokens: int, new_tokens: int, levels: Sequence[int]
) -> list[BatchedRow]:
    """Run llama-batched-bench once over all levels; each sequence has a prompt of its own.

    Raises:
        ContestantError: it failed, or printed no row for a level.
    """
    context = max(levels) * (prompt_tokens + new_tokens)
    command = [str(program), "-m", str(model), "-c", str(context), "-t", str(threads), "-tb", str(threads)]
    command += ["-npp", str(prompt_tokens), "-ntg", str(new_tokens), "-npl", ",".join(map(str, levels))]
    process = subprocess.Popen(
        [*command, "--output-format", "jsonl"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=BATCHED_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise ContestantError(f"llama-batched-bench took longer than {BATCHED_LIMIT_S:g} s") from None
    finally:
        process.kill()
        process.wait()
    rows = batched_rows(out)
    if process.returncode != 0 or {row.concurrency for row in rows} != set(levels):
        said = err.strip().splitlines()
        raise ContestantError(
            f"llama-batched-bench ended with exit code {process.returncode}: {said[-1:] or 'no word'}"
        )
    return rows


def batched_rows(text: str) -> list[BatchedRow]:
    """Read llama-batched-bench's JSON lines; other lines are its log."""
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [BatchedRow(int(row["pl"]), float(row["speed_tg"]), float(row["speed_pp"])) for row in found]


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
