"""``cput serve --on ray`` as a process of its own: Ray leaves threads and warnings behind in the process that starts it."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys

import psutil
import pytest

COMMAND = [sys.executable, "-c", "import cyclopts; from cput.cli.serve import serve; cyclopts.run(serve)"]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; pip install 'cput[ray]'"
)


class OnRay:
    """A gateway on a local Ray: its URL, and the processes of its replicas."""

    def __init__(self, argv, log, environment=None):
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **(environment or {})}
            )
        self.first = self.process.stdout.readline()
        assert self.first, log.read_text()
        self.url = self.first.split()[-1]
        self.root = self.url.removesuffix("/v1")
        self.started = {child.pid: child.create_time() for child in self.descendants()}

    def descendants(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def replicas(self, deployment):
        """The process ids of a deployment's replicas: descendants of this process, by the name that Ray gave them.

        While a replica serves a call, the call's method stands behind the name.
        """
        found = []
        for child in self.descendants():
            with contextlib.suppress(psutil.Error, IndexError):
                if child.cmdline()[0].startswith(f"ray::ServeReplica:cput:{deployment}"):
                    found.append(child.pid)
        return found

    def stop(self):
        """SIGTERM; return the exit code once all that it started is gone."""
        everything = self.descendants()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        _, alive = psutil.wait_procs(everything, timeout=15)
        assert not alive, [(child.pid, child.cmdline()) for child in alive]
        return code


@contextlib.contextmanager
def on_ray(argv, log, environment=None):
    opened = OnRay(argv, log, environment)
    everything = opened.descendants()
    try:
        yield opened
        everything = opened.descendants() if opened.process.poll() is None else []
    finally:
        if opened.process.poll() is None:
            opened.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                opened.process.wait(60)
        if opened.process.poll() is None:
            opened.process.kill()
            opened.process.wait(10)
        for child in psutil.wait_procs(everything, timeout=10)[1]:
            child.kill()
        opened.process.stdout.close()
