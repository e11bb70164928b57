"""``cput outcome``: say whether a call was useful, one word at a time or from a file."""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from cput.cli.when import moment
from cput.errors import CputError, InputError, unknown
from cput.ledger.outcome_fields import Wrong
from cput.ledger.outcome_file import read_outcomes
from cput.ledger.outcomes import BATCH, NONE_ADDED, Added, add
from cput.ledger.store import Ledger
from cput.records import Outcome, Source, new_id

outcome = App(name="outcome", help="Say whether calls were useful: one word at a time, or from a file.")


@outcome.command(name="add")
def add_(
    call: str | None = None,
    *,
    external_key: str | None = None,
    episode: str | None = None,
    name: str,
    value: float | None = None,
    source: str,
    id_: Annotated[str | None, Parameter(name="--id")] = None,
    attempt: int | None = None,
    at: str | None = None,
    retract: Annotated[bool, Parameter(negative=())] = False,
    ledger: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Write one outcome. It may come before its call, weeks later, twice, or take an earlier word back.

    Parameters
    ----------
    call: str
        The call's id, which is also its response id.
    external_key: str
        The caller's own key instead, such as an order number.
    episode: str
        An episode instead: the outcome speaks for every call of it.
    name: str
        What was observed: thumbs, refund, a check's name.
    value: float
        1 is useful, 0 is useless, in between is graded.
    source: str
        Who says so: check, user, business, judge or human.
    id_: str
        Idempotency key: the same id again is the same outcome.
    attempt: int
        Number of the attempt whose answer was given, where several raced.
    at: str
        When it was observed; now unless given (UTC unless it says otherwise).
    retract: bool
        Take back what the same source said under the same name.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    as_json: bool
        Print JSON.
    """
    if source not in set(Source):
        raise unknown("source", source, list(Source))
    if value is None and not retract:
        raise InputError("--value is missing; allowed: 0 (useless) to 1 (useful), or --retract")
    said = Outcome(
        id=id_ or new_id(),
        call_id=call,
        external_key=external_key,
        episode=episode,
        attempt=attempt,
        name=name,
        value=0.0 if value is None else value,
        source=Source(source),
        observed_s=time.time() if at is None else moment(at, "--at").timestamp(),
        detail={"retracted": True} if retract else {},
    )
    with contextlib.closing(Ledger.open(ledger)) as book:
        done = add(book, [said])
    if as_json:
        print(json.dumps({"id": said.id, **_figures(done)}))
    else:
        Console(soft_wrap=True, highlight=False).print(f"{_sentence(done)} Its id is {said.id}.", markup=False)


@outcome.command(name="import")
def import_(
    file: Path,
    *,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    ledger: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Write the outcomes of a JSONL or CSV file; what is there already is left as it is, so it may be run again.

    Lines that are wrong are named, with the field, and left out; the others are written. Exit code 1 where any is
    wrong. Fields: call_id, external_key or episode; name, value, source; id, attempt, observed_s, detail, retracted.

    Parameters
    ----------
    file: Path
        One JSON object a line; or, ending in .csv, a header and one outcome a line.
    dry_run: bool
        Only check the file and say what would be written.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    as_json: bool
        Print JSON.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    tally = _Tally(file, errors)
    with contextlib.closing(Ledger.open(ledger)) as book:
        try:
            tally.run(book, dry_run=dry_run)
        except (KeyboardInterrupt, CputError) as stopped:
            errors.print(f"cput: stopped in {file} at line {tally.line}: {tally.words(dry_run=dry_run)}", markup=False)
            raise stopped from None
    if as_json:
        wrong = [problem._asdict() for problem in tally.wrong]
        print(json.dumps({"file": str(file), "outcomes": tally.read, "wrong": wrong, **_figures(tally.added)}))
    else:
        Console(soft_wrap=True, highlight=False).print(f"{file}: {tally.words(dry_run=dry_run)}", markup=False)
    if tally.wrong:
        sys.exit(1)


class _Tally:
    """One import: what was read, what became of it, what is wrong."""

    def __init__(self, file: Path, errors: Console) -> None:
        self.file = file
        self.errors = errors
        self.line = 0
        self.read = 0
        self.added = NONE_ADDED
        self.wrong: list[Wrong] = []

    def run(self, book: Ledger, *, dry_run: bool) -> None:
        waiting: list[Outcome] = []
        with self.errors.status(f"reading {self.file}") as status:
            for found in read_outcomes(self.file, now_s=time.time()):
                self.line = found.line
                self._note(found.wrong)
                if found.outcome is not None:
                    waiting.append(found.outcome)
                if len(waiting) == BATCH:
                    self._write(book, waiting, dry_run=dry_run)
                    waiting = []
                    status.update(f"{self.file}: line {self.line:,}, {self.added.new:,} new")
            self._write(book, waiting, dry_run=dry_run)

    def words(self, *, dry_run: bool) -> str:
        """Say what became of the file so far; nothing is half-written in silence."""
        verb = "would be written" if dry_run else "written"
        lines = f"{len(self.wrong):,} problems in lines that are left out, " if self.wrong else ""
        differing = f" ({len(self.added.differing):,} of them say something else now; the first stands)"
        return (
            f"{lines}{self.added.new:,} outcomes {verb}, {self.added.repeated:,} were there already"
            f"{differing if self.added.differing else ''}, {self.added.waiting:,} of the new wait for their call. "
            "It may be run again."
        )

    def _note(self, wrong: tuple[Wrong, ...]) -> None:
        for problem in wrong:
            self.wrong.append(problem)
            self.errors.print(f"{self.file}: {problem}", markup=False)

    def _write(self, book: Ledger, outcomes: list[Outcome], *, dry_run: bool) -> None:
        self.added = self.added.plus(add(book, outcomes, dry_run=dry_run))
        self.read += len(outcomes)


def _figures(added: Added) -> dict[str, object]:
    return {
        "new": added.new,
        "repeated": added.repeated,
        "differing": list(added.differing),
        "waiting_for_their_call": added.waiting,
    }


def _sentence(added: Added) -> str:
    if added.differing:
        return "It was there already and says something else: the first stands, nothing was written."
    if added.repeated:
        return "It was there already: nothing was written."
    if added.waiting:
        return "Written. No call on record is named by it yet: it counts as soon as one is."
    return "Written."
