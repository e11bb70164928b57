"""The processes of the fault load test: upstreams and a gateway that are killed and come back at the same place."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
GATEWAY = (sys.executable, "-c", "import cput.cli; cput.cli.main()", "serve")
START_S = 60.0


class Mock:
    """An upstream process."""

    def __init__(self, name: str, folder: Path, *, fault_share: float, seed: int, token_s: float) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.port = 0
        self._faults = ["--fault-share", str(fault_share), "--token-s", str(token_s)]
        self._seed = seed
        self._started = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, at the port that it had before."""
        self._started += 1
        seed = f"{self._seed}:{self.name}:{self._started}"
        argv = [sys.executable, str(HERE / "faults_upstream.py"), "--log", str(self.log), "--port", str(self.port)]
        self._process = subprocess.Popen([*argv, "--seed", seed, *self._faults], stdout=subprocess.PIPE, text=True)
        self.port = int(first_line(self._process))

    def kill(self) -> None:
        """Kill it; what it had read is in its log."""
        killed(self._process)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def seen(self) -> list[str]:
        """Return the names of all requests that it read."""
        return self.log.read_text().splitlines() if self.log.exists() else []


class Gateway:
    """A ``cput serve`` process."""

    def __init__(self, file: Path, ledger: str, log: Path) -> None:
        self._file, self._ledger, self._log = file, ledger, log
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self.killed_at: list[float] = []

    def start(self) -> None:
        """Start it, at the port that it had before, and wait until it serves."""
        argv = [*GATEWAY, str(self._file), "--port", str(self.port), "--ledger", self._ledger]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True)
        line = first_line(self._process)
        if not line.startswith("base URL: "):
            raise RuntimeError(f"the gateway did not start: {self._log.read_text()[-2000:]}")
        self.port = int(line.strip().rpartition(":")[2].partition("/")[0])

    def kill(self) -> None:
        """Kill it."""
        self.killed_at.append(time.monotonic())
        killed(self._process)

    def stop(self) -> int:
        """Ask it to go (SIGTERM); return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(START_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"


def first_line(process: "subprocess.Popen[str]") -> str:
    """Return the first line that a process says; it is killed when it says none in time."""
    assert process.stdout is not None
    late = threading.Timer(START_S, process.kill)
    late.start()
    try:
        return process.stdout.readline()
    finally:
        late.cancel()


def killed(process: "subprocess.Popen[str] | None") -> None:
    """Kill a process, where it runs."""
    if process is None:
        return
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
