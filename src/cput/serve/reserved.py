"""What an embedded engine's device costs while it serves: its calls by their device seconds, the rest as idle.

A device is paid for by the hour, busy or not. Serving is therefore a run with windows, as a measurement is one: every
attempt is charged for the seconds it used when it is written down, and what nobody used is the window's idle charge. A
new window begins every ``WINDOW_S``, so that an hour has its own idle time and no other's. A window that a kill left
open is shown as uncharged by ``cput cost``, until ``cput reprice`` charges it.

    reserved = Reserved(ledger, device_rate("0.08/h", None), engine="smollm2, int8", workload="shop")
    engine = Metered(leaf, ledger, run=reserved.run.id, prices=reserved)
    reserved.begin(); ...; await reserved.keep()      # until cancelled; then ``end()``
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from cput.errors import CputError
from cput.ledger.meter import Pricer
from cput.ledger.price import DeviceRate
from cput.ledger.runs import Run, Window
from cput.ledger.store import Ledger
from cput.measure.environment import environment
from cput.records import Attempt, Charge, new_id
from cput.serve.logs import note
from cput.units import SECONDS_PER_HOUR, to_nano_usd

WINDOW_S = 3600.0
"""How long a window is."""


class Reserved:
    """A device that is reserved for serving; a ``Pricer`` for its attempts. For one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        rate: DeviceRate,
        *,
        engine: str,
        workload: str | None,
        otherwise: Pricer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``otherwise`` prices what a price file prices by its tokens; where it does, the device's window does not."""
        self._ledger = ledger
        self._rate = rate
        self._otherwise = otherwise
        self._clock = clock
        self._used_nano_usd = 0
        self._device = environment()
        self.run = Run(
            id=new_id(),
            kind="serve",
            workload=workload or "",
            workload_digest="",
            engine=engine,
            config={"rate_source": rate.source},
            environment=self._device,
            started_s=clock(),
        )
        self._window: Window | None = None
        self._turning = threading.Lock()

    def charge(self, attempt: Attempt) -> Charge | None:
        """Return what an attempt's device seconds cost; unknown where nobody counted them, or nobody knows the rate."""
        told = self._otherwise.charge(attempt) if self._otherwise is not None else None
        if told is not None:
            return told
        seconds, rate = attempt.usage.engine_s, self._rate.usd_per_h
        nano_usd = None if seconds is None or rate is None else _cost(rate, seconds)
        self._used_nano_usd += nano_usd or 0
        return Charge(
            call_id=attempt.call_id,
            seq=attempt.seq,
            incremental_nano_usd=nano_usd,
            price_version=self._rate.version,
            basis="usage",
        )

    def begin(self) -> None:
        """Write the run down and open its first window."""
        self._ledger.start_run(self.run)
        self._open()

    async def keep(self, every_s: float = WINDOW_S) -> None:
        """Begin a new window every ``every_s`` seconds until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await asyncio.to_thread(self._turn)
            except CputError as error:  # the disk is full, or the database away: the window goes on
                note("device not charged", logging.ERROR, why=str(error))

    def _turn(self) -> None:
        with self._turning:
            if self._window is not None:
                self._settle()
                self._open()

    def _settle(self) -> None:
        """End the window and charge what nobody used of it. A call is in the window that it ends in: what is used
        beyond a window's own seconds is taken from the next one's.
        """
        window = self._window
        assert window is not None
        now = self._clock()
        self._ledger.add_window(replace(window, ended_s=now))
        if self._rate.usd_per_h is not None:
            total = _cost(self._rate.usd_per_h, max(0.0, now - window.started_s))
            unused, self._used_nano_usd = max(0, total - self._used_nano_usd), max(0, self._used_nano_usd - total)
            idle = Charge(
                call_id=None,
                seq=None,
                incremental_nano_usd=unused,
                price_version=self._rate.version,
                basis="idle",
            )
            self._ledger.add_charges([idle], run=self.run.id, window=window.id)

    def end(self) -> None:
        """End the last window and the run. Safe to call twice, and where nothing was begun."""
        with self._turning:  # a turn that was begun goes on in its thread when ``keep`` is cancelled
            if self._window is None:
                return
            self._settle()
            self._window = None
        self._ledger.end_run(self.run.id)

    def _open(self) -> None:
        rate = self._rate.usd_per_h
        self._window = Window(
            run=self.run.id,
            started_s=self._clock(),
            rate_nano_usd_per_h=None if rate is None else to_nano_usd(rate),
            price_version=self._rate.version,
            device=str(self._device.get("cpu", "unknown")),
        )
        self._ledger.add_window(self._window)


def _cost(usd_per_h: Decimal, seconds: float) -> int:
    return to_nano_usd(usd_per_h * Decimal(repr(seconds)) / SECONDS_PER_HOUR)
