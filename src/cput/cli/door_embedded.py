"""Plugging an embedded model behind a door: the engine of a policy, its wrappers, and what its device costs.

Kept from ``door``, which a gateway of remote upstreams starts with: an engine brings numpy, tokenizers and the checks.
"""

import asyncio
import hashlib
from functools import partial
from pathlib import Path

from cput.cli import plug
from cput.cli.asked import BACKOFF_S, MAX_WAIT_S, Asked, Beside, Leaf
from cput.cli.cache import Plugged, asked_cache
from cput.engines import open_engine
from cput.engines.openvino import OpenVino
from cput.engines.retry import Retried
from cput.errors import InputError
from cput.ledger.meter import Metered
from cput.ledger.price import PriceBook, device_rate
from cput.measure.judge import useful
from cput.policy import Abandoned, Persistent, Policy, load_policy, repeats_itself
from cput.policy.cache.key import canonical
from cput.protocols import Engine
from cput.records import Call
from cput.serve.accounts import Accounts
from cput.serve.dialects.base import Takes
from cput.serve.door import Door, Model
from cput.serve.reserved import Reserved
from cput.serve.serving import Serving, Stack, uncounted
from cput.serve.watch import digest, follow
from cput.workloads import load

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
            return self._stack(load_policy(path).policy, path.stem)

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

    def _stack(self, policy: Policy, name: str | None) -> Stack:
        """Return the wrappers around an embedded engine as a policy says."""
        asked, device = self._asked, self.device
        leaf = (asked.leaf or open_leaf)(policy)
        plugged = asked_cache(asked, self._door, device)
        engine: Engine = Metered(
            leaf,
            self._door.tally if plugged is None else plugged.bills,
            run=None if device is None else device.run.id,
            keep_text=asked.with_text,
            prices=self._book if device is None else device,
        )
        if asked.legs > 1:
            engine = Retried(engine, attempts=asked.legs, backoff_s=BACKOFF_S, max_wait_s=MAX_WAIT_S)
        if policy.abandon:
            engine = Abandoned(engine, _lost)
        if policy.attempts > 1:
            engine = _asked_again(engine, policy, asked.workload)
        if plugged is not None:
            version = _version(leaf, policy)
            engine = plugged.around(engine, model=_name(policy), version=version, keep_text=asked.with_text)
        return Stack(
            engine_for=lambda _: engine,
            close=engine.aclose,
            load=partial(_load, leaf, plugged),
            policy=name,
            words=f"{policy.model} on the embedded engine: {policy.settings}",
            count_prompt=partial(_count, leaf) if isinstance(self._door.gate, Accounts) else uncounted,
        )


def _reserved(asked: Asked, door: Door, book: PriceBook) -> Reserved | None:
    """Return the books of the device, where its price is given."""
    if asked.rate is None and asked.device is None:
        return None
    if asked.leaf is not None:
        option = "--rate" if asked.rate is not None else "--device"
        raise InputError(f"{option} charges one device's time, and replicas on Ray have several; leave it out")
    rate = device_rate(asked.rate, asked.device)
    return Reserved(door.ledger, rate, engine=asked.what or "embedded", workload=asked.workload, otherwise=book)


async def _load(leaf: Leaf, plugged: Plugged | None) -> None:
    await leaf.start()
    if plugged is not None:
        await plugged.load()


def _version(leaf: Leaf, policy: Policy) -> str:
    """Return a digest of policy, weights and chat template; weights on Ray's replicas are named by the policy alone."""
    manifest = leaf.manifest if isinstance(leaf, OpenVino) else None
    weights = None if manifest is None else (manifest.sha256, manifest.chat_template, manifest.cput_version)
    return hashlib.blake2b(canonical((policy, weights)), digest_size=16).hexdigest()


def _count(leaf: Leaf, call: Call) -> int | None:
    said = call.prompt if call.prompt is not None else "\n".join(turn.content for turn in call.messages)
    if len(said) > COUNTED_CHARS:  # a token is a byte or more; counting a megabyte would hold everybody up
        return len(said.encode())
    return leaf.count_tokens(said)


def _lost(_: Call, text: str) -> str | None:
    return "it repeats itself" if repeats_itself(text) else None


def _asked_again(engine: Engine, policy: Policy, workload: str | None) -> Engine:
    """Ask again where a check fails that needs no reference. Only an item's own check can tell, and only for it."""
    if workload is None:
        raise InputError("this policy asks again where a check fails; name whose check with --workload")
    checked = load(workload)
    plug.require_servable(checked)
    items = {(call.messages, call.prompt): item for item in checked.items if (call := checked.call(item))}

    def passes(call: Call, text: str) -> bool:
        item = items.get((call.messages, call.prompt))
        return item is None or useful(checked, item, text)

    together, temperature = policy.retry_together, policy.retry_temperature
    return Persistent(engine, passes, attempts=policy.attempts, together=together, temperature=temperature)


def _name(policy: Policy) -> str:
    return Path(policy.model).name
