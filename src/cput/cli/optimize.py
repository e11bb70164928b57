"""``cput optimize``: the cheapest way to serve a workload on this machine that keeps its quality."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from cput.cli.measure import DEFAULT_MODEL, adapted
from cput.cli.searching import Search, split_items
from cput.errors import InputError
from cput.ledger.price import device_rate
from cput.ledger.store import Ledger
from cput.policy.grid import QUICK, Choices
from cput.records import new_id
from cput.report import comparison_card, comparison_html, write
from cput.workloads import load


def optimize(
    workload: str,
    *,
    engines: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (DEFAULT_MODEL,),
    quick: Annotated[bool, Parameter(negative=())] = False,
    confirm: int = 48,
    search: int = 128,
    first_rung: int = 32,
    max_new_tokens: int | None = None,
    seed: int = 0,
    rate: str | None = None,
    device: str | None = None,
    prices: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    policy: Path = Path("policy.toml"),
    resume: str | None = None,
    fresh: Annotated[bool, Parameter(negative=())] = False,
    ledger: str | None = None,
    html_file: Annotated[Path | None, Parameter(name="--html")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Search for the cheapest policy that keeps the quality floor, and prove it on items the search never saw.

    Parameters
    ----------
    workload: str
        A shipped workload, a folder or a file.
    engines: tuple[str, ...]
        Who may answer; the first is how it is served today. A model of this machine (NAME or NAME:int8), URL#MODEL of
        an OpenAI-compatible server, a recording (answers.jsonl) with all its models, or a student's folder.
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
    prices: tuple[Path, ...]
        Price files of your own for hosted models; they win over the shipped prices.
    policy: Path
        Where to write the winner's policy file.
    resume: str
        Go on with an interrupted search: the id it printed.
    fresh: bool
        Ask again also where answers of an earlier search, by the same engine on this machine, are on record.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    html_file: Path
        Where to write the HTML report; by default cput-reports/optimize-NAME.html.
    as_json: bool
        Print the result as one JSON object after the card.
    """
    for option, given, least in (("--first-rung", first_rung, 1), ("--seed", seed, 0)):
        if given < least:
            raise InputError(f"{option} is {given}; allowed: {least} or more")
    console = Console(stderr=as_json)
    found = adapted(load(workload), max_new_tokens)
    group = resume or new_id()
    with contextlib.closing(Ledger.open(ledger)) as book:
        if resume is not None and all(run.config.get("group") != resume for run in book.runs()):
            raise InputError(f"there is no search {resume} to go on with; a search prints its id when it begins")
        job = Search(
            workload=found,
            engines=engines,
            book=book,
            console=console,
            rate=device_rate(rate, device),
            prices=prices,
            group=group,
            asked=workload,
            seed=seed,
            policy_path=policy,
            fresh=fresh,
        )
        sets = split_items(found, confirm, search, seed)
        job.say(f"search {group}; if it is interrupted, the same command with --resume {group} goes on")
        result = asyncio.run(job.run(sets, QUICK if quick else Choices(), first_rung))
    console.print(comparison_card(result))
    path = html_file or Path("cput-reports") / f"optimize-{found.name}.html"
    write(comparison_html(result), path)
    console.print(f"HTML report: {path}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(result.as_json()))
