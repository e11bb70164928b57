"""Decided: an answer of a policy, whose grounds are known before its end: one that is hung up on tells them too."""

from collections.abc import AsyncGenerator, Callable

from cput.protocols import Answer
from cput.records import Ending, Grounds, Piece, Usage, changed


class Decided(Answer):
    """An ``Answer`` that asks ``grounds`` when the caller hangs up; None where nothing was decided by then."""

    def __init__(
        self,
        stream: AsyncGenerator[Piece | Ending, None],
        usage_so_far: Callable[[], Usage],
        attempt: Callable[[], int | None],
        grounds: Callable[[], Grounds | None],
    ) -> None:
        super().__init__(stream, usage_so_far, attempt)
        self._grounds = grounds

    async def aclose(self) -> None:
        """Hang up; see ``Answer.aclose``."""
        await super().aclose()
        grounds = self._grounds()
        if self.ending.grounds is None and grounds is not None:
            self._ending = changed(self.ending, grounds=grounds)
