"""What ``cput serve`` was asked for, for whatever serves: uvicorn here, replicas on Ray."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cput.policy.policy import Policy
from cput.protocols import Engine

ATTEMPTS = 3
BACKOFF_S = 0.25
MAX_WAIT_S = 2.0
"""A client learns of an upstream's longer ``Retry-After`` at once, and may do better with that time than we would."""
Beside = Callable[[], Awaitable[None]]
"""Runs beside the server until cancelled."""


class Leaf(Engine, Protocol):
    """An embedded engine, wherever it runs."""

    async def start(self) -> object:
        """Load it."""
        ...

    def count_tokens(self, text: str) -> int | None:
        """Count the tokens of a raw text; None where that can't be known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What ``cput serve`` was asked for; its help says what each is."""

    what: str | None = None
    embed: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    model: str | None = None
    aliases: tuple[str, ...] = ()
    precision: str = "f16"
    concurrency: int = 32
    workload: str | None = None
    rate: str | None = None
    device: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    prices: tuple[Path, ...] = ()
    keys: bool = False
    most_at_once: int | None = None
    queue: int = 64
    max_new_tokens: int = 4096
    keep_text: bool = False
    redact: bool = False
    presidio: bool = False
    quiet: bool = False
    drain_s: int = 30
    traces: bool = False
    trace_content: bool = False
    ledger: str | None = None
    cache: bool = False
    semantic_cache: str | None = None
    leaf: Callable[[Policy], Leaf] | None = None
    """Opens the embedded engine of a policy; None opens it in this process. On Ray, what stands for the replicas."""
    legs: int = 1
    """Most legs of a call to the embedded engine, where it is gone before the first piece."""

    @property
    def with_text(self) -> bool:
        """Whether attempts come with their text: for the ledger, or for the traces alone."""
        return self.keep_text or self.trace_content
