"""Engines: anything that answers calls. Built-ins come in by the same entry points as strangers' (``cput.engines``).

An engine's entry point is a function ``open_engine(**options) -> Engine``; ``open_engine(name, **options)`` here finds
it, checks the options' names against its signature, and calls it.
"""

import inspect
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from cput.errors import InputError, SetupError, unknown
from cput.protocols import Engine

__all__ = ["engine_names", "open_engine"]


def engine_names() -> tuple[str, ...]:
    """Return the names of the installed engines, sorted."""
    return tuple(sorted(point.name for point in entry_points(group="cput.engines")))


def open_engine(name: str, **options: Any) -> Engine:
    """Open the engine called ``name`` with its own options.

    Raises:
        InputError: unknown engine, an option that it does not take, or one that it needs and is not given.
        SetupError: the engine's package is broken.
    """
    found = {point.name: point for point in entry_points(group="cput.engines")}
    if name not in found:
        raise unknown("engine", name, found)
    try:
        factory = found[name].load()
    except ImportError as error:
        raise SetupError(f"engine '{name}' can't be loaded: {error}; reinstall the package that brings it") from error
    _check_options(name, inspect.signature(factory).parameters, options)
    engine = factory(**options)
    if not isinstance(engine, Engine):
        raise InputError(f"engine '{name}' gave a {type(engine).__name__}, which has no name, answer and aclose")
    return engine


def _check_options(name: str, takes: Mapping[str, inspect.Parameter], options: Mapping[str, Any]) -> None:
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values()):
        for option in options:
            if option not in takes:
                raise unknown(f"option of engine {name}", option, takes)
    for option, parameter in takes.items():
        open_ended = parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}
        if parameter.default is parameter.empty and not open_ended and option not in options:
            raise InputError(f"engine '{name}' needs the option '{option}'; give {option}=...")
