"""One thing that is asked, and what its answer is judged against."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cput.records import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One call of a workload. Exactly one of ``prompt`` and ``messages`` is set."""

    id: str
    """Unique in the workload; ``FILE-STEM:LINE`` where the author gave none."""
    prompt: str | None = None
    """One user turn (chat workloads) or a raw text to continue (``chat = false``)."""
    messages: tuple[Message, ...] = ()
    """A conversation that ends with the turn to be answered."""
    reference: Any = None
    """What the check compares with: a text, a number, a list or an object, as the check says; None where none is."""
    check: str | None = None
    """Name of the check that judges this item; None where nobody does (the call stays pending)."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the check; the head's, overridden key by key by the item's."""
    choices: tuple[str, ...] = ()
    """The allowed answers, where they are few."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Slices the item belongs to."""

    @property
    def text(self) -> str:
        """Everything that is asked as one text: the prompt, or the turns' contents with blank lines between."""
        return self.prompt if self.prompt is not None else "\n\n".join(turn.content for turn in self.messages)
