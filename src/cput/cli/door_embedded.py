"""Plugging an embedded model behind a door: the engine of a policy, its wrappers, and what its device costs.

Kept from ``door``, which a gateway of remote upstreams starts with: an engine brings numpy, tokenizers and the checks.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

from cput.cli import plug
from cput.cli.asked import ATTEMPTS, BACKOFF_S, MAX_WAIT_S, Asked, Beside, Leaf
from cput.cli.cache import Plugged, asked_cache
from cput.cli.checked import Checked
from cput.cli.guarding import guarded
from cput.cli.wrapped import wrapped
from cput.engines import open_engine
from cput.engines.openai import OpenAI
from cput.engines.openvino import OpenVino
from cput.engines.retry import Retried
from cput.errors import InputError
from cput.ledger.meter import Metered, Sink
from cput.ledger.price import PriceBook, device_rate
from cput.policy import Policy, load_policy
from cput.policy.cache.key import canonical
from cput.policy.explain import Explained
from cput.protocols import Engine
from cput.records import Call
from cput.serve.accounts import Accounts
from cput.serve.dialects.base import Takes
from cput.serve.door import Door, Model
from cput.serve.reserved import Reserved
from cput.serve.serving import Serving, Stack, uncounted
from cput.serve.watch import digest, follow
from cput.workloads import Workload, load

COUNTED_CHARS = 200_000
"""Longer prompts are held for by their bytes; what they cost is settled as it was counted."""


def open_leaf(policy: Policy) -> OpenVino:
    """Open the embedded engine as a policy says, in this process."""
    leaf = open_engine(
        "openvino",
        model=plug.model_folder(policy.model, policy.precision),
        max_seqs=policy.concurrency,
        kv_precision=policy.kv_precision,
        prefix_cache=policy.prefix_cache,
        prompt_lookup=policy.prompt_lookup,
    )
    assert isinstance(leaf, OpenVino)
    return leaf


class Embedded:
    """The embedded models of a door, on one device."""

    def __init__(self, asked: Asked, door: Door, book: PriceBook) -> None:
        self._asked, self._door, self._book = asked, door, book
        self.device = _reserved(asked, door, book)
        """The books of the device, where its price is given."""

    def plug_model(self, what: str) -> tuple[str, Model]:
        """Return a model of the store, and the name that it is served under."""
        policy = Policy(model=what, precision=self._asked.precision, concurrency=self._asked.concurrency)
        return _name(policy), Model(serving=Serving(self._stack(policy, None)), takes=Takes.TEXT)

    def plug_policy(self, path: Path) -> tuple[str, Model, Beside]:
        """Return what a policy file says, the name that it is served under, and what watches the file."""

        def build() -> Stack:
            return self._stack(load_policy(path).policy, path)

        async def rebuild() -> Stack:
            return await asyncio.to_thread(build)  # a precision that is not in the store yet takes a while to make

        seen = digest(path)
        serving = Serving(build())
        watch = partial(follow, path, serving, rebuild, seen=seen)
        return _name(load_policy(path).policy), Model(serving=serving, takes=Takes.TEXT), watch

    async def keep_books(self) -> None:
        """Charge the device's idle time from now on, until cancelled."""
        if self.device is not None:
            self.device.begin()
            await self.device.keep()

    def close_books(self) -> None:
        """Charge the last of the device's time."""
        if self.device is not None:
            self.device.end()

    def _stack(self, policy: Policy, path: Path | None) -> Stack:
        """Return the wrappers around a policy's engines; ``path`` is its file's."""
        name = None if path is None else path.stem
        asked = self._asked
        if asked.leaf is not None and sum(leg.engine == "openvino" for leg in policy.legs) > 1:
            raise InputError("this policy runs several models, and engine replicas on Ray run one; leave --on ray out")
        leaves = [self._leaf(leg) for leg in policy.legs]
        plugged = asked_cache(asked, self._door, self.device)
        sink = self._door.tally if plugged is None else plugged.bills
        lines = [self._line(leaf, leg, sink) for leaf, leg in zip(leaves, policy.legs, strict=True)]
        checks = None if asked.workload is None else Checked(load(asked.workload))
        engine = wrapped(lines, policy, checks, name=name)
        if policy.then and path is not None:
            engine = guarded(engine, lines[policy.strongest], path, self._door)
        if plugged is not None:
            version = _version(leaves, policy)
            engine = plugged.around(engine, model=_name(policy), version=version, keep_text=asked.with_text)
        elif policy.then:
            engine = Explained(engine, self._door.ledger)
        models = [cast("Leaf", leaf) for leaf, leg in zip(leaves, policy.legs, strict=True) if leg.engine == "openvino"]
        return Stack(
            engine_for=lambda _: engine,
            close=engine.aclose,
            load=partial(_load, models, plugged),
            policy=name,
            words=plug.served_words(policy),
            count_prompt=partial(_count, models[0]) if models and isinstance(self._door.gate, Accounts) else uncounted,
        )

    def _leaf(self, leg: Policy) -> Engine:
        if leg.engine == "openvino":
            return (self._asked.leaf or open_leaf)(leg)
        return plug.leaf(leg, Workload(name=""))

    def _line(self, leaf: Engine, leg: Policy, sink: Sink) -> Engine:
        """Return one leaf on record, asked again where it is elsewhere or in several replicas."""
        asked, device = self._asked, self.device
        remote = isinstance(leaf, OpenAI)
        engine: Engine = Metered(
            leaf,
            sink,
            run=None if device is None or remote else device.run.id,
            keep_text=asked.with_text,
            prices=self._book if device is None or remote else device,
            provider=leaf.provider if isinstance(leaf, OpenAI) else None,
            model=leg.model if remote else None,
        )
        attempts = ATTEMPTS if remote else asked.legs
        if attempts == 1:
            return engine
        return Retried(engine, attempts=attempts, backoff_s=BACKOFF_S, max_wait_s=MAX_WAIT_S)


def _reserved(asked: Asked, door: Door, book: PriceBook) -> Reserved | None:
    """Return the books of the device, where its price is given."""
    if asked.rate is None and asked.device is None:
        return None
    if asked.leaf is not None:
        option = "--rate" if asked.rate is not None else "--device"
        raise InputError(f"{option} charges one device's time, and replicas on Ray have several; leave it out")
    rate = device_rate(asked.rate, asked.device)
    return Reserved(door.ledger, rate, engine=asked.what or "embedded", workload=asked.workload, otherwise=book)


async def _load(models: Sequence[Leaf], plugged: Plugged | None) -> None:
    await asyncio.gather(*(leaf.start() for leaf in models))
    if plugged is not None:
        await plugged.load()


def _version(leaves: Sequence[Engine], policy: Policy) -> str:
    """Return a digest of policy, weights and chat templates; others are named by the policy alone."""
    here = [leaf.manifest for leaf in leaves if isinstance(leaf, OpenVino)]
    weights = [(manifest.sha256, manifest.chat_template, manifest.cput_version) for manifest in here]
    return hashlib.blake2b(canonical((policy, weights)), digest_size=16).hexdigest()


def _count(leaf: Leaf, call: Call) -> int | None:
    said = call.prompt if call.prompt is not None else "\n".join(turn.content for turn in call.messages)
    if len(said) > COUNTED_CHARS:  # a token is a byte or more; counting a megabyte would hold everybody up
        return len(said.encode())
    return leaf.count_tokens(said)


def _name(policy: Policy) -> str:
    return Path(policy.model).name
