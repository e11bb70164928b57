"""Does a certificate err as rarely as it says, and what does it see that plainer bounds do not?

    make bench-policy-certificate
    python benches/policy_certificate.py --quick     # 100 draws a case

*Validity*: held-out outcomes are drawn from populations whose truth is known; how often is anything certified that is
below the floor? At most delta. *Power*: on a router's thresholds at 95 % of the best engine's quality, the share of
that engine's cost that the cheapest certified threshold saves, by test, all in the same sequence. ``needed`` is
checked by drawing as many more outcomes as it asks for. The figures are in docs/design/guarantee.md.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import scipy
from policy_certificate_cases import Case, cases
from policy_drift_world import THRESHOLDS, Floats, World, held_out
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import beta, binom

from cput.ledger.interval import share_interval
from cput.measure.environment import environment
from cput.policy.guarantee import certify
from cput.policy.guarantee.mean_tests import MOST_STAKED, betting
from cput.policy.guarantee.sequence import in_sequence, shares
from cput.workloads import Floor

DELTA, SHARE = 0.05, 0.95
Test = Callable[[Floats, Floats, float], Floats]
"""Takes (n, c) qualities, (n,) of the reference and a level; returns c p-values."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="draws of each case")
    parser.add_argument("--quick", action="store_true", help="100 draws a case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    asked = parser.parse_args()
    draws = 100 if asked.quick else asked.draws
    if draws < 20 or asked.jobs < 1:
        parser.error(f"--draws is {draws} and --jobs is {asked.jobs}; allowed: 20 or more draws, 1 or more jobs")
    console = Console(stderr=True)
    with ProcessPoolExecutor(asked.jobs) as pool:
        numbers = range(len(cases()))
        found = pool.map(validity, numbers, [draws] * len(numbers), [asked.seed] * len(numbers))
        valid = list(track(found, "validity", len(numbers), console=console))
        tasks = [(n, name) for n in SAMPLES for name in TESTS]
        found = pool.map(
            power, *zip(*tasks, strict=True), [max(20, draws // 5)] * len(tasks), [asked.seed] * len(tasks)
        )
        powers = list(track(found, "power", len(tasks), console=console))
        sizes = list(pool.map(enough, (60, 120), [max(20, draws // 5)] * 2, [asked.seed] * 2))
    Console().print(valid_card(valid), power_card(powers))
    facts = {
        "bench": "policy_certificate",
        "delta": DELTA,
        "validity": valid,
        "power": powers,
        "needed": sizes,
        "environment": environment(seed=asked.seed, sample_count=draws * len(valid)),
    }
    facts["environment"]["versions"]["scipy"] = scipy.__version__
    print(json.dumps(facts))
    return 0 if all(row["holds"] for row in valid) else 1


def validity(number: int, draws: int, seed: int) -> dict[str, Any]:
    """Return how often anything below the floor was certified in one of ``cases()``."""
    case = cases()[number]
    wrong, some = errors(case, draws, np.random.default_rng([seed, number]))
    found = share_interval(wrong, draws)
    return {
        "case": case.name,
        "draws": draws,
        "wrong": wrong / draws,
        "low": found.low,
        "high": found.high,
        "some": some / draws,
        "holds": found.low is None or found.low <= DELTA,
    }


def errors(case: Case, draws: int, rng: np.random.Generator, **options: Any) -> tuple[int, int]:
    """Return in how many draws anything below the floor was certified, and in how many anything at all was."""
    wrong = some = 0
    for _ in range(draws):
        drawn = case.draw(rng)
        found = certify(
            drawn.quality,
            drawn.cost_usd,
            floor=case.floor,
            reference=drawn.reference,
            slices=drawn.slices,
            delta=DELTA,
            **options,
        )
        passed = {place for place, one in enumerate(found.certificate.candidates) if one.certified}
        wrong, some = wrong + bool(passed & case.bad), some + bool(passed)
    return wrong, some


def power(n: int, name: str, draws: int, seed: int) -> dict[str, Any]:
    """Return the mean saving that one test certifies with ``n`` held-out prompts."""
    savings = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, n, draw])  # the same draws for each test
        table = held_out(World().draw(rng, n), rng)
        cost = table.cost_usd.mean(axis=0)
        passed = passing(TESTS[name], table.quality, table.reference, starts=1 if "one start" in name else 3)
        savings.append(1 - min((cost[place] for place in passed), default=cost[0]) / cost[0])
    return {"n": n, "test": name, "draws": draws, "saving": float(np.mean(savings)), "none": _share_of_none(savings)}


def passing(test: Test, quality: Floats, reference: Floats, *, starts: int) -> list[int]:
    """Return the candidates that pass in sequence."""
    at: dict[float, Floats] = {}

    def passes(place: int, level: float) -> bool:
        if level not in at:
            at[level] = test(quality, reference, level)
        return bool(at[level][place] <= level)

    verdicts = in_sequence(passes, shares(quality.shape[1], delta=DELTA, starts=starts))
    return [place for place, (_, passed) in enumerate(verdicts) if passed]


def enough(n: int, draws: int, seed: int) -> dict[str, Any]:
    """Return how often a saving is certified with as many more outcomes as a first, small sample asks for."""
    asked, shown = [], []
    for draw in range(draws):
        rng = np.random.default_rng([seed, n, draw, 7])
        first = held_out(World().draw(rng, n), rng)
        needed = _certified(first).certificate.needed
        if not needed:
            continue
        asked.append(needed)
        again = held_out(World().draw(rng, n + needed), rng)
        shown.append(_certified(again).certificate.needed == 0)
    return {"n": n, "asked": len(asked), "median": float(np.median(asked)), "shown": float(np.mean(shown))}


def _certified(table: Any) -> Any:
    floor = Floor(share_of_baseline=SHARE)
    return certify(table.quality, table.cost_usd, floor=floor, reference=table.reference, delta=DELTA)


def _share_of_none(savings: list[float]) -> float:
    return float(np.mean([saving <= 1e-12 for saving in savings]))


def _by_bets(quality: Floats, reference: Floats, level: float) -> Floats:
    return betting(quality - SHARE * reference[:, None], lowest=SHARE, level=level)


def _by_plain_bets(quality: Floats, reference: Floats, level: float) -> Floats:
    """Bets as in Waudby-Smith and Ramdas 2024, whose stakes do not follow what has been won."""
    margins = (quality - SHARE * reference[:, None])[np.random.default_rng(0).permutation(len(quality))]
    n = len(margins)
    before = np.vstack([np.zeros((1, margins.shape[1])), np.cumsum(margins**2, axis=0)[:-1]])
    spread = (before + ((1 + SHARE) / 2) ** 2) / np.arange(1, n + 1)[:, None]
    stake = np.minimum(np.sqrt(2 * np.log(1 / level) / (n * spread)), MOST_STAKED / SHARE)
    return np.exp(-np.maximum(np.cumsum(np.log1p(stake * margins), axis=0).max(axis=0), 0))


def _by_hoeffding(quality: Floats, reference: Floats, level: float) -> Floats:  # noqa: ARG001
    mean = (quality - SHARE * reference[:, None]).mean(axis=0)
    return np.exp(-2 * len(quality) * (np.maximum(mean, 0) / (1 + SHARE)) ** 2)


def _by_hoeffding_bentkus(quality: Floats, reference: Floats, level: float) -> Floats:  # noqa: ARG001
    n, floor = len(quality), 1 / (1 + SHARE)  # of the risk, scaled to [0, 1]: at most this
    risk = (1 - (quality - SHARE * reference[:, None])).mean(axis=0) / (1 + SHARE)
    capped = np.clip(np.minimum(risk, floor), 1e-12, 1 - 1e-12)
    entropy = capped * np.log(capped / floor) + (1 - capped) * np.log((1 - capped) / (1 - floor))
    bentkus = np.e * binom.cdf(np.ceil(n * risk), n, floor)
    return np.minimum(1.0, np.minimum(np.exp(-n * entropy), bentkus))


def _by_clopper_pearson(quality: Floats, reference: Floats, level: float) -> Floats:
    """Both qualities bounded by themselves, at half the level each: what pairing them is worth."""
    n, useful, of_best = len(quality), quality.sum(axis=0), reference.sum()
    low = np.where(useful > 0, beta.ppf(level / 2, np.maximum(useful, 1), n - useful + 1), 0.0)
    high = beta.ppf(1 - level / 2, of_best + 1, n - of_best) if of_best < n else 1.0
    return np.where(low >= SHARE * high, level, 1.0)


SAMPLES = (200, 500, 1000, 3000)
TESTS: dict[str, Test] = {
    "bets with targets (certify)": _by_bets,
    "bets with targets, one start": _by_bets,
    "plain bets": _by_plain_bets,
    "Hoeffding-Bentkus": _by_hoeffding_bentkus,
    "Hoeffding": _by_hoeffding,
    "Clopper-Pearson, not paired": _by_clopper_pearson,
}


def valid_card(rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"certified though below the floor; at most {DELTA * 100:g} %", title_justify="left")
    table.add_column("held-out outcomes")
    for heading in ("wrong, %", "95 % interval", "any certified, %"):
        table.add_column(heading, justify="right")
    for row in rows:
        interval = f"{row['low'] * 100:.1f} to {row['high'] * 100:.1f}"
        table.add_row(row["case"], f"{row['wrong'] * 100:.1f}", interval, f"{row['some'] * 100:.0f}")
    return table


def power_card(rows: list[dict[str, Any]]) -> Table:
    thresholds = len(THRESHOLDS)
    table = Table(title=f"saving certified, % of the best engine's cost; {thresholds} thresholds", title_justify="left")
    table.add_column("test")
    for n in SAMPLES:
        table.add_column(f"{n:,} prompts", justify="right")
    for name in TESTS:
        table.add_row(name, *(f"{row['saving'] * 100:.1f}" for row in rows if row["test"] == name))
    return table


if __name__ == "__main__":
    sys.exit(main())
