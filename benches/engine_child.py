"""The bench's side of a contestant: a process of its own, in its own session, ended with everything it started."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cput.errors import CputError

JOB_LIMIT_S = 1800.0
GRACE_S = 5.0


class ContestantError(CputError):
    """A contestant could not be started or measured; the message is its own reason."""


class Child:
    """A running contestant.

    with Child("llama-server", [python, "engine_client.py"], setup, log) as child:
        answer = child.run(job)

    It is started in a session of its own: Ctrl-C reaches the bench alone, which then ends the children in order.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        setup: Mapping[str, Any],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.about: dict[str, Any] = {}
        self._log = log
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        try:
            self.about = self._ask(setup)["ready"]
        except BaseException:
            self.close()
            raise

    def run(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Send a job and return ``{"wall_s", "requests"}``.

        Raises:
            ContestantError: it failed, died or took longer than JOB_LIMIT_S.
        """
        return self._ask(job)

    def close(self) -> None:
        """End it: close its input, then, after a grace, end its whole session."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # it may be dead already
            process.stdin.close()
        try:
            process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=GRACE_S)
        self._signal(signal.SIGKILL)  # what it may have left behind in its session
        process.wait()
        process.stdout.close()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        alarm = threading.Timer(JOB_LIMIT_S, lambda: self._signal(signal.SIGKILL))
        alarm.daemon = True
        alarm.start()
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            alarm.cancel()
        if not line:
            raise ContestantError(f"its process ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContestantError(str(answer["error"]))
        return answer

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # its session is empty already
            os.killpg(self._process.pid, number)

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=GRACE_S)
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"exit code {self._process.poll()}, last words: {lines[-1] if lines else 'none'}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
