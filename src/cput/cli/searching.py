"""A search under way: baseline, race, what answers on record promise, confirmation, proof, policy file.

Every policy on every item set is a run of the ledger, so that an interrupted search goes on, and what was paid for once
is not asked again: answers that an earlier search got on this machine, by the same policy, serve this one too. Only the
confirmation is always new.
"""

import json
import random
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cput.cli import plug
from cput.cli.candidates import candidates
from cput.cli.contenders import contenders, plain
from cput.cli.plug import file_digest
from cput.cli.proof import Proof, evidence, prove
from cput.cli.watch import watching
from cput.errors import InputError
from cput.ledger.compare import compare
from cput.ledger.facts import Fact
from cput.ledger.price import DeviceRate
from cput.ledger.runs import Run
from cput.ledger.store import Ledger
from cput.measure.arrivals import ClosedLoop
from cput.measure.environment import environment
from cput.measure.judge import CONFIDENCE
from cput.measure.optimization import Beside, Optimization
from cput.measure.read import Reading, read
from cput.measure.result import Measurement
from cput.measure.session import measure as measure_run
from cput.policy import Policy, save_policy
from cput.policy.baselines import baselines
from cput.policy.compose import compose, in_turn, routed
from cput.policy.file import save_certificate
from cput.policy.grid import Choices
from cput.policy.layout import shared_tail
from cput.policy.portfolio import Proposal, propose
from cput.policy.search import Contestant, choose, drop_below_floor, halve
from cput.policy.tabled import singles, tabled
from cput.workloads import Item, Workload

LEAST_BESIDE = 20
"""Fewest items on record from which baselines are read."""
SAME_MACHINE = ("cpu", "cores", "versions")
"""What of a run's environment must be the same for its answers to stand for this machine's."""


@dataclass(frozen=True, slots=True)
class Sets:
    """Two disjoint draws of a workload's items."""

    confirm: tuple[Item, ...]
    search: tuple[Item, ...]


