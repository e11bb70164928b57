"""Reading a saved estimator, whatever kind it is."""

from collections.abc import Callable
from pathlib import Path

from cput.errors import unknown
from cput.policy.router import category, stacked
from cput.policy.router.estimates import Estimator
from cput.policy.router.files import read_head


def load_estimator(folder: str | Path) -> Estimator:
    """Return the estimator that was saved to a folder; nothing in it is run.

    Raises:
        InputError: there is none, or one of an unknown kind.
    """
    kinds: dict[str, Callable[[str | Path], Estimator]] = {
        category.KIND: category.ByCategory.load,
        stacked.KIND: stacked.Stacked.load,
    }
    kind = str(read_head(folder).get("kind"))
    if kind not in kinds:
        raise unknown("kind of saved router", kind, kinds)
    return kinds[kind](folder)
