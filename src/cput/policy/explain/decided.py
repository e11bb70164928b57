"""Decided: an answer of a policy, whose grounds are known before its end: one that is hung up on tells them too."""

from collections.abc import AsyncGenerator, Callable

from cput.protocols import Answer
from cput.records import Ending, Grounds, Piece, Usage, changed


class Decided(Answer):
    """An ``Answer`` that knows its grounds from its first piece on; None where nothing is decided yet."""

    def __init__(
        self,
        stream: AsyncGenerator[Piece | Ending, None],
        usage_so_far: Callable[[], Usage],
        attempt: Callable[[], int | None],
        grounds: Callable[[], Grounds | None],
    ) -> None:
        super().__init__(stream, usage_so_far, attempt)
        self._grounds = grounds

    @property
    def grounds(self) -> Grounds | None:
        """Why it is answered as it is; None where nothing is decided yet."""
        return self._grounds()

    async def aclose(self) -> None:
        """Hang up; see ``Answer.aclose``. The ending then has the grounds, where there are some."""
        await super().aclose()
        if self.ending.grounds is None and self.grounds is not None:
            self._ending = changed(self.ending, grounds=self.grounds)
