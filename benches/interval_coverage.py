"""Do 95 % intervals cover the truth 95 times in 100? Simulated windows of calls whose truth is known.

    make bench-coverage
    python benches/interval_coverage.py --quick    # 200 windows a row, some seconds

Rows marked "ample" must cover 93 to 97 %. In "scarce" ones few calls are useful, or the check hardly ever errs: an
interval of whole counts then cannot hit 95 % and must not cover less than 93. ``width`` is the median width of a
prediction-powered interval over that of its trusted sample alone. The figures are in docs/benches/coverage.md.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import scipy
from interval_settings import SETTINGS, Setting
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cput.ledger.interval import Interval
from cput.measure.environment import environment

LEAST, MOST = 0.93, 0.97
WIDTHS = 100  # windows a row whose sample alone is also worked out: its bootstrap is the slow part


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one setting."""

    family: str
    name: str
    what: str
    scarce: bool
    windows: int
    """Windows of which the interval said anything."""
    coverage: float
    """Share of them whose interval held the truth."""
    too_low: float
    """Share whose interval lay below the truth."""
    too_high: float
    """Share whose interval lay above it."""
    width_ratio: float | None
    """Median width over that of the trusted sample alone; None where there is no such sample."""

    @property
    def holds(self) -> bool:
        """Whether it covers what it must, give or take two standard errors of the simulation."""
        error = 2 * math.sqrt(0.95 * 0.05 / self.windows)
        return LEAST - error <= self.coverage and (self.scarce or self.coverage <= MOST + error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=1000, help="windows drawn per row")
    parser.add_argument("--quick", action="store_true", help="200 windows per row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default="", help="only rows with this text in their interval, calls or figure")
    asked = parser.parse_args()
    windows = 200 if asked.quick else asked.windows
    if windows < 20 or asked.jobs < 1:
        parser.error(f"--windows is {windows} and --jobs is {asked.jobs}; allowed: 20 or more windows, 1 or more jobs")
    numbers = [number for number, row in enumerate(SETTINGS) if asked.only in f"{row.family} {row.name} {row.what}"]
    if not numbers:
        parser.error(
            f"--only is '{asked.only}'; allowed: a part of {', '.join(sorted({row.name for row in SETTINGS}))}"
        )
    with ProcessPoolExecutor(asked.jobs) as pool:
        found = pool.map(run_row, numbers, [windows] * len(numbers), [asked.seed] * len(numbers))
        rows = list(track(found, total=len(numbers), description="settings", console=Console(stderr=True)))
    Console().print(card(rows))
    facts = {"bench": "coverage", "holds": all(row.holds for row in rows), "windows_per_row": windows}
    facts["rows"] = [asdict(row) | {"holds": row.holds} for row in rows]
    facts["environment"] = environment(seed=asked.seed, sample_count=windows * len(rows))
    facts["environment"]["versions"]["scipy"] = scipy.__version__
    print(json.dumps(facts))
    return 0 if facts["holds"] else 1


def run_row(number: int, windows: int, seed: int) -> Row:
    """Run one of ``SETTINGS``; its windows do not depend on which others run."""
    return run(SETTINGS[number], windows, np.random.default_rng([seed, number]))


def run(setting: Setting, windows: int, rng: np.random.Generator) -> Row:
    """Draw windows and count how often the truth lies within their intervals."""
    truth = setting.truth()
    found: list[Interval] = []
    ratios: list[float] = []
    for number in range(windows):
        trial = setting.trial(rng, number)
        if trial.found.low is None or trial.found.high is None:
            continue
        found.append(trial.found)
        if trial.alone is not None and number < WIDTHS:
            ratios += width_ratio(trial.found, trial.alone())
    return Row(
        family=setting.family,
        name=setting.name,
        what=setting.what,
        scarce=setting.scarce,
        windows=len(found),
        coverage=share(interval.low <= truth <= interval.high for interval in found),
        too_low=share(interval.high < truth for interval in found),
        too_high=share(interval.low > truth for interval in found),
        width_ratio=float(np.median(ratios)) if ratios else None,
    )


def width_ratio(ours: Interval, alone: Interval) -> list[float]:
    """Return the ratio of widths, or nothing where either is unbounded or unknown."""
    if alone.high is None or math.isinf(alone.high) or math.isinf(ours.high):
        return []
    return [(ours.high - ours.low) / (alone.high - alone.low)]


def share(held: Iterable[bool]) -> float:
    listed = list(held)
    return sum(listed) / len(listed)


def card(rows: list[Row]) -> Table:
    table = Table(title=f"coverage of 95 % intervals, {rows[0].windows:,} windows a row", title_justify="left")
    for heading in ("interval", "calls", "figure"):
        table.add_column(heading)
    for heading in ("covers, %", "below, %", "above, %", "width"):
        table.add_column(heading, justify="right")
    table.add_column("must cover")
    for row in rows:
        must = "93 % or more" if row.scarce else "93 to 97 %"
        table.add_row(
            row.family,
            row.name,
            row.what,
            *(f"{value * 100:.1f}" for value in (row.coverage, row.too_low, row.too_high)),
            "" if row.width_ratio is None else f"{row.width_ratio:.2f}",
            must if row.holds else f"{must}: FAILS",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
