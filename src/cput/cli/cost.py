"""``cput cost``: what the calls in the ledger cost, and what that was good for."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from cput.cli.when import moment
from cput.errors import InputError
from cput.ledger.query import Question, costs
from cput.ledger.store import Ledger
from cput.report.cost import cost_card, cost_csv
from cput.report.write import write


def cost(
    *,
    by: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    period: str | None = None,
    zone: str = "UTC",
    workload: str | None = None,
    model: str | None = None,
    engine: str | None = None,
    provider: str | None = None,
    policy: str | None = None,
    tenant: str | None = None,
    tag: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    run: str | None = None,
    since: str | None = None,
    until: str | None = None,
    threshold: float = 1.0,
    basis: str = "reservation",
    ledger: str | None = None,
    csv_file: Annotated[Path | None, Parameter(name="--csv")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Add up what calls cost and what proved useful, by workload, model, policy, tenant, tag and time.

    Parameters
    ----------
    by: tuple[str, ...]
        Keys to group by, with commas: workload, model, engine, provider, policy, tenant, run, tag:NAME.
    period: str
        Also group by the hour, day, week or month in which a call started.
    zone: str
        Time zone of the periods, such as Asia/Shanghai.
    workload: str
        Only calls of this workload.
    model: str
        Only calls that this model answered.
    engine: str
        Only calls that this engine answered.
    provider: str
        Only calls that this provider bills.
    policy: str
        Only calls that this policy served.
    tenant: str
        Only calls of this tenant.
    tag: tuple[str, ...]
        Only calls with this tag, as name=value; may be given several times.
    run: str
        Only calls of this run: its id, the beginning of it, or latest.
    since: str
        Only calls from this date or time on (UTC unless it says otherwise).
    until: str
        Only calls before this date or time.
    threshold: float
        The least value of an outcome that is useful, 0 to 1.
    basis: str
        reservation (idle time of reserved devices counts) or usage (it does not).
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    csv_file: Path
        Also write all groups there as CSV.
    as_json: bool
        Print JSON.
    """
    question = Question(
        by=tuple(key.strip() for keys in by for key in keys.split(",") if key.strip()),
        period=period,
        zone=zone,
        workload=workload,
        model=model,
        engine=engine,
        provider=provider,
        policy=policy,
        tenant=tenant,
        tags=_tags(tag),
        since_s=None if since is None else moment(since, "--since").timestamp(),
        until_s=None if until is None else moment(until, "--until").timestamp(),
        threshold=threshold,
        basis=basis,
    )
    console = Console(stderr=True)
    with contextlib.closing(Ledger.open(ledger)) as book:
        if run is not None:
            question = question.of_run(book.find_run(run).id)
        with console.status("reading the ledger; the first time after many new calls takes some seconds"):
            answer = costs(book, question)
    if csv_file is not None:
        write(cost_csv(answer), csv_file)
        console.print(f"CSV: {csv_file}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(answer.as_json()))
    else:
        Console().print(cost_card(answer))


def _tags(pairs: tuple[str, ...]) -> Mapping[str, str]:
    """Return ``--tag name=value`` pairs."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--tag is '{pair}'; allowed: name=value, such as lang=zh")
        found[name] = value
    return found
