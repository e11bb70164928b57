"""A saved estimator: a folder with ``router.json`` (what it is) and, where it is learned, ``router.skops``.

skops writes fitted scikit-learn objects as data: nothing in the file is run when it is read, and types that are not on
the list below are refused.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cput.errors import InputError
from cput.rules import shown

HEAD, LEARNED = "router.json", "router.skops"
VERSION = 1
TRUSTED = (
    "scipy.sparse._csr.csr_matrix",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types that skops does not trust by itself: a sparse matrix, and the parts of gradient boosting. Plain data here."""


def write_head(folder: str | Path, kind: str, engines: Sequence[str], said: Mapping[str, Any]) -> None:
    """Write what an estimator is; the folder is made where it is not there."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    head = {"version": VERSION, "kind": kind, "engines": list(engines), **said}
    (path / HEAD).write_text(json.dumps(head, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_head(folder: str | Path) -> dict[str, Any]:
    """Return what an estimator is.

    Raises:
        InputError: there is none, or it is of another version.
    """
    file = Path(folder) / HEAD
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"no saved router can be read from {file}: {error}") from error
    if not isinstance(said, dict) or said.get("version") != VERSION:
        found = said.get("version") if isinstance(said, dict) else said
        raise InputError(f"{file}: version is {shown(found)}; allowed: {VERSION}. Fit the router again")
    return said


def write_learned(folder: str | Path, learned: Any) -> None:
    """Write fitted objects beside the head."""
    import skops.io

    skops.io.dump(learned, Path(folder) / LEARNED)


def read_learned(folder: str | Path) -> Any:
    """Return the fitted objects.

    Raises:
        InputError: the file is missing or broken, or holds a type that is not trusted.
    """
    import skops.io

    file = Path(folder) / LEARNED
    try:
        foreign = sorted(set(skops.io.get_untrusted_types(file=file)) - set(TRUSTED))
        learned = None if foreign else skops.io.load(file, trusted=list(TRUSTED))
    except Exception as error:  # a broken file raises whatever zip, JSON or numpy do
        raise InputError(f"{file} can't be read as a saved router: {error}") from error
    if foreign:
        raise InputError(f"{file} holds types that are not trusted: {', '.join(foreign)}")
    return learned
