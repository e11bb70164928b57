"""A user's own function as a check: ``def useful(item, text) -> bool | float | Judgement``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cput.errors import InputError
from cput.rules import is_number, shown
from cput.workloads.checks.base import Judgement, verdict
from cput.workloads.item import Item


@dataclass(frozen=True, slots=True)
class FunctionCheck:
    """Judges by a function. True or 1.0 is useful; a float between is graded and passes at 1."""

    name: str
    """``package.module:function``, or the entry point's name."""
    function: Callable[..., Any]
    """Takes the item and the answer's text."""

    def judge(self, item: Item, text: str) -> Judgement:
        """Return what the function found.

        Raises:
            InputError: where the function itself fails; a broken check says nothing about the answer, so the call is
                to stay pending.
        """
        try:
            found = self.function(item, text)
        except Exception as error:
            raise InputError(
                f"check '{self.name}' failed on item '{item.id}': {type(error).__name__}: {error}"
            ) from error
        if isinstance(found, Judgement):
            return found
        if isinstance(found, bool):
            return verdict(found)
        if is_number(found) and 0 <= found <= 1:
            return Judgement(float(found), found >= 1)
        raise InputError(
            f"check '{self.name}' returned {shown(found)} on item '{item.id}'; allowed: true, false, 0 to 1, Judgement"
        )
