"""Estimates: what each engine's answer to a prompt is expected to be worth and to cost, before anybody is asked.

``Estimator`` is what a router is fitted to be (``policy/router``); anything with ``engines`` and ``estimate`` is one.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cput.errors import unknown
from cput.records import Call

Floats = npt.NDArray[np.float64]


class Expected(NamedTuple):
    """For ``n`` prompts and ``m`` engines."""

    quality: Floats
    """(n, m): probability of a useful answer; NaN is unknown."""
    cost_usd: Floats
    """(n, m): what it will cost, in US dollars; NaN is unknown."""


class Estimated(Protocol):
    """What an estimator returns: ``Expected``, or anything with its fields."""

    @property
    def quality(self) -> Floats:
        """(n, m)."""
        ...

    @property
    def cost_usd(self) -> Floats:
        """(n, m)."""
        ...


class Estimator(Protocol):
    """Expects quality and cost of each engine from the prompt."""

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines, ``m``, in the order of the columns."""
        ...

    def estimate(self, prompts: Sequence[str], tags: Mapping[str, Sequence[str]] | None = None) -> Estimated:
        """Return what is expected for ``n`` prompts; ``tags`` has a value a prompt for each dimension."""
        ...


def asked_text(call: Call) -> str:
    """Return what was asked, as one text: the prompt, or the last turn of the user."""
    if call.prompt is not None:
        return call.prompt
    said = [turn.content for turn in call.messages if turn.role == "user"]
    return said[-1] if said else ""


def expected(estimator: Estimator, text: str, call: Call) -> Expected:
    """Return what is expected of one call, as arrays of one row."""
    found = estimator.estimate([text], {name: (value,) for name, value in call.tags.items()})
    return Expected(np.asarray(found.quality, dtype=np.float64), np.asarray(found.cost_usd, dtype=np.float64))


def in_order(estimator: Estimator, found: Estimated, engines: Sequence[str]) -> Expected:
    """Return what is expected of ``engines``, column by column.

    Raises:
        InputError: the estimator knows nothing of one.
    """
    places = []
    for name in engines:
        if name not in estimator.engines:
            raise unknown("engine of the estimator", name, estimator.engines)
        places.append(estimator.engines.index(name))
    return Expected(
        np.asarray(found.quality, dtype=np.float64)[:, places], np.asarray(found.cost_usd, dtype=np.float64)[:, places]
    )
