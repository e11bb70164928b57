"""One run from its first call to its measurement: the device is reserved, used, given back, and charged.

    result = await measure(workload, items, engine, ledger=ledger, run=run, arrivals=ClosedLoop(8), rate=rate)

``engine`` is metered already and started (loading a model is not part of the window).
"""

import time
from collections.abc import Sequence

from cput.ledger.allocate import allocate
from cput.ledger.energy import Terms, record_energy
from cput.ledger.price import DeviceRate
from cput.ledger.runs import Run, Window
from cput.ledger.store import Ledger
from cput.measure.arrivals import Arrivals
from cput.measure.energy import Meter, with_energy
from cput.measure.read import measurement
from cput.measure.result import Measurement
from cput.measure.run import Progress, Watcher, left_to_do, run_items
from cput.protocols import Engine
from cput.records import Charge
from cput.units import to_nano_usd
from cput.workloads import Item, Workload


async def measure(
    workload: Workload,
    items: Sequence[Item],
    engine: Engine,
    *,
    ledger: Ledger,
    run: Run,
    arrivals: Arrivals,
    rate: DeviceRate,
    watch: Watcher = lambda _: None,
    notes: Sequence[str] = (),
    meter: Meter | None = None,
    energy: Terms | None = None,
) -> Measurement:
    """Run what is left of ``run`` over ``items`` and return the whole run's measurement.

    However it ends (cancelled, an engine that is gone), the window is closed and what was done is charged. ``meter``
    counts the window's energy where the engine runs here, ``energy`` is what a kilowatt-hour costs and emits.
    """
    ledger.start_run(run)
    todo = left_to_do(workload, ledger, run.id, items)
    progress = Progress(total=len(items), done=len(items) - len(todo))
    if todo:
        counting = meter.start() if meter is not None else None
        window = _reserve(ledger, run, rate)
        try:
            await run_items(
                workload, todo, engine, ledger=ledger, run=run.id, arrivals=arrivals, progress=progress, watch=watch
            )
        finally:
            ended_s = time.time()
            used = counting.stop(window, ended_s - window.started_s) if counting is not None else ()
            _give_back(ledger, run, window, rate, ended_s)
            record_energy(ledger, used)
    ledger.end_run(run.id)
    return with_energy(measurement(ledger, run, workload, rate_source=rate.source, notes=notes), ledger, energy)


def _reserve(ledger: Ledger, run: Run, rate: DeviceRate) -> Window:
    window = Window(
        run=run.id,
        started_s=time.time(),
        rate_nano_usd_per_h=None if rate.usd_per_h is None else to_nano_usd(rate.usd_per_h),
        price_version=rate.version,
        device=str(run.environment.get("cpu", "unknown")),
    )
    ledger.add_window(window)
    return window


def _give_back(ledger: Ledger, run: Run, window: Window, rate: DeviceRate, ended_s: float) -> None:
    """Close the window and charge its attempts by engine share; what nobody used is idle. Every charge names it.

    Attempts that are charged by their tokens already are somebody else's device; where all are, so is the window.
    """
    ledger.add_window(
        Window(
            id=window.id,
            run=window.run,
            started_s=window.started_s,
            ended_s=ended_s,
            rate_nano_usd_per_h=window.rate_nano_usd_per_h,
            price_version=window.price_version,
            device=window.device,
        )
    )
    if rate.usd_per_h is None:
        return
    records = ledger.calls(run=run.id)
    by_tokens = {(charge.call_id, charge.seq) for record in records for charge in record.charges}
    within = [leg for record in records for leg in record.attempts if leg.started_s >= window.started_s]
    legs = [leg for leg in within if (leg.call_id, leg.seq) not in by_tokens]
    if within and not legs:
        return
    split = allocate(ended_s - window.started_s, rate.usd_per_h, [leg.usage.engine_s for leg in legs])
    ledger.add_charges(
        [
            Charge(
                call_id=leg.call_id,
                seq=leg.seq,
                incremental_nano_usd=used,
                price_version=rate.version,
                basis="usage",
            )
            for leg, used in zip(legs, split.usage_nano_usd, strict=True)
        ],
        run=run.id,
        window=window.id,
    )
    idle = Charge(
        call_id=None, seq=None, incremental_nano_usd=split.idle_nano_usd, price_version=rate.version, basis="idle"
    )
    ledger.add_charges([idle], run=run.id, window=window.id)
