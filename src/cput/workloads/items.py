"""One JSON object (or TOML table) to one Item, with the head's defaults; faults are named by field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cput.errors import InputError
from cput.records import Message
from cput.rules import ANY, FILLED, TABLE, TEXTS, Rule, is_integer, shown
from cput.workloads.checks.base import Check, ScoredCheck
from cput.workloads.checks.registry import find
from cput.workloads.fields import complaints, take
from cput.workloads.head import Head
from cput.workloads.item import Item
from cput.workloads.lines import bad_text
from cput.workloads.problems import Problems, Where

MAX_PROMPT_BYTES = 4 * 2**20
"""A longer prompt is refused while reading; a shorter one that does not fit is the engine's to refuse."""
ROLES = ("system", "user", "assistant", "tool")
_ITEM: Mapping[str, Rule] = {
    "id": Rule(lambda value: is_integer(value) or (isinstance(value, str) and bool(value.strip())), "a text or number"),
    "prompt": FILLED,
    "messages": Rule(lambda value: isinstance(value, list) and bool(value), "a list of messages"),
    "reference": ANY,
    "check": FILLED,
    "params": TABLE,
    "choices": TEXTS,
    "tags": TABLE,
}
_MESSAGE: Mapping[str, Rule] = {
    "role": Rule(lambda value: value in ROLES, " or ".join(f'"{role}"' for role in ROLES)),
    "content": Rule(lambda value: isinstance(value, str), "a text"),
}


@dataclass(slots=True)
class Reader:
    """Turns objects into items and remembers what a whole workload must agree on: ids and checks."""

    head: Head
    """Defaults."""
    problems: Problems
    """Where faults go."""
    folder: str
    """Where a user's own check module may lie."""
    items: list[Item] = field(default_factory=list)
    """The items without a fault."""
    count: int = 0
    """Objects read."""
    checks: dict[str, Check | ScoredCheck | None] = field(default_factory=dict)
    """Checks found so far; None for an unknown one."""
    _first: dict[str, Where] = field(default_factory=dict)
    """Where each id was first seen."""

    def add(self, value: Mapping[str, Any], where: Where, fallback_id: str) -> None:
        """Read one object; keep the item, or name everything that is wrong with it."""
        self.count += 1
        before = len(self.problems.found)
        given = take(value, _ITEM, self.problems, lambda _: where)
        item = Item(
            id=str(given.get("id", fallback_id)),
            prompt=given.get("prompt"),
            messages=self._messages(given.get("messages", []), where),
            reference=given.get("reference"),
            check=given.get("check", self.head.check),
            params={**self.head.params, **given.get("params", {})},
            choices=tuple(given.get("choices", self.head.choices)),
            tags=self._tags(given.get("tags", {}), where),
        )
        self._ask(value, item, where)
        self._unique(item, where)
        self._judge(item, where, "check" in given)
        if len(self.problems.found) == before:
            self.items.append(item)

    def _messages(self, value: list[Any], where: Where) -> tuple[Message, ...]:
        turns = []
        for number, turn in enumerate(value):
            name = f"messages[{number}]"
            if not isinstance(turn, dict):
                self.problems.wrong(where, name, turn, 'an object, e.g. {"role": "user", "content": "..."}')
                continue
            given = take(turn, _MESSAGE, self.problems, lambda _: where, f"{name}.")
            missing = [key for key in _MESSAGE if turn.get(key) is None]
            if missing:
                self.problems.add(where, f"{name}.{missing[0]}", f"missing in {shown(turn)}; allowed: a text")
            elif len(given) == len(_MESSAGE):
                turns.append(Message(**given))
        return tuple(turns)

    def _ask(self, value: Mapping[str, Any], item: Item, where: Where) -> None:
        has = [key for key in ("prompt", "messages") if value.get(key) is not None]
        if len(has) != 1:
            found = "both are given" if has else "both are missing"
            self.problems.add(where, "prompt", f"{found}, prompt and messages; allowed: exactly one of them")
        if item.messages and not item.messages[-1].content.strip():
            self.problems.add(where, "messages", "the last turn's content is empty; allowed: a turn to be answered")
        if item.messages and not self.head.chat:
            self.problems.add(where, "messages", "not allowed with chat = false in the head; allowed: prompt")
        size = len(item.text.encode("utf-8", "surrogatepass"))
        if size > MAX_PROMPT_BYTES:
            name = has[0] if has else "prompt"
            self.problems.add(where, name, f"is {size:,} bytes long; allowed: up to {MAX_PROMPT_BYTES:,} bytes")

    def _tags(self, value: Mapping[str, Any], where: Where) -> dict[str, str]:
        for key, part in value.items():
            if not isinstance(part, str):
                self.problems.wrong(where, f"tags.{shown(key)[1:-1]}", part, 'a text, e.g. "en"')
            elif fault := bad_text(part + key):
                self.problems.add(where, "tags", fault)
        return {key: part for key, part in value.items() if isinstance(part, str)}

    def _unique(self, item: Item, where: Where) -> None:
        first = self._first.setdefault(item.id, where)
        if first is not where:
            line = f"line {first.line}" if first.file == where.file else str(first)
            self.problems.add(where, "id", f"{shown(item.id)} was used before, at {line}; allowed: a new id per item")

    def _judge(self, item: Item, where: Where, own: bool) -> None:
        if item.check is None:
            if item.reference is not None:
                self.problems.add(where, "check", "a reference is given but no check says how to compare; name a check")
            return
        check = self._find(item.check, where, own)
        for name, sentence in check_complaints(check, item):
            self.problems.add(where, name, sentence)

    def _find(self, name: str, where: Where, own: bool) -> Check | ScoredCheck | None:
        if name not in self.checks:
            try:
                self.checks[name] = find(name, self.folder)
            except InputError as error:
                self.checks[name] = None
                if not own:  # the head's own name is wrong: said once, there
                    self.problems.add(self.head.where("quality.check"), "quality.check", str(error))
        if self.checks[name] is None and own:
            try:
                find(name, self.folder)
            except InputError as error:
                self.problems.add(where, "check", str(error))
        return self.checks[name]


def check_complaints(check: Check | ScoredCheck | None, item: Item) -> tuple[tuple[str, str], ...]:
    """Return (field, sentence) for each reason why ``check`` cannot judge ``item``."""
    if check is None:
        return ()
    rules = getattr(check, "params", None)
    found = [(f"params.{key}", sentence) for key, sentence in complaints(item.params, rules)] if rules else []
    if found:
        return tuple(found)  # the check's own look may rely on the types
    look: Callable[[Item], Any] | None = getattr(check, "problems", None)
    return tuple(look(item)) if look else ()
