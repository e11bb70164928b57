"""A named set of calls, how their answers are judged, and what latency and quality they must keep.

    workload = load("ifeval")
    for item in workload.items:
        text = await engine.answer(workload.call(item)).text()
        check = workload.check_for(item)
        if isinstance(check, Check):
            print(check.judge(item, text).passed)

Times are seconds, shares are of 1, ``None`` is "not stated".
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cput.records import Call, Grammar, Message, Sampling
from cput.workloads.checks.base import BoundedCheck, Check, ConstrainingCheck, EarlyCheck, ScoredCheck
from cput.workloads.item import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Limits that one call must meet; None is no limit."""

    ttft_s: float | None = None
    """Sending to first token."""
    tpot_s: float | None = None
    """Time per output token after the first."""
    e2e_s: float | None = None
    """Sending to end."""

    def limits(self) -> dict[str, float]:
        """Return the limits that are stated, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The useful rate below which no saving counts. At least one is set."""

    useful_rate: float | None = None
    """Absolute share of judged calls that must be useful."""
    share_of_baseline: float | None = None
    """Share of the baseline's useful rate that must be kept (1.0: not lower)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is asked and how it is judged."""

    name: str
    """Short name for the ledger and the reports."""
    description: str = ""
    """One sentence for people."""
    licence: str | None = None
    """Licence of the items; None is unknown."""
    source: str | None = None
    """Where the items come from; None is unknown."""
    system_prompt: str | None = None
    """Stands before every conversation that has no system turn of its own."""
    chat: bool = True
    """True: an item's ``prompt`` is one user turn. False: it is raw text, sent without a chat template."""
    sampling: Sampling = field(default_factory=Sampling)
    """How answers are drawn, the answer's grammar included."""
    slo: Slo = field(default_factory=Slo)
    """Latency limits of one call."""
    floor: Floor | None = None
    """Quality floor; None where none is stated."""
    check: str | None = None
    """Name of the default check."""
    threshold: float | None = None
    """Value from which an answer passes; None leaves it to the check."""
    items: tuple[Item, ...] = ()
    """What is asked, in the files' order."""
    digest: str = ""
    """SHA-256 of head and items as canonical JSON: line ends, spaces and key order do not change it."""
    checks: Mapping[str, Check | ScoredCheck] = field(default_factory=dict, repr=False, compare=False)
    """The checks that items name, found while loading."""

    def call(self, item: Item, **kwargs: Any) -> Call:
        """Return the call that asks ``item``; ``kwargs`` (``id``, ``tenant``, ``sampling``, ...) override fields."""
        fields: dict[str, Any] = {
            "sampling": self.sampling,
            "workload": self.name,
            "item": item.id,
            "tags": item.tags,
        }
        if item.prompt is not None and not self.chat:
            fields["prompt"] = item.prompt
        else:
            fields["messages"] = self._messages(item)
        return Call(**(fields | kwargs))

    def check_for(self, item: Item) -> Check | ScoredCheck | None:
        """Return the check that judges ``item``; None where nobody does, and the call stays pending."""
        return None if item.check is None else self.checks[item.check]

    @property
    def servable(self) -> bool:
        """Whether every check can judge at serving time: it needs no reference answer, which only a test set has."""
        checks = [self.check_for(item) for item in self.items]
        return bool(checks) and all(getattr(check, "servable", False) for check in checks)

    def hopeless(self, item: Item, text: str) -> str | None:
        """Return why the answer so far can't become useful, where the item's check can tell; else None."""
        check = self.check_for(item)
        return check.hopeless(item, text) if isinstance(check, EarlyCheck) else None

    def grammar(self, item: Item, max_new_tokens: int | None = None) -> Grammar | None:
        """Return a language in which an answer has what the item's check demands; None where there is none.

        ``max_new_tokens`` is the call's bound where it is not the workload's.
        """
        check = self.check_for(item)
        bound = self.sampling.max_new_tokens if max_new_tokens is None else max_new_tokens
        return check.grammar(item, bound) if isinstance(check, ConstrainingCheck) else None

    @property
    def constrainable(self) -> bool:
        """Whether answers can be constrained by their checks: these need no reference, and one of them says how."""
        return self.servable and any(self.grammar(item) is not None for item in self.items)

    def impossible(self, item: Item, max_new_tokens: int | None = None) -> str | None:
        """Return why no answer within the token bound can be useful, where the item's check can tell; else None."""
        check = self.check_for(item)
        bound = self.sampling.max_new_tokens if max_new_tokens is None else max_new_tokens
        return check.impossible(item, bound) if isinstance(check, BoundedCheck) else None

    def _messages(self, item: Item) -> tuple[Message, ...]:
        turns = item.messages or (Message(role="user", content=item.prompt or ""),)
        if self.system_prompt is None or turns[0].role == "system":
            return turns
        return (Message(role="system", content=self.system_prompt), *turns)
