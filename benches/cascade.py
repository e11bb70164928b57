"""What a cascade adds to an answer, how long a decision takes, and what planning by sets costs against the index.

    python benches/cascade.py             # about a minute
    python benches/cascade.py --quick     # a smoke run

Contestants are measured in turns in one process, so that a machine that drifts slows them alike. Prints a card and, as
the last line, one JSON object. Ctrl-C ends it without a result.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cput.engines.echo import Echo
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.measure.environment import environment
from cput.policy.cascade import Cascade, Leg, Otherwise, Passes
from cput.policy.cascade.plan import Lookahead, Plan
from cput.policy.cascade.spread import Spread
from cput.policy.cascade.thresholds import NEVER, cascaded, threshold_path
from cput.policy.estimates import Expected
from cput.policy.explain import Explained
from cput.protocols import Engine
from cput.records import Call, Message, Sampling

SEED = 0
TOKENS = 200
ENGINES = (2, 5, 11)
TEXT = " ".join(f"w{at}" for at in range(TOKENS))
INTERRUPTED = 130


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    quick = parser.parse_args().quick
    console = Console(stderr=True)
    rounds, worlds = (5, 40) if quick else (60, 1_000)
    found = {
        "pass_through": asyncio.run(passing(rounds, console)),
        "decision": {str(count): decisions(count, 20 if quick else 200) for count in ENGINES},
        "replay": replays(200 if quick else 1_400),
        "sets_against_index": worlds_of(worlds, console),
    }
    show(found, Console())
    hardware = environment()
    print(json.dumps({"bench": "cascade", "seed": SEED, "quick": quick, **found, "environment": hardware}))


async def passing(rounds: int, console: Console) -> dict[str, Any]:
    """Time whole streams of one engine alone and behind cascades, in turns; all legs are metered into one ledger."""
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "l.db") as ledger:
        alone = Metered(Echo(), ledger)
        last = Cascade([Leg(engine=alone)])
        held = Cascade([Leg(engine=alone, rule=Passes(lambda *_: True)), Leg(engine=alone)])
        rejected = Cascade([Leg(engine=alone, rule=Passes(lambda *_: False)), Leg(engine=alone)])
        contestants: dict[str, Engine] = {
            "alone": alone,
            "last leg, straight through": last,
            "last leg, explained": Explained(last, ledger),
            "first leg, held back": held,
            "first leg rejected, then the last": rejected,
        }
        times: dict[str, list[float]] = {name: [] for name in contestants}
        firsts: dict[str, list[float]] = {name: [] for name in contestants}
        for number in track(range(rounds + 2), "streams", console=console, transient=True):
            for name, engine in contestants.items():
                first, whole = await one(engine)
                if number >= 2:
                    firsts[name].append(first)
                    times[name].append(whole)
    added = {name: np.array(times[name]) - np.array(times["alone"]) for name in contestants}
    ratios = {name: np.array(times[name]) / np.array(times["alone"]) for name in contestants}
    return {
        name: {
            "whole_ms": round(float(np.median(times[name])) * 1e3, 3),
            "first_piece_ms": round(float(np.median(firsts[name])) * 1e3, 3),
            "ratio_to_alone": round(float(np.median(ratios[name])), 3),
            "added_us_per_piece": round(float(np.median(added[name])) / TOKENS * 1e6, 2),
            "streams": rounds,
        }
        for name in contestants
    }


async def one(engine: Engine) -> tuple[float, float]:
    """Read one answer; return the seconds to its first piece and to its end."""
    call = Call(messages=(Message(role="user", content=TEXT),), sampling=Sampling(max_new_tokens=TOKENS))
    began, first = time.perf_counter(), None
    async for _ in engine.answer(call):
        first = first or time.perf_counter() - began
    return first or 0.0, time.perf_counter() - began


def made(engines: int, rows: int, seed: int = SEED) -> tuple[Expected, np.ndarray, np.ndarray]:
    """Engines of rising cost and quality whose scores lie around what was expected."""
    rng = np.random.default_rng(seed)
    chance = np.clip(rng.uniform(size=(rows, 1)) * 0.5 + np.linspace(0.2, 0.6, engines), 0.02, 0.98)
    score = np.clip(chance + rng.normal(scale=0.15, size=chance.shape), 0, 1)
    quality = (rng.uniform(size=chance.shape) < score).astype(float)
    cost = np.tile(np.geomspace(1e-5, 1e-3, engines), (rows, 1))
    return Expected(np.clip(chance + rng.normal(scale=0.1, size=chance.shape), 0, 1), cost), score, quality


def decisions(engines: int, repeats: int) -> dict[str, float]:
    """Time the first and the second step of one call."""
    expected, score, _ = made(engines, 400)
    spread = Spread.fit(expected.quality, score)
    one_call = Expected(expected.quality[:1], expected.cost_usd[:1])
    nothing, none = np.full((1, engines), np.nan), np.zeros((1, engines), np.bool_)
    seen = none.copy()
    seen[0, 0] = True
    found = {}
    for lookahead in Lookahead:
        plan = Plan(engines=tuple(map(str, range(engines))), usd=300.0, spread=spread, lookahead=lookahead)
        count = repeats if lookahead is Lookahead.INDEX or engines < 11 else max(3, repeats // 20)
        found[f"{lookahead}_first_ms"] = median_ms(lambda p=plan: p.next(one_call, nothing, none, ~none), count)
        found[f"{lookahead}_second_ms"] = median_ms(lambda p=plan: p.next(one_call, score[:1], seen, ~seen), count)
    return found


def replays(rows: int) -> dict[str, float]:
    """Time what is done to a whole record of 11 engines."""
    expected, score, quality = made(11, rows)
    spread = Spread.fit(expected.quality, score)
    names = tuple(map(str, range(11)))
    index = Plan(engines=names, usd=300.0, spread=spread)
    three = (quality[:, [0, 5, 10]], expected.cost_usd[:, [0, 5, 10]], score[:, [0, 5, 10]])
    return {
        "prompts": rows,
        "index_11_engines_ms": median_ms(lambda: index.through(expected, score, quality, expected.cost_usd), 3),
        "cascade_3_legs_ms": median_ms(lambda: cascaded(*three, (0.8, 0.8, NEVER)), 20),
        "threshold_path_3_legs_40_ms": median_ms(lambda: threshold_path(*three), 3),
    }


def worlds_of(count: int, console: Console) -> dict[str, float]:
    """Compare both lookaheads with the best router and the best cascade in small worlds that are known exactly."""
    rng = np.random.default_rng(SEED)
    behind: dict[str, list[float]] = {"index": [], "sets": []}
    ahead: dict[str, list[float]] = {"index": [], "sets": []}
    for _ in track(range(count), "worlds", console=console, transient=True):
        values = [sorted(rng.integers(0, 9, size=2) / 8) for _ in range(3)]
        costs, usd = rng.integers(1, 40, size=3) / 100, float(rng.choice([0.25, 1.0, 3.0]))
        scores = np.array(list(itertools.product(*values)))
        best = best_of_others(values, scores, costs, usd)
        mean = np.array([np.mean(each) for each in values])
        spread = Spread(
            differences=np.array([[np.array(each) - at] for each, at in zip(values, mean, strict=True)]),
            edges=np.zeros((3, 0)),
            covariance=np.zeros((3, 3)),
        )
        expected = Expected(np.tile(mean, (len(scores), 1)), np.tile(costs, (len(scores), 1)))
        for lookahead in Lookahead:
            plan = Plan(engines=("a", "b", "c"), usd=usd, spread=spread, lookahead=lookahead)
            got = plan.through(expected, scores, scores, expected.cost_usd)
            gain = float((got.quality - usd * got.cost_usd).mean()) - best
            behind[lookahead].append(min(0.0, gain if gain < -1e-9 else 0.0))
            ahead[lookahead].append(max(0.0, gain if gain > 1e-9 else 0.0))
    return {"worlds": count} | {
        f"{name}_{what}": value
        for name in behind
        for what, value in (
            ("behind_share", round(float(np.mean(np.array(behind[name]) < 0)), 4)),
            ("behind_most", round(float(-min(behind[name])), 4)),
            ("behind_mean", round(float(-np.mean(behind[name])), 6)),
            ("ahead_share", round(float(np.mean(np.array(ahead[name]) > 0)), 4)),
            ("ahead_mean", round(float(np.mean(ahead[name])), 6)),
        )
    }


def best_of_others(values: list[list[float]], scores: np.ndarray, costs: np.ndarray, usd: float) -> float:
    """Return the value of the best router or cascade: any order, any thresholds, the last or the best answer given."""
    best = max(float(np.mean(each)) - usd * cost for each, cost in zip(values, costs, strict=True))
    for size in (2, 3):
        for order in itertools.permutations(range(3), size):
            some, cost = scores[:, order], np.tile(costs[list(order)], (len(scores), 1))
            for bars in itertools.product(*[[*np.unique(some[:, at]), NEVER] for at in range(size - 1)]):
                for otherwise in Otherwise:
                    got = cascaded(some, cost, some, (*bars, NEVER), best=otherwise is Otherwise.BEST)
                    best = max(best, float((got.quality - usd * got.cost_usd).mean()))
    return best


def median_ms(work: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return round(float(np.median(times[1:])) * 1e3, 4)


def show(found: dict[str, Any], console: Console) -> None:
    table = Table(title=f"{TOKENS} pieces of the echo engine, metered into SQLite; medians, in turns")
    for name in ("", "whole ms", "first piece ms", "x alone", "added us a piece"):
        table.add_column(name, justify="right" if name else "left")
    for name, row in found["pass_through"].items():
        shown = (row["whole_ms"], row["first_piece_ms"], row["ratio_to_alone"], row["added_us_per_piece"])
        table.add_row(name, *map(str, shown))
    console.print(table)
    table = Table(title="one decision of a cascade router, ms")
    columns = list(next(iter(found["decision"].values())))
    for name in ("engines", *columns):
        table.add_column(name, justify="right")
    for count, row in found["decision"].items():
        table.add_row(count, *(f"{row[name]:.3g}" for name in columns))
    console.print(table)
    for title in ("replay", "sets_against_index"):
        table = Table("what", "value", title=title.replace("_", " "))
        for name, value in found[title].items():
            table.add_row(name.replace("_", " "), f"{value:g}")
        console.print(table)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
