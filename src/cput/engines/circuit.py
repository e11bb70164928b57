"""A circuit breaker's state: closed while an upstream is well, open while it rests, half open while one call tries it.

    circuit = Circuit(failures=5, within_s=30, open_s=15)
    leg = circuit.enter()            # Rested while it is open: nothing is sent
    leg.spoke(); leg.passed()        # or leg.failed(error); and leg.left() in any case

It opens when ``failures`` legs have failed within ``within_s`` seconds and they are at least ``share`` of those that
ended in that time: a busy upstream that fails one call in a thousand stays in use (Nygard, Release It!, 2007, has the
count alone). After ``open_s`` seconds one leg is let through; its first piece closes the circuit, its failure opens it
again, and if its caller hangs up the next leg tries.
"""

import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from cput.engines.faults import Blame, Rested, blame, kind_of
from cput.errors import InputError

SLOTS = 10
"""Parts of the window; what failed is forgotten by parts."""
WHILE_TRIED_S = 1.0
"""When to come back while another call is trying the upstream."""


class State(StrEnum):
    """Whether an upstream is asked."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Circuit:
    """The state of one upstream, shared by all calls to it. For one event loop."""

    def __init__(
        self,
        *,
        failures: int = 5,
        within_s: float = 30.0,
        open_s: float = 15.0,
        share: float = 0.5,
        name: str = "the upstream",
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[State, str], None] = lambda *_: None,
    ) -> None:
        """``clock`` gives seconds; ``changed`` is told of every new state, and why.

        Raises:
            InputError: a number is not allowed.
        """
        if failures < 1:
            raise InputError(f"failures is {failures}; allowed: 1 or more")
        for what, seconds in (("within_s", within_s), ("open_s", open_s)):
            if not seconds > 0:
                raise InputError(f"{what} is {seconds}; allowed: more than 0 seconds")
        if not 0 <= share <= 1:
            raise InputError(f"share is {share}; allowed: 0 to 1")
        self.name = name
        self._failures, self._within_s, self._open_s, self._share = failures, within_s, open_s, share
        self._clock = clock
        self._changed = changed
        self._ended: deque[list[int]] = deque()  # [slot, legs that ended, legs that failed], oldest first
        self._open_until: float | None = None
        self._trying: Leg | None = None
        self._why = ""

    @property
    def state(self) -> State:
        """What a call that comes now finds."""
        if self._open_until is None:
            return State.CLOSED
        return State.HALF_OPEN if self._clock() >= self._open_until else State.OPEN

    def enter(self) -> "Leg":
        """Begin a leg.

        Raises:
            Rested: the circuit is open, or another leg is trying the upstream.
        """
        if self._open_until is None:
            return Leg(self)
        wait_s = self._open_until - self._clock()
        if wait_s > 0 or self._trying is not None:
            wait_s = wait_s if wait_s > 0 else WHILE_TRIED_S
            raise Rested(f"{self.name} is not asked for {wait_s:.1f} s: {self._why}", retry_after_s=wait_s)
        self._trying = Leg(self)
        self._changed(State.HALF_OPEN, "one call tries it")
        return self._trying

    def _spoke(self, leg: "Leg") -> None:
        """Close the circuit, where this is the leg that tried it."""
        if leg is self._trying:
            self._trying, self._open_until = None, None
            self._ended.clear()
            self._changed(State.CLOSED, "it answered")

    def _count(self, failed: bool, why: str) -> None:
        """Take in how a leg ended while the circuit was closed."""
        if self._open_until is not None:
            return
        slot = int(self._clock() / self._within_s * SLOTS)
        while self._ended and self._ended[0][0] <= slot - SLOTS:
            self._ended.popleft()
        if not self._ended or self._ended[-1][0] != slot:
            self._ended.append([slot, 0, 0])
        self._ended[-1][1] += 1
        self._ended[-1][2] += failed
        bad = sum(slot[2] for slot in self._ended)
        if failed and bad >= self._failures and bad >= self._share * sum(slot[1] for slot in self._ended):
            self._open(f"{bad} calls failed within {self._within_s:g} s, the last with {why}")

    def _failed(self, leg: "Leg", error: Exception) -> None:
        if leg is self._trying:
            self._open(f"it failed again when it was tried, with {kind_of(error)}")
        else:
            self._count(True, kind_of(error))

    def _open(self, why: str) -> None:
        self._trying, self._why = None, why
        self._open_until = self._clock() + self._open_s
        self._ended.clear()
        self._changed(State.OPEN, why)

    def _left(self, leg: "Leg") -> None:
        """Let the next leg try, where this one did and nobody knows how it would have ended."""
        if leg is self._trying:
            self._trying = None


class Leg:
    """One leg's passage through a circuit. The first word on how it ended counts."""

    __slots__ = ("_circuit", "_told")

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._told = False

    def spoke(self) -> None:
        """Say that the first piece has come."""
        self._circuit._spoke(self)  # noqa: SLF001  # a leg is the circuit's own

    def passed(self) -> None:
        """Say that the answer ended, or that the upstream answered with something that is not its fault."""
        self._circuit._spoke(self)  # noqa: SLF001
        if not self._told:
            self._told = True
            self._circuit._count(False, "")  # noqa: SLF001

    def failed(self, error: Exception) -> None:
        """Say with what it failed; what is the caller's fault, or a limit's, shows that the upstream is well."""
        if blame(error) is not Blame.UPSTREAM:
            self.passed()
        elif not self._told:
            self._told = True
            self._circuit._failed(self, error)  # noqa: SLF001

    def left(self) -> None:
        """Say that the leg is over, also where its caller hung up and nobody knows more."""
        self._told = True
        self._circuit._left(self)  # noqa: SLF001
