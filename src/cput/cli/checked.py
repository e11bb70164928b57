"""A workload's checks as a policy asks them of a call: its item's, or the one check that every item has.

In a measurement a call names its item. In service it is an item's where it says the same words; any other call is
judged where all items have one check with the same settings and no reference (a schema, say), and by nobody elsewhere.
"""

from cput.measure.judge import useful
from cput.policy import repeats_itself
from cput.records import Call, Grammar, Message
from cput.workloads import Item, Workload


class Checked:
    """The checks of a workload."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._by_id = {item.id: item for item in workload.items}
        self._by_words = {_words(call): item for item in workload.items if (call := workload.call(item))}
        self._any = _common(workload)

    def item(self, call: Call) -> Item | None:
        """Return the item whose check judges a call; None where nobody does."""
        if call.item is not None:
            return self._by_id.get(call.item)
        return self._by_words.get(_words(call), self._any)

    def judges(self, call: Call) -> bool:
        """Whether there is a check for a call."""
        return self.item(call) is not None

    def passes(self, call: Call, text: str) -> bool:
        """Whether a call's check passes an answer; False where nobody judges it."""
        item = self.item(call)
        return item is not None and useful(self.workload, item, text)

    def stands(self, call: Call, text: str) -> bool:
        """Whether an answer need not be asked for again: it passes, nobody judges it, or no answer could pass."""
        return not self.judges(call) or self.passes(call, text) or self.impossible(call) is not None

    def impossible(self, call: Call) -> str | None:
        """Return why no answer within a call's token bound can be useful; None where one may be."""
        item = self.item(call)
        return None if item is None else self.workload.impossible(item, call.sampling.max_new_tokens)

    def grammar(self, call: Call) -> Grammar | None:
        """Return the language in which an answer has what a call's check demands; None where there is none."""
        item = self.item(call)
        return None if item is None else self.workload.grammar(item, call.sampling.max_new_tokens)

    def lost(self, call: Call, text: str) -> str | None:
        """Return why an answer so far can't become useful; None where it may."""
        item = self.item(call)
        why = self.workload.hopeless(item, text) if item is not None else None
        return why or ("it repeats itself" if repeats_itself(text) else None)


def _words(call: Call) -> tuple[tuple[Message, ...], str | None]:
    return call.messages, call.prompt


def _common(workload: Workload) -> Item | None:
    """Return an item that stands for any call, where one check with one set of parameters judges all of them."""
    kinds = {(item.check, repr(sorted(item.params.items())), item.choices) for item in workload.items}
    if len(kinds) != 1 or not workload.servable or any(item.reference is not None for item in workload.items):
        return None
    return workload.items[0]
