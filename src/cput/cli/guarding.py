"""Guarding a policy that serves: outcomes are held against the certificate beside its file, and an alarm falls back.

    policy.toml                      what is served
    policy.certificate.json          what was proven of it; without it nothing is watched
    policy.watch.json                what the watch has seen; delete it to begin anew after an alarm

Explored calls and an alarm go to the strong engine, the one that was most useful alone. A watch belongs to one
certificate: a new search's begins with the whole error rate. It sees the outcomes that come to this door.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from cput.errors import InputError
from cput.ledger.store import Ledger
from cput.policy.file import certificate_path, write_whole
from cput.policy.guarantee import Alarm, Certificate, Guarded, Watch
from cput.protocols import Answer, Engine
from cput.records import Call, Outcome
from cput.serve.door import Door
from cput.serve.judged import calls_of
from cput.serve.logs import note
from cput.serve.watch_states import WatchStates

EXPLORE = 0.02
"""Share of calls that the strong engine answers although the policy stands."""


def guarded(engine: Engine, strong: Engine, policy: Path, door: Door) -> Engine:
    """Return a policy's engine under watch; as it is where no certificate lies beside its file.

    Raises:
        InputError: the certificate can't be read.
    """
    path = certificate_path(policy)
    if not path.is_file():
        return engine
    raw = path.read_bytes()
    try:
        certificate = Certificate.from_json(json.loads(raw))
    except (ValueError, InputError) as error:
        raise InputError(
            f"{path}: {error}; run `cput optimize` again, or delete it to serve without a watch"
        ) from error
    kept = Kept(policy.with_suffix(".watch.json"), hashlib.sha256(raw).hexdigest())
    watch = kept.read() or Watch(certificate.as_certified or certificate.levels)
    under = Guarded(engine, Borrowed(strong), watch, explore=EXPLORE, alarmed=lambda alarm: _cry(policy, alarm))
    if watch.alarm is not None:
        _cry(policy, watch.alarm)
    if not door.watches:
        door.telemetry.registry.register(WatchStates(lambda: door.watches))
    door.watches[policy.stem] = watch
    door.judging[policy.stem] = Judging(under, kept, door.ledger)
    return under


class Borrowed:
    """An engine that somebody else closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def name(self) -> str:
        """The engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer as it does."""
        return self._engine.answer(call)

    async def aclose(self) -> None:
        """Leave it open."""


class Kept:
    """The file that a watch outlives a restart in; one of another certificate is not read."""

    def __init__(self, path: Path, certificate: str) -> None:
        self._path = path
        self._certificate = certificate

    def read(self) -> Watch | None:
        """Return the watch as it was kept; None where there is none of this certificate.

        Raises:
            InputError: the file is damaged.
        """
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"{self._path} can't be read ({error}); delete it to begin the watch anew") from error
        if not isinstance(found, dict) or found.get("certificate") != self._certificate:
            return None
        try:
            return Watch.from_json(found.get("watch") or {})
        except InputError as error:
            raise InputError(f"{self._path}: {error}; delete it to begin the watch anew") from error

    def write(self, watch: Watch) -> None:
        """Keep a watch."""
        said = {"certificate": self._certificate, "watch": watch.as_json()}
        write_whole(self._path, json.dumps(said) + "\n")


class Judging:
    """Hands the outcomes that come to a door to the watch of a policy."""

    def __init__(self, under: Guarded, kept: Kept, ledger: Ledger) -> None:
        self._under = under
        self._kept = kept
        self._ledger = ledger

    async def __call__(self, outcomes: Sequence[Outcome]) -> None:
        """Take outcomes that are on record; an alarm is kept at once."""
        for outcome in outcomes:
            if outcome.detail.get("retracted") is True:
                continue
            for call_id in await asyncio.to_thread(calls_of, self._ledger, outcome):
                if self._under.saw(call_id, float(outcome.value >= 1), at_s=outcome.observed_s) is not None:
                    await self.aclose()

    async def aclose(self) -> None:
        """Keep what was seen."""
        await asyncio.to_thread(self._kept.write, self._under.watch)


def _cry(policy: Path, alarm: Alarm) -> None:
    note("policy alarm", logging.ERROR, policy=str(policy), why=alarm.words, then="the strong engine answers all calls")
