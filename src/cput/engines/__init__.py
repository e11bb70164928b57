"""Engines: anything that answers calls. Built-ins come in by the same entry points as strangers' (``cput.engines``).

An engine's entry point is a function ``open_engine(**options) -> Engine``; ``open_engine(name, **options)`` here finds
it, checks the options' names against its signature, and calls it.
"""

import inspect
from importlib.metadata import entry_points
from typing import Any

from cput.errors import InputError, unknown
from cput.protocols import Engine

__all__ = ["engine_names", "open_engine"]


def engine_names() -> tuple[str, ...]:
    """Return the names of the installed engines, sorted."""
    return tuple(sorted(point.name for point in entry_points(group="cput.engines")))


def open_engine(name: str, **options: Any) -> Engine:
    """Open the engine called ``name`` with its own options.

    Raises:
        InputError: unknown engine, or an option that it does not take.
    """
    found = {point.name: point for point in entry_points(group="cput.engines")}
    if name not in found:
        raise unknown("engine", name, found)
    factory = found[name].load()
    takes = inspect.signature(factory).parameters
    for option in options:
        if option not in takes:
            raise unknown(f"option of engine {name}", option, takes)
    engine = factory(**options)
    if not isinstance(engine, Engine):
        raise InputError(f"engine '{name}' gave a {type(engine).__name__}, which has no name, answer and aclose")
    return engine
