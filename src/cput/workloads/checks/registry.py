"""Checks by name: those of installed packages, ours among them (entry points ``cput.checks``), and ``module:function``.

A built-in name cannot be taken over by another package. ``module:function`` is looked for among the installed modules
first, then as ``module.py`` beside the workload; naming it runs its code.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from cput.errors import InputError, unknown
from cput.workloads.checks.base import Check, ScoredCheck
from cput.workloads.checks.function import FunctionCheck

GROUP = "cput.checks"
_OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def names() -> tuple[str, ...]:
    """Return the names of every check that is installed."""
    return tuple(sorted(_installed()))


def find(name: str, folder: str | None = None) -> Check | ScoredCheck:
    """Return the check called ``name``; ``folder`` is where a user's own module may lie.

    Raises:
        InputError: for an unknown name, or a module or function that cannot be used.
    """
    if name in _installed():
        return _load(name, _installed()[name])
    if _OWN.fullmatch(name):
        module, _, path = name.partition(":")
        return _as_check(name, _attribute(name, _module(name, module, folder), path))
    if ":" in name:
        raise InputError(f"check '{name}' is not package.module:function; allowed: that, or {', '.join(names())}")
    raise unknown("check", name, names())


@cache
def _installed() -> dict[str, EntryPoint]:
    """Return the checks by name; where two packages offer one name, our own stays what it is."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.value.startswith("cput."))
    return {point.name: point for point in points}


def _load(name: str, point: EntryPoint) -> Check | ScoredCheck:
    try:
        target = point.load()
    except Exception as error:
        raise InputError(f"check '{name}' cannot be loaded from {point.value}: {_told(error)}") from error
    return _as_check(name, target)


def _module(name: str, module: str, folder: str | None) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise InputError(f"check '{name}': importing {module} failed: {_told(error)}") from error
    except Exception as error:
        raise InputError(f"check '{name}': importing {module} failed: {_told(error)}") from error
    file = Path(folder or ".").resolve() / f"{module.replace('.', '/')}.py"
    if not file.is_file():
        raise InputError(f"check '{name}': no module {module} is installed and no {file.name} lies beside the workload")
    return _from_file(name, file)


def _from_file(name: str, file: Path) -> ModuleType:
    key = f"_cput_check_{abs(hash(str(file)))}"
    spec = importlib.util.spec_from_file_location(key, file)
    if spec is None or spec.loader is None:
        raise InputError(f"check '{name}': {file.name} cannot be imported; allowed: a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[key]
        raise InputError(f"check '{name}': importing {file.name} failed: {_told(error)}") from error
    return module


def _attribute(name: str, module: ModuleType, path: str) -> Any:
    target: Any = module
    for part in path.split("."):
        if not hasattr(target, part):
            allowed = sorted(key for key in vars(target) if not key.startswith("_"))
            raise InputError(f"check '{name}': {unknown('name', part, allowed)}")
        target = getattr(target, part)
    return target


def _as_check(name: str, target: Any) -> Check | ScoredCheck:
    made = target() if isinstance(target, type) else target
    if isinstance(made, Check | ScoredCheck):
        return made
    if callable(made):
        function: Callable[..., Any] = made
        return FunctionCheck(name, function)
    raise InputError(
        f"check '{name}' is a {type(made).__name__}; allowed: a function (item, text), or a class with judge"
    )


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
