"""Homes for clients that do not live in the suite's own environment: made below ``build/clients`` on first use, kept.

litellm brings boto3 and 60 more packages and has had a compromised release, so it has a venv of its own at one version.
LangChain's langsmith wants an older uuid-utils than cput's: its venv lies over the suite's own environment. The ``openai`` npm package needs Node. Where one can't be made (no network, no npm) the test is skipped with the reason,
and fails with ``CPUT_REQUIRE_CLIENTS=1``.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

import cput

HOMES = Path(__file__).parents[2] / "build" / "clients"
SCRIPTS = Path(__file__).parent / "clients"
LITELLM = "litellm==1.110.2"  # never 1.107.0, a compromised release
LANGCHAIN = ("langchain-openai==1.7.4", "langchain-anthropic==1.7.10")
NODE_LEAST = 18
INSTALL_S = 600


@functools.cache
def litellm_python() -> Path:
    """The Python of a venv with litellm, and nothing of ours."""
    return _venv(LITELLM)


@functools.cache
def langchain_python() -> Path:
    """The Python of a venv with LangChain over the suite's own packages; run it ``with_us``."""
    return _venv(*LANGCHAIN, over=True)


def with_us() -> dict[str, str]:
    """An environment in which the code under test is found."""
    return {**os.environ, "PYTHONPATH": str(Path(cput.__file__).parents[1])}


@functools.cache
def node_home() -> Path:
    """A folder with the ``openai`` npm package; scripts that stand in it can import it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        _without("Node and npm are not installed; Debian's packages are: apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    major = int(version.removeprefix("v").split(".")[0])
    if major < NODE_LEAST:
        _without(f"Node is {version}; the openai package needs {NODE_LEAST} or later")
    package = "openai@7.57.0" if major >= 22 else "openai@6.30.1"  # 7 wants Node 22
    home = _home(package.replace("@", "-"))
    with FileLock(f"{home}.lock"):
        if not (home / "made").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            (home / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
            quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            _made([npm, "install", "--prefix", str(home), *quiet, package], home)
            (home / "made").touch()
    return home


def run_python(python: Path, script: Path, *argv: str, **environment: str) -> str:
    """Run a script; return what it printed."""
    return _run([str(python), str(script), *argv], environment)


def run_node(code: str, name: str, *argv: str, **environment: str) -> str:
    """Run a module's code beside the installed packages; return what it printed."""
    home = node_home()
    with FileLock(f"{home}.lock"):
        (home / f"{name}.mjs").write_text(code, encoding="utf-8")
    return _run(["node", str(home / f"{name}.mjs"), *argv], environment)


def _run(command: list[str], environment: dict[str, str]) -> str:
    found = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-4000:]
    return found.stdout


def _venv(*packages: str, over: bool = False) -> Path:
    home = _home("-".join(packages).replace("==", "-"))
    python = home / "bin" / "python"
    with FileLock(f"{home}.lock"):
        if not (home / "made").exists():
            shutil.rmtree(home, ignore_errors=True)
            _made([sys.executable, "-m", "venv", str(home)], home)
            if over:
                (folder,) = home.glob("lib/python*/site-packages")
                below = [path for path in sys.path if path.endswith("site-packages")]
                (folder / "below.pth").write_text("\n".join(below), encoding="utf-8")
            _made([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], home)
            (home / "made").touch()
    return python


def _home(name: str) -> Path:
    HOMES.mkdir(parents=True, exist_ok=True)
    return HOMES / name


def _made(command: list[str], home: Path) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        _without(f"making {home.name} took longer than {INSTALL_S} s")
    if done.returncode != 0:
        _without(f"{home.name} could not be made: {(done.stderr or done.stdout).strip()[-500:]}")


def _without(why: str) -> NoReturn:
    if os.environ.get("CPUT_REQUIRE_CLIENTS") == "1":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)
