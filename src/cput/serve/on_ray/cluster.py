"""A local Ray of our own, ended when left, or the cluster that there is.

A Ray cluster runs code for whoever can reach its ports. The local one listens on loopback, wants a token that nobody
else knows, reports nothing to anyone, writes no request to disk, and keeps its files in a folder that only its owner
can read and that is removed at the end.
"""

import contextlib
import logging
import math
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cput.errors import SetupError
from cput.serve.run import bind

OBJECT_STORE_BYTES = 128 << 20
"""Shared memory for what replicas hand each other; pieces of answers are small and do not get there."""
QUIETLY = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's switch for "this node is 127.0.0.1 and stays alone"
    "RAY_enable_metrics_collection": "0",  # its own Prometheus ports
    "RAY_COLOR_PREFIX": "0",
    "RAY_DEDUP_LOGS": "0",  # a log line is a call; none is like another
    "RAY_SERVE_LOG_TO_STDERR": "0",  # Ray Serve's own words are in its files
}


HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",  # HAProxy asks every second or so, and retries elsewhere
}
HAPROXY_FILES = {
    "CONFIG_FILE_LOC": "haproxy.cfg",
    "SOCKET_PATH": "a",  # a socket's path has at most 97 characters, of which Ray takes 57 for a folder between
    "METRICS_SOCKET_PATH": "m",
    "SERVER_STATE_BASE": "haproxy",
    "SERVER_STATE_FILE": "haproxy/state",
}


def prepare(address: str | None, *, haproxy: bool = False) -> None:
    """Set what Ray reads from the environment, and import it: it reads most of that only once, so before all else.

    Raises:
        SetupError: Ray, or a part of it that is needed, is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        os.environ.update(QUIETLY | (HAPROXY if haproxy else {}))
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        import ray.serve  # noqa: F401  # whether it can be
    except ModuleNotFoundError as missing:
        raise SetupError(f"--on ray needs {missing.name}; install it with: pip install 'cput[ray]'") from missing


@contextlib.contextmanager
def local(cpus: float, *, show_logs: bool) -> Iterator[None]:
    """Start Ray on this machine with as many CPUs as are asked for (in its books), and end it when left.

    ``prepare`` must have been called first.

    Raises:
        SetupError: it can't be started.
    """
    import ray

    short = tempfile.gettempdir() if len(tempfile.gettempdir()) < 16 else "/tmp"  # noqa: S108  # mkdtemp makes a new one
    folder = tempfile.mkdtemp(prefix="cput-ray-", dir=short)
    if os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1":
        os.environ.update(_haproxy_here(Path(folder)))
    try:
        try:
            with _deaf_to(signal.SIGTERM):
                ray.init(
                    num_cpus=max(1, math.ceil(cpus)),
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=show_logs,
                    logging_level=logging.ERROR,
                    _temp_dir=folder,
                    _system_config={"automatic_object_spilling_enabled": False},
                )
        except (RuntimeError, ValueError, OSError) as error:
            raise SetupError(f"Ray can't be started on this machine: {str(error).splitlines()[0]}") from error
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _haproxy_here(folder: Path) -> dict[str, str]:
    """Return the settings by which HAProxy keeps its files in our folder, and takes free ports for what it shows."""
    files = {f"RAY_SERVE_HAPROXY_{name}": str(folder / file) for name, file in HAPROXY_FILES.items()}
    with bind("127.0.0.1", 0) as stats, bind("127.0.0.1", 0) as metrics:
        ports = {"STATS": stats.getsockname()[1], "METRICS": metrics.getsockname()[1]}
    return files | {f"RAY_SERVE_HAPROXY_{name}_PORT": str(port) for name, port in ports.items()}


@contextlib.contextmanager
def _deaf_to(number: signal.Signals) -> Iterator[None]:
    """Let processes that are started within inherit a mask against a signal, as Ray does for SIGINT.

    systemd and ``timeout`` send SIGTERM to the whole group: Ray's own processes would be gone before anything drained.
    They end with ``ray.shutdown()``, and with this process however it ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def existing(address: str, *, show_logs: bool) -> Iterator[None]:
    """Connect to a running cluster; leaving it disconnects.

    Raises:
        SetupError: there is none at that address.
    """
    import ray

    try:
        ray.init(address=address, log_to_driver=show_logs, logging_level=logging.ERROR)
    except (RuntimeError, ValueError, OSError) as error:
        raise SetupError(f"there is no Ray cluster at '{address}': {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        ray.shutdown()