def split_items(workload: Workload, confirm: int, search: int, seed: int) -> Sets:
    """Draw the items of the confirmation and, from the rest, those of the search.

    Raises:
        InputError: the workload has too few items.
    """
    count = len(workload.items)
    if confirm < 2 or search < 2 or count < 4:
        raise InputError(
            f"a search needs at least 2 items to search on and 2 others to confirm on; workload '{workload.name}' has "
            f"{count}, --confirm is {confirm}, --search is {search}"
        )
    confirm = min(confirm, count // 2)
    drawn = random.Random(seed).sample(workload.items, min(count, confirm + search))
    return Sets(confirm=tuple(drawn[:confirm]), search=tuple(drawn[confirm:]))


@dataclass(kw_only=True)
class Search:
    """It opens engines, runs policies and keeps one ledger run for each policy and item set."""

    workload: Workload
    engines: tuple[str, ...]
    book: Ledger
    console: Console
    rate: DeviceRate
    prices: tuple[Path, ...]
    group: str
    asked: str
    seed: int
    policy_path: Path
    fresh: bool = False
    useful_alone: dict[str, float] = field(default_factory=dict)
    """Useful rate of each model by itself, on the items that the search asked."""
    sure: dict[tuple[Policy, str], float] = field(default_factory=dict)
    """What answers of the search said of themselves, by policy and item."""

    async def run(self, sets: Sets, choices: Choices, first_rung: int) -> Optimization:
        """Measure the baseline, search, confirm the winner, write its policy."""
        try:
            return await self._run(sets, choices, first_rung)
        finally:
            shutil.rmtree(self.fitted, ignore_errors=True)

    async def _run(self, sets: Sets, choices: Choices, first_rung: int) -> Optimization:
        began = time.perf_counter()
        tail = shared_tail([item.text for item in self.workload.items])
        policies = contenders(
            self.engines,
            choices,
            servable=self.workload.servable,
            constrainable=self.workload.constrainable,
            tail=tail,
        )
        today = plain(self.engines[0])
        self.say(f"baseline on {len(sets.confirm)} items: {today.named}")
        base, base_facts = await self.measured(today, sets.confirm, "confirm")
        race, proposal = await self.race(policies, sets.search, first_rung, self.floor(base))
        absolute = self.workload.floor.useful_rate if self.workload.floor else None
        winner = choose(race, race[0], len(sets.confirm), self.margin(base), absolute)
        self.say(f"confirming on the baseline's items: {self.words(winner.policy)}")
        won, won_facts = await self.measured(winner.policy, sets.confirm, "confirm")
        found = compare(base_facts, won_facts, margin=self.margin(base))
        proof = prove(self.workload, base_facts, won_facts, found, name=self.words(winner.policy))
        path = self.write(self.policy_path, winner.policy, proof, evidence(self.workload, won, found, proof, self.seed))
        return Optimization(
            workload=self.workload.name,
            floor=self.floor(base),
            baseline=base,
            winner=won,
            winner_name=self.words(winner.policy),
            candidates=candidates(race, winner, self.words),
            ratio=found.ratio,
            useful_rate_difference=found.difference,
            not_lower=proof.proven,
            confidence_note=proof.words,
            certificate=proof.as_json(),
            beside=self.beside(race),
            threshold_note=None if proposal is None else proposal.why,
            policy_path=path,
            search_s=time.perf_counter() - began,
            environment=environment(seed=self.seed, sample_count=found.items, searched_items=len(sets.search)),
        )

    @property
    def wants_confidence(self) -> bool:
        """Whether answers of the search have to say how sure they are: nothing else tells which may stand."""
        return len(self.engines) > 1 and not self.workload.servable

    @property
    def fitted(self) -> Path:
        """Where a router lies until its policy is proven."""
        return self.policy_path.with_suffix(f".{self.group[-8:]}.router").resolve()

    async def race(
        self, policies: Sequence[Policy], items: Sequence[Item], first_rung: int, floor: float | None
    ) -> tuple[list[Contestant], Proposal | None]:
        """Race all ways to run each engine; add what asking several in turn promises by the answers on record."""

        async def run_policy(policy: Policy, asked: Sequence[Item]) -> tuple[Measurement, tuple[Fact, ...]]:
            return await self.measured(policy, asked, "search")

        alone = len({policy.model for policy in policies}) == 1
        # An engine that is below the floor alone may still be the cheap one that is asked first.
        dropped_at = floor if alone else None
        race = await halve(policies, items, run_policy, first_rung=first_rung, floor=dropped_at, told=self.say)
        proposal = None
        if not alone and self.workload.servable:
            composed = compose(race)
            self.say(f"{len(composed)} ways to ask several in turn, from the answers on record")
            race += composed
        elif not alone and self.workload.floor is not None:
            proposal = self.proposed(race)
            self.say(proposal.why)
            if proposal.policy is not None and proposal.policy.then:
                race.append(self.replayed(race, proposal.policy, proposal))
        drop_below_floor(race, floor)
        self.useful_alone = {one.policy.model: one.useful / one.judged for one in singles(race)}
        return race, proposal

    def proposed(self, race: Sequence[Contestant]) -> Proposal:
        """Return who may answer first by its own confidence, where no check can judge at serving time."""
        assert self.workload.floor is not None
        ways = {one.policy.model: one.policy for one in singles(race)}
        table = tabled(race, self.workload, self.sure)
        found = propose(table, ways, floor=self.workload.floor, seed=self.seed)
        if found.estimator is None or found.policy is None:
            return found
        folder = self.fitted
        found.estimator.save(folder)
        return replace(found, policy=replace(found.policy, router=str(folder)))

    def replayed(self, race: Sequence[Contestant], policy: Policy, proposal: Proposal) -> Contestant:
        """Return what a proposed policy gives, from the answers on record."""
        if policy.router is not None:
            return routed(singles(race), policy, proposal.chosen)
        return in_turn(singles(race), policy, self.sure)

    def beside(self, race: Sequence[Contestant]) -> tuple[Beside, ...]:
        """Return the honest baselines: chosen on one half of the items on record, and read on the other."""
        table = tabled(race, self.workload)
        if len(table.engines) < 2 or len(table) < LEAST_BESIDE or np.isnan(table.cost_usd).any():
            return ()
        train, test = table.split(0.5, seed=self.seed)
        tag = next(iter(table.tags), None)
        return tuple(
            Beside(
                name=each.name.replace("_", " "),
                words=each.words,
                useful_rate=each.point.quality,
                cost_per_call=each.point.cost_usd,
            )
            for each in baselines(train, test, tag=tag)
        )

    async def measured(self, policy: Policy, items: Sequence[Item], part: str) -> tuple[Measurement, tuple[Fact, ...]]:
        """Run a policy on items, as one run of the ledger that later rounds go on with."""
        run = self.ledger_run(policy, part)
        workload = self.workload
        if part == "search" and self.wants_confidence:
            workload = replace(workload, sampling=replace(workload.sampling, logprobs=True))
        opened = plug.opened(policy, workload)
        engine = plug.metered(opened, self.book, run.id, workload, policy, prices=self.prices)
        try:
            await plug.start(opened)
            with watching(self.console, self.words(policy)) as watch:
                result = await measure_run(
                    workload,
                    items,
                    engine,
                    ledger=self.book,
                    run=run,
                    arrivals=ClosedLoop(policy.concurrency),
                    rate=self.rate,
                    watch=watch,
                )
        finally:
            await engine.aclose()
        reading = read(self.book, run, workload)
        self.sure |= confidences(policy, reading)
        asked = {item.id for item in items}
        return result, tuple(fact for fact in reading.facts if fact.item in asked)

    def ledger_run(self, policy: Policy, part: str) -> Run:
        """Return the run for a policy and an item set; the one on record where there is one."""
        where = environment()
        key = {
            "part": part,
            "policy": json.loads(json.dumps(asdict(policy))),
            "max_new_tokens": self.workload.sampling.max_new_tokens,
            "logprobs": part == "search" and self.wants_confidence,
            "made_of": [plug.digest_of(leg) for leg in policy.legs],
            "prices": [file_digest(file) for file in self.prices],
            "usd_per_h": None if self.rate.usd_per_h is None else str(self.rate.usd_per_h),
        }
        for run in self.book.runs():
            mine = run.config.get("group") == self.group
            same = run.workload_digest == self.workload.digest and _machine(run.environment) == _machine(where)
            if (mine or (part == "search" and same and not self.fresh)) and _known(key).items() <= _known(
                run.config
            ).items():
                return run
        return Run(
            kind="optimize",
            workload=self.workload.name,
            workload_digest=self.workload.digest,
            engine=plug.words_of(policy),
            config=key
            | {
                "group": self.group,
                "asked": {"workload": self.asked},
                "load": ClosedLoop(policy.concurrency).words,
                "seed": self.seed,
                "held_back": policy.attempts > 1 or bool(policy.then),
            },
            environment=where,
            started_s=time.time(),
        )

    def words(self, policy: Policy) -> str:
        """Return a policy in a few words, with its model's name where there are several."""
        return policy.words if len(self.engines) == 1 and policy.engine == "openvino" else policy.named

    def floor(self, base: Measurement) -> float | None:
        """Return the useful rate below which a policy is dropped."""
        stated = self.workload.floor
        if stated is None:
            return None
        if stated.useful_rate is not None:
            return stated.useful_rate
        return None if base.useful_rate.value is None else base.useful_rate.value * (stated.share_of_baseline or 1.0)

    def margin(self, base: Measurement) -> float:
        """Return how much lower than the baseline's a useful rate may be: what the floor gives away."""
        share = self.workload.floor.share_of_baseline if self.workload.floor else None
        return 0.0 if share is None or base.useful_rate.value is None else (1 - share) * base.useful_rate.value

    def write(self, path: Path, policy: Policy, proof: Proof, found: dict[str, Any]) -> str | None:
        """Write the policy file where the winner's quality is proven."""
        if not proof.proven:
            self.say("the winner's useful rate is not proven; no policy is written (more --confirm items may prove it)")
            return None
        if policy.then:
            models = [leg.model for leg in policy.legs]
            policy = replace(policy, strong=max(models, key=lambda model: self.useful_alone.get(model, 0.0)))
        save_certificate(path, proof.certificate)
        save_policy(path, self.kept(policy), found)
        return str(path)

    def kept(self, policy: Policy) -> Policy:
        """Put the router of a proven policy in its place; it was fitted beside that."""
        if policy.router is None:
            return policy
        place = self.policy_path.with_suffix(".router").resolve()
        shutil.rmtree(place, ignore_errors=True)
        Path(policy.router).rename(place)
        return replace(policy, router=str(place))

    def say(self, text: str) -> None:
        """Tell the person at the terminal what is being done."""
        self.console.print(f"• {text}", highlight=False, soft_wrap=True)


def confidences(policy: Policy, reading: Reading) -> dict[tuple[Policy, str], float]:
    """Return what the answers of a run said of themselves, by policy and item."""
    told = [(record.call.item, record.outcomes[-1].detail) for record in reading.records if record.outcomes]
    return {(policy, item): detail[CONFIDENCE] for item, detail in told if item is not None and CONFIDENCE in detail}


def _machine(where: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(where.get(name) for name in SAME_MACHINE)


def _known(config: Mapping[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value, sort_keys=True) for name, value in config.items()}
