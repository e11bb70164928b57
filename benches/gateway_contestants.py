"""The gateways that the bench compares, each in a process of its own, ended by the bench that started it.

``cput serve`` with its ledger, keys, prices and logs on; litellm's proxy at a pinned version, in a venv of its own,
with its master key and without a database, so that it writes nothing down.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
from engine_venvs import install, python_of

from cput.errors import SetupError
from cput.ledger.store import Ledger
from cput.serve.keys import create

LITELLM_VERSION = "1.106.12"
"""1.107.0 was a compromised release; the proxy's parts of newer ones can't all be had everywhere."""
FOLDING = "cput.ledger.folding"
START_S = 300.0
STOP_S = 20.0
MOCK = Path(__file__).with_name("gateway_mock.py")
PRICES = """
[[model]]
model = "mock"
valid_from = 2026-01-01
input = "0.15"
output = "0.60"
terms = "made up for the bench"
source = "benches/gateway_contestants.py"
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that answers, or the mock itself."""

    name: str
    url: str
    """Up to and including ``/v1``."""
    key: str
    process: psutil.Process | None
    """None for the mock, whose costs are nobody's."""

    def cpu_s(self) -> float:
        """Return the processor seconds that it has used, its children included."""
        if self.process is None:
            return 0.0
        return sum(sum(each.cpu_times()[:2]) for each in (self.process, *self.process.children(recursive=True)))

    def memory_bytes(self) -> int:
        """Return its resident memory, its workers included; the process that folds for a second or two is none."""
        assert self.process is not None
        total = 0
        for each in (self.process, *self.process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie too: it has just ended
                total += 0 if FOLDING in each.cmdline() else each.memory_info().rss
        return total


@contextlib.contextmanager
def mock(cores: set[int] | None) -> Iterator[Gateway]:
    """Run the mock upstream; it ends when its standard input closes, so also when the bench is killed."""
    process = subprocess.Popen([sys.executable, str(MOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        _pin(process.pid, cores)
        yield Gateway("direct", process.stdout.readline().strip(), "sk-bench", None)
    finally:
        process.stdin.close()
        process.wait()


@contextlib.contextmanager
def cput(upstream: str, folder: Path, cores: set[int] | None) -> Iterator[Gateway]:
    """Run ``cput serve`` with keys, prices, logs and the ledger on."""
    folder.mkdir()
    (folder / "prices.toml").write_text(PRICES, encoding="utf-8")
    with Ledger.open(folder / "ledger.db") as ledger:
        key = create(ledger, "bench", tenant="bench").secret
    command = [sys.executable, "-c", "from cput.cli import main; main()", "serve", upstream, "--port", "0", "--keys"]
    command += ["--ledger", str(folder / "ledger.db"), "--prices", str(folder / "prices.toml")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("base URL: ").strip()
        if not url:
            raise SetupError(f"cput serve did not start: {(folder / 'log').read_text(encoding='utf-8')[-500:]}")
        _pin(process.pid, cores)
        yield Gateway("cput", url, key, psutil.Process(process.pid))
    finally:
        _stop(process)


@contextlib.contextmanager
def litellm(upstream: str, folder: Path, cores: set[int] | None, build: Path) -> Iterator[Gateway]:
    """Run litellm's proxy with one worker.

    Raises:
        SetupError: it can't be installed, or does not answer.
    """
    venv = build / f"venv-litellm-{LITELLM_VERSION}"
    program = python_of(venv).with_name("litellm")
    if not program.exists():
        install(venv, (f"litellm[proxy]=={LITELLM_VERSION}",))
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "model_list:\n  - model_name: mock\n    litellm_params:\n      model: openai/mock\n"
        f"      api_base: {upstream}\n      api_key: sk-bench\n"
        "  - model_name: paced\n    litellm_params:\n      model: openai/paced\n"
        f"      api_base: {upstream}\n      api_key: sk-bench\n"
        "general_settings:\n  master_key: sk-bench\n",
        encoding="utf-8",
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(program), "--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    settings = {"LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--num_workers", "1"], stdout=log, stderr=log, env={**os.environ, **settings}
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health/liveliness", process, folder / "log")
        _pin(process.pid, cores)
        yield Gateway("litellm", f"http://127.0.0.1:{port}/v1", "sk-bench", psutil.Process(process.pid))
    finally:
        _stop(process)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.25)
    tail = log.read_text(encoding="utf-8", errors="replace")[-300:]
    raise SetupError(f"litellm's proxy did not answer within {START_S:g} s: {tail}")


def _pin(pid: int, cores: set[int] | None) -> None:
    """Keep a process, with all its threads, on some cores; nowhere else but on Linux is there a way."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        return
    for task in psutil.Process(pid).threads():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(task.id, cores)


def _stop(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
