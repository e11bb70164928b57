"""Running a workload: every item is asked once, answered, judged and written down, as its arrivals say.

A call's id is made from the run and the item, so that a run that was killed goes on with the same calls: what has a
verdict is not asked again, what was under way is.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cput.errors import CputError, EngineError, EngineUnavailable
from cput.ledger.store import Ledger
from cput.measure.arrivals import Arrivals
from cput.measure.judge import answer_and_judge, failure_of
from cput.protocols import Engine
from cput.records import Call, Outcome
from cput.workloads import Item, Workload

MOST_FAILURES_IN_A_ROW = 20


@dataclass(slots=True)
class Progress:
    """Live figures of a run; the runner updates them and calls the watcher."""

    total: int
    """Items to do in all, those done before a resume included."""
    done: int = 0
    """Items with a result."""
    failed: int = 0
    """Calls that failed."""
    useful: int = 0
    """Calls judged useful."""
    judged: int = 0
    """Calls with a verdict."""
    output_tokens: int = 0
    """Tokens generated in this session of the run."""
    last_call_id: str = ""
    """The call that was finished last."""


Watcher = Callable[[Progress], None]


def call_id(run: str, item: str) -> str:
    """Return the id of the call that asks ``item`` in ``run``: always the same (UUIDv5)."""
    return str(uuid.uuid5(uuid.UUID(run), item))


def left_to_do(workload: Workload, ledger: Ledger, run: str, items: Sequence[Item]) -> list[Item]:
    """Return the items of a run that have no result yet, or one that says that the call failed.

    A result is an outcome; for an item that nobody judges, an answer that was not hung up on.
    """
    last = {record.call.item: record.outcomes[-1] for record in ledger.calls(run=run) if record.outcomes}
    settled = {item for item, outcome in last.items() if "error" not in outcome.detail}
    unjudged = {item.id for item in workload.items if item.check is None} - last.keys()
    settled |= unjudged & ledger.recorded_items(run)
    return [item for item in items if item.id not in settled]


async def run_items(
    workload: Workload,
    items: Sequence[Item],
    engine: Engine,
    *,
    ledger: Ledger,
    run: str,
    arrivals: Arrivals,
    progress: Progress,
    watch: Watcher = lambda _: None,
) -> None:
    """Ask all ``items``; returns when each has its result on disk.

    ``engine`` records its own attempts (``Metered``). A failed call is a useless one and the run goes on, unless the
    engine can't be reached for 20 calls in a row.

    Raises:
        EngineUnavailable: the engine is gone; what is done is kept.
    """
    gate = asyncio.Semaphore(arrivals.most_at_once or max(1, len(items)))
    failures_in_a_row = 0

    async def one(item: Item) -> None:
        nonlocal failures_in_a_row
        call = workload.call(item, id=call_id(run, item.id))
        try:
            outcome = await answer_and_judge(workload, item, call, engine)
            failures_in_a_row = 0
        except EngineError as error:
            failures_in_a_row += 1
            if isinstance(error, EngineUnavailable) and failures_in_a_row >= MOST_FAILURES_IN_A_ROW:
                raise
            outcome = failure_of(call, item.check, error)
        finally:
            gate.release()
        if outcome is not None:
            await ledger.record(call_without_text(call), [], outcomes=[outcome], run=run)
        _count(progress, call, outcome)
        watch(progress)

    try:
        async with asyncio.TaskGroup() as group:
            async for index in arrivals.times(len(items)):
                await gate.acquire()
                group.create_task(one(items[index]))
    except* CputError as errors:
        raise errors.exceptions[0] from None


def call_without_text(call: Call) -> Call:
    """Return the call as the ledger needs it to hang an outcome on."""
    return replace(call, messages=(), prompt=None)


def _count(progress: Progress, call: Call, outcome: Outcome | None) -> None:
    progress.done += 1
    progress.last_call_id = call.id
    if outcome is not None:
        progress.judged += 1
        progress.useful += outcome.value >= 1
        progress.failed += "error" in outcome.detail
