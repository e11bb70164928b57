"""The door: which models are served by whom, who may come in, where it is all written down.

door = Door(ledger=ledger, models={"smollm2": Model(serving=Serving(stack), takes=Takes.TEXT)})
app = application(door)
"""

import difflib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cput.govern.redact import Redacted, Redactor
from cput.ledger.meter import Sink
from cput.ledger.store import Ledger
from cput.policy.cache.cached import Cache
from cput.policy.guarantee.watch import Watch
from cput.records import Call, Outcome
from cput.serve.dialects.base import Defaults, Takes
from cput.serve.fault import BadRequest
from cput.serve.gate import Gate
from cput.serve.logs import note
from cput.serve.open_gate import OpenGate
from cput.serve.serving import Serving
from cput.serve.tally import Tally
from cput.serve.telemetry import Telemetry
from cput.serve.trace_context import Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What stands behind a model's name."""

    serving: Serving
    """The wrappers that answer."""
    takes: Takes
    """What its engine understands of a request."""
    owner: str = "cput"
    """``owned_by`` in the listing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a single request may be."""

    body_bytes: int = 16 << 20
    """Most bytes of a body; pictures come inside it, in base64."""
    body_s: float = 30.0
    """Seconds from a request's head to the end of its body."""
    depth: int = 64
    """Most levels of nesting in a body."""
    outcomes: int = 1000
    """Most outcomes in one request."""


class Judges(Protocol):
    """Who holds a policy to the outcomes of its calls."""

    async def __call__(self, outcomes: Sequence[Outcome]) -> None:
        """Take outcomes."""

    async def aclose(self) -> None:
        """Keep what was seen."""


@dataclass(slots=True, kw_only=True)
class Door:
    """Everything that an application serves, and what it needs for it."""

    ledger: Ledger
    """Where calls and outcomes are written."""
    models: Mapping[str, Model]
    """The models by name."""
    other: Model | None = None
    """Answers for every other name, where an upstream knows its models itself."""
    list_other: Callable[[], Awaitable[list[dict[str, Any]]]] | None = None
    """Lists what ``other`` knows."""
    gate: Gate = field(default_factory=OpenGate)
    """Lets requests in."""
    admin_token: str | None = field(default=None, repr=False)
    """Wanted for ``/metrics`` as a bearer token, where it is set."""
    defaults: Defaults = field(default_factory=Defaults)
    """What a request that says nothing gets."""
    limits: Limits = field(default_factory=Limits)
    """What a request may be."""
    telemetry: Telemetry = field(default_factory=Telemetry)
    """Counters for ``/metrics``."""
    redactor: Redactor | None = None
    """Takes personal data and secrets out of what is written down; None writes texts as they are."""
    traces: Tracing | None = None
    """Traces requests and attempts; None traces nothing."""
    gather: Callable[[], Awaitable[bytes]] | None = None
    """Makes the page of ``/metrics`` where several replicas have counters; None shows this door's own."""
    cache: Cache | None = None
    """Gives answers again; outcomes evict from it. None is no cache."""
    judging: dict[str, Judges] = field(default_factory=dict)
    """Who is told of outcomes once they are on record, by the name of the policy that they watch."""
    watches: dict[str, Watch] = field(default_factory=dict)
    """The watch of each policy that is guarded, by its name."""
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What is to be closed besides the engines, after them."""
    draining: bool = False
    """Set when the server is about to go: ``/readyz`` says so, and cut-off work is called by its name."""
    tally: Tally = field(init=False)
    """The sink for every meter."""

    def __post_init__(self) -> None:
        """Put the tally in front of the ledger, and between them who traces, after who redacts."""
        sink: Sink = self.ledger if self.traces is None else self.traces.beside(self.ledger)
        if self.redactor is not None:
            sink = Redacted(sink, self.redactor, _withheld)
        self.tally = Tally(sink, self.telemetry.heard)

    def model(self, name: str) -> Model:
        """Return the model of that name.

        Raises:
            BadRequest: there is none (404, ``model_not_found``).
        """
        found = self.models.get(name, self.other)
        if found is not None:
            return found
        near = difflib.get_close_matches(name, self.models, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        sentence = f"the model '{name[:80]}' is not served here{hint} Served: {', '.join(sorted(self.models))}"
        raise BadRequest(sentence, param="model", code="model_not_found", status=404)

    async def open(self) -> None:
        """Load all engines, in the loop that serves; without it, the first call of each does.

        Raises:
            CputError: one can't be loaded.
        """
        for serving in self._all():
            await serving.stack.load()

    async def aclose(self) -> None:
        """Close all engines; the ledger stays open. Safe to call twice."""
        for serving in self._all():
            await serving.aclose()
        for judges in self.judging.values():
            await judges.aclose()
        for close in self.closing:
            await close()

    def _all(self) -> list[Serving]:
        behind = [*self.models.values(), *([self.other] if self.other else [])]
        return list({id(model.serving): model.serving for model in behind}.values())


def _withheld(call: Call, error: BaseException) -> None:
    note("text_withheld", logging.ERROR, error, call_id=call.id)
