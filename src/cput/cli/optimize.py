"""``cput optimize``: the cheapest way to serve a workload on this machine that keeps its quality."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from cput.cli import plug
from cput.cli.measure import DEFAULT_MODEL, adapted
from cput.cli.watch import watching
from cput.errors import InputError
from cput.ledger.compare import Comparison, compare
from cput.ledger.facts import Fact
from cput.ledger.price import DeviceRate, device_rate
from cput.ledger.runs import Run
from cput.ledger.store import Ledger
from cput.measure.arrivals import ClosedLoop
from cput.measure.environment import environment
from cput.measure.optimization import Candidate, Optimization, Status
from cput.measure.read import read
from cput.measure.result import Measurement
from cput.measure.session import measure as measure_run
from cput.policy import Policy, save_policy
from cput.policy.grid import QUICK, Choices, baseline, grid, reference
from cput.policy.search import Contestant, choose, halve
from cput.records import new_id
from cput.report import comparison_card, comparison_html, write
from cput.workloads import Item, Workload, load


def optimize(
    workload: str,
    *,
    model: str = DEFAULT_MODEL,
    quick: Annotated[bool, Parameter(negative=())] = False,
    confirm: int = 48,
    search: int = 128,
    first_rung: int = 32,
    max_new_tokens: int | None = None,
    seed: int = 0,
    rate: str | None = None,
    device: str | None = None,
    policy: Path = Path("policy.toml"),
    resume: str | None = None,
    ledger: str | None = None,
    html_file: Annotated[Path | None, Parameter(name="--html")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Search for the cheapest policy that keeps the quality floor, and prove it on items the search never saw.

    Parameters
    ----------
    workload: str
        A shipped workload, a folder or a file.
    model: str
        Model in the store, or a model folder.
    quick: bool
        Try only the few choices that made the difference in full searches.
    confirm: int
        Items on which the baseline and the winner are compared.
    search: int
        Other items, on which the search runs.
    first_rung: int
        Items of the first round of successive halving.
    max_new_tokens: int
        Bound on an answer's tokens, in place of the workload's.
    seed: int
        Seed of the draws.
    rate: str
        What the device costs, such as 0.08/h.
    device: str
        A device in the price files, where no rate is given.
    policy: Path
        Where to write the winner's policy file.
    resume: str
        Go on with an interrupted search: the id it printed.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    html_file: Path
        Where to write the HTML report; by default cput-reports/optimize-NAME.html.
    as_json: bool
        Print the result as one JSON object after the card.
    """
    console = Console(stderr=as_json)
    found = adapted(load(workload), max_new_tokens)
    group = resume or new_id()
    with contextlib.closing(Ledger.open(ledger)) as book:
        job = Search(
            workload=found,
            model=model,
            book=book,
            console=console,
            rate=device_rate(rate, device),
            group=group,
            asked=workload,
            seed=seed,
        )
        sets = split_items(found, confirm, search, seed)
        job.say(f"search {group}; if it is interrupted, the same command with --resume {group} goes on")
        result = asyncio.run(job.run(sets, QUICK if quick else Choices(), first_rung, policy))
    console.print(comparison_card(result))
    path = html_file or Path("cput-reports") / f"optimize-{found.name}.html"
    write(comparison_html(result), path)
    console.print(f"HTML report: {path}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(result.as_json()))


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
    """A search under way: it opens engines, runs policies and keeps one ledger run for each policy and item set."""

    workload: Workload
    model: str
    book: Ledger
    console: Console
    rate: DeviceRate
    group: str
    asked: str
    seed: int

    async def run(self, sets: Sets, choices: Choices, first_rung: int, policy_path: Path) -> Optimization:
        """Measure the baseline, search, confirm the winner, write its policy."""
        began = time.perf_counter()
        self.say(f"baseline on {len(sets.confirm)} items: {baseline(self.model).words}")
        base, base_facts = await self.measured(baseline(self.model), sets.confirm, "confirm")
        margin = self.margin(base)
        floor = self.floor(base)
        policies = [reference(self.model, choices)]
        policies += [p for p in grid(self.model, choices, servable=self.workload.servable) if p not in policies]

        async def run_policy(policy: Policy, items: Sequence[Item]) -> tuple[Measurement, tuple[Fact, ...]]:
            return await self.measured(policy, items, "search")

        race = await halve(policies, sets.search, run_policy, first_rung=first_rung, floor=floor, told=self.say)
        winner = choose(race, race[0], len(sets.confirm), margin)
        self.say(f"confirming on the baseline's items: {winner.policy.words}")
        won, won_facts = await self.measured(winner.policy, sets.confirm, "confirm")
        found = compare(base_facts, won_facts, margin=margin)
        path = self.write(policy_path, winner, won, found)
        return Optimization(
            workload=self.workload.name,
            floor=floor,
            baseline=base,
            winner=won,
            winner_name=winner.policy.words,
            candidates=candidates(race, winner),
            ratio=found.ratio,
            useful_rate_difference=found.difference,
            not_lower=found.not_lower,
            confidence_note=note(found),
            policy_path=path,
            search_s=time.perf_counter() - began,
            environment=environment(seed=self.seed, sample_count=found.items, searched_items=len(sets.search)),
        )

    async def measured(self, policy: Policy, items: Sequence[Item], part: str) -> tuple[Measurement, tuple[Fact, ...]]:
        """Run a policy on items, as one run of the ledger that later rounds go on with."""
        run = self.ledger_run(policy, part)
        opened = plug.embedded(policy, self.workload)
        engine = plug.metered(opened, self.book, run.id, self.workload, policy)
        try:
            await plug.start(opened.engine)
            with watching(self.console, policy.words) as watch:
                result = await measure_run(
                    self.workload,
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
        return result, read(self.book, run, self.workload).facts

    def ledger_run(self, policy: Policy, part: str) -> Run:
        """Return the run of this search for a policy and an item set; the one on record where there is one."""
        key = {"group": self.group, "part": part, "policy": asdict(policy)}
        for run in self.book.runs():
            if all(run.config.get(name) == value for name, value in key.items()):
                return run
        return Run(
            kind="optimize",
            workload=self.workload.name,
            workload_digest=self.workload.digest,
            engine=f"openvino {policy.model}: {policy.settings}",
            config=key
            | {
                "asked": {"workload": self.asked},
                "load": ClosedLoop(policy.concurrency).words,
                "seed": self.seed,
                "held_back": policy.attempts > 1,
            },
            environment=environment(),
            started_s=time.time(),
        )

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

    def write(self, path: Path, winner: Contestant, won: Measurement, found: Comparison) -> str | None:
        """Write the policy file where the winner's quality is proven."""
        if not found.not_lower:
            self.say("the winner's useful rate is not proven; no policy is written (more --confirm items may prove it)")
            return None
        where = environment()
        save_policy(
            path,
            replace(winner.policy),
            {
                "workload": self.workload.name,
                "workload_digest": self.workload.digest,
                "useful_rate": won.useful_rate.value,
                "baseline_useful_rate": found.baseline_useful / found.items,
                "useful_rate_difference_low": found.lower_bound,
                "cput_ratio": found.ratio.value,
                "cput_ratio_low": found.ratio.low,
                "cput_ratio_high": found.ratio.high if found.ratio.high != float("inf") else None,
                "items": found.items,
                "seed": self.seed,
                "measured": time.strftime("%Y-%m-%d", time.gmtime()),
                "cpu": where["cpu"],
                "cores": where["cores"],
                "openvino_genai": where["versions"].get("openvino-genai"),
            },
        )
        return str(path)

    def say(self, text: str) -> None:
        """Tell the person at the terminal what is being done."""
        self.console.print(f"• {text}", highlight=False, soft_wrap=True)


def candidates(race: Sequence[Contestant], winner: Contestant) -> tuple[Candidate, ...]:
    """Return the contestants as the report shows them."""
    shown = []
    for one in race:
        if one.measurement is None:
            continue
        status: Status = "winner" if one is winner else "dropped" if one.dropped else "kept"
        reason = (
            "cheapest whose confirmation was likely" if one is winner else one.dropped or "costs more, or less proven"
        )
        settings = {name: value for name, value in asdict(one.policy).items() if value is not None}
        shown.append(
            Candidate(
                name=one.policy.words,
                settings=settings,
                calls=one.measurement.calls,
                useful_rate=one.measurement.useful_rate,
                cput=one.measurement.cput,
                cput_unit=one.measurement.cput_unit,
                tokens_per_s=one.measurement.tokens_per_s,
                status=status,
                reason=reason,
                rung=one.rung,
            )
        )
    return tuple(shown)


def note(found: Comparison) -> str:
    """Say which test decided, and on what."""
    return (
        f"Tango's paired score bound, one-sided 95 %, margin {found.margin:.3f}, on {found.items} items that the "
        f"search never saw: only the winner was useful on {found.only_candidate}, only the baseline on "
        f"{found.only_baseline}; "
        f"the lower bound of the difference is {found.lower_bound:+.3f}."
        if found.lower_bound is not None
        else "no item was judged for both"
    )
