"""Does the alarm come before a drift has cost more than the floor gives away? And is it quiet where nothing drifts?

    make bench-policy-drift
    python benches/policy_drift.py --quick      # 5 seeds and 100 stationary runs, half a minute

Each seed certifies a router's threshold on 3,000 held-out calls (95 % of the strong engine's quality, overall and on
two slices), then serves 10,000 calls under watch. The world drifts at call 2,000. Every second call gets an outcome,
some 200 calls later, out of order. *Loss* is in useful answers: those that the strong engine, as it was when it was
certified, would have given to the same calls, less those of the policy. The *budget* is what the floor gives away over
the horizon: (1 - 0.95) * the strong engine's quality * 10,000. In time is an alarm before the loss is above the budget,
or no alarm where it never is. The figures are in docs/design/guarantee.md.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import scipy
from policy_drift_world import THRESHOLDS, Calls, Floats, World, held_out, mixed, slices_of, to_strong
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cput.ledger.interval import share_interval
from cput.measure.environment import environment
from cput.policy.guarantee import Alarm, Certified, Watch, certify, engine_levels
from cput.workloads import Floor

SHARE, ALPHA, EXPLORE = 0.95, 0.05, 0.02
CALIBRATION, HORIZON, DRIFT_AT = 3_000, 10_000, 2_000
JUDGED, LATE = 0.5, 200
BASE = World()
DRIFTS = {
    "odd calls 3 to 10 %": BASE.after(odd_share=0.10),
    "odd calls 3 to 20 %": BASE.after(odd_share=0.20),
    "odd calls 3 to 40 %": BASE.after(odd_share=0.40),
    "hard calls 30 to 60 %": BASE.after(hard_share=0.60),
    "weak engine -2 points": BASE.after(weak_drop=0.02),
    "weak engine -5 points": BASE.after(weak_drop=0.05),
    "weak engine -10 points": BASE.after(weak_drop=0.10),
    "weak engine -20 points": BASE.after(weak_drop=0.20),
    "weak engine -40 points": BASE.after(weak_drop=0.40),
    "strong engine -10 points": BASE.after(strong_drop=0.10),
}
KINDS = ("as certified", "at every level")


class Served(NamedTuple):
    """One period of calls under watch."""

    alarm: Alarm | None
    """What broke, if anything did."""
    at: int | None
    """The call at which the alarm came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One seed of one drift."""

    drift: str
    seed: int
    saving: float
    """Share of the strong engine's cost that the certified threshold saves before the drift."""
    alarm_at: int | None
    """The call at which the alarm came; None: never."""
    what: str | None
    """What broke."""
    false: bool
    """Whether the alarm came before the drift."""
    used: float
    """Loss up to the alarm, or to the end, over the budget."""
    unwatched: float
    """Loss over the whole horizon without an alarm, over the budget."""

    @property
    def in_time(self) -> bool:
        """Whether the loss stayed within the budget."""
        return self.used <= 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="runs of each drift")
    parser.add_argument("--stationary", type=int, default=1000, help="runs of each kind without a drift")
    parser.add_argument("--quick", action="store_true", help="5 seeds and 100 stationary runs")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    asked = parser.parse_args()
    seeds, quiet = (5, 100) if asked.quick else (asked.seeds, asked.stationary)
    if min(seeds, quiet, asked.jobs) < 1:
        parser.error("--seeds, --stationary and --jobs; allowed: 1 or more of each")
    console = Console(stderr=True)
    with ProcessPoolExecutor(asked.jobs) as pool:
        tasks = [(name, asked.seed + seed) for name in DRIFTS for seed in range(seeds)]
        runs = list(track(pool.map(drifting, *zip(*tasks, strict=True)), "drifts", len(tasks), console=console))
        found: dict[str, list[bool]] = {}
        for kind in KINDS:
            each = pool.map(stationary, [kind] * quiet, range(asked.seed, asked.seed + quiet), chunksize=5)
            found[kind] = list(track(each, f"stationary, {kind}", quiet, console=console))
    Console().print(card(runs), quiet_card(found))
    facts = {
        "bench": "policy_drift",
        "share": SHARE,
        "alpha": ALPHA,
        "horizon_calls": HORIZON,
        "drift_at_call": DRIFT_AT,
        "judged_share": JUDGED,
        "late_calls": LATE,
        "drifts": [summary(name, [run for run in runs if run.drift == name]) for name in DRIFTS],
        "stationary": {kind: rate(alarms) for kind, alarms in found.items()},
        "runs": [asdict(run) for run in runs],
        "environment": environment(seed=asked.seed, sample_count=len(runs) + len(KINDS) * quiet),
    }
    facts["environment"]["versions"]["scipy"] = scipy.__version__
    print(json.dumps(facts))
    return 0 if all(entry["low"] <= ALPHA for entry in facts["stationary"].values()) else 1


def drifting(name: str, seed: int) -> Run:
    """Certify, serve, drift; say what it cost."""
    rng = np.random.default_rng([seed, 1])
    certified, watch = prepared(rng)
    threshold = float(THRESHOLDS[certified.choice or 0])
    before, after = BASE.draw(rng, DRIFT_AT), DRIFTS[name].draw(rng, HORIZON - DRIFT_AT)
    calls = Calls(*(np.concatenate(parts) for parts in zip(before, after, strict=True)))
    explored = rng.random(HORIZON) < EXPLORE
    served = serve(watch, calls, threshold, explored, rng)
    strong = calls.strong + np.where(np.arange(HORIZON) < DRIFT_AT, 0.0, DRIFTS[name].strong_drop)
    got = mixed(to_strong(calls, threshold) | explored, calls.strong, calls.weak)
    used = np.cumsum(strong - got) / budget()
    return Run(
        drift=name,
        seed=seed,
        saving=certified.certificate.saving,
        alarm_at=served.at,
        what=None if served.alarm is None else f"{served.alarm.kind} {served.alarm.name}".strip(),
        false=served.at is not None and served.at < DRIFT_AT,
        used=float(used[-1 if served.at is None else served.at]),
        unwatched=float(used[-1]),
    )


def stationary(kind: str, seed: int) -> bool:
    """Serve a whole horizon without a drift; return whether there was an alarm all the same."""
    rng = np.random.default_rng([seed, 2])
    if kind == "at every level":
        return at_every_level(rng)
    certified, watch = prepared(rng)
    calls = BASE.draw(rng, HORIZON)
    explored = rng.random(HORIZON) < EXPLORE
    return serve(watch, calls, float(THRESHOLDS[certified.choice or 0]), explored, rng).at is not None


def at_every_level(rng: np.random.Generator, level: float = 0.88) -> bool:
    """Serve calls whose quality is just as low as the watch allows, everywhere: the most alarms there can be."""
    watch = Watch({"overall": level, "a": level, "b": level}, engines={"c": level, "d": level}, alpha=ALPHA)
    outcomes = (rng.random(HORIZON) < level).astype(float)
    names = rng.integers(2, size=(HORIZON, 2))
    return any(
        watch.saw(str(place), float(quality), slices=["ab"[first]], engine="cd"[second]) is not None
        for place, (quality, (first, second)) in enumerate(zip(outcomes, names, strict=True))
    )


def prepared(rng: np.random.Generator) -> tuple[Certified, Watch]:
    """Return a certificate from held-out calls, and the watch that comes of it."""
    calls = BASE.draw(rng, CALIBRATION)
    table = held_out(calls, rng)
    certified = certify(
        table.quality,
        table.cost_usd,
        floor=Floor(share_of_baseline=SHARE),
        reference=table.reference,
        slices=table.slices,
        names=[f"{threshold:.2f}" for threshold in THRESHOLDS],
    )
    place = certified.choice or 0
    sent = to_strong(calls, float(THRESHOLDS[place]))
    engines = engine_levels(
        np.where(sent, "strong", "weak"), table.quality[:, place], slack=(1 - SHARE) * float(table.reference.mean())
    )
    return certified, Watch(certified.certificate.levels, engines=engines, alpha=ALPHA, horizon=round(JUDGED * HORIZON))


def serve(watch: Watch, calls: Calls, threshold: float, explored: Floats, rng: np.random.Generator) -> Served:
    """Tell the watch of outcomes as they arrive: of every second call, late and out of order."""
    sent = to_strong(calls, threshold)
    strong, weak = calls.outcomes(rng)
    quality = mixed(sent | explored, strong, weak)
    judged = np.flatnonzero(rng.random(len(sent)) < JUDGED)
    arrives = judged + rng.geometric(1 / LATE, len(judged))
    parts = slices_of(calls)
    for place in np.argsort(arrives, kind="stable"):
        call, now = int(judged[place]), int(arrives[place])
        if now >= len(sent):
            break
        alarm = watch.saw(
            str(call),
            float(quality[call]),
            engine="strong" if sent[call] else "weak",
            slices=[name for name, members in parts.items() if members[call]],
            propensity=1 - EXPLORE,
            explored=bool(explored[call]),
            at_s=float(now),
        )
        if alarm is not None:
            return Served(alarm, now)
    return Served(None, None)


def budget() -> float:
    """Return the useful answers that the floor gives away over the horizon."""
    return (1 - SHARE) * float(BASE.draw(np.random.default_rng(99), 1_000_000).strong.mean()) * HORIZON


def summary(name: str, runs: Sequence[Run]) -> dict[str, object]:
    """Return what became of one drift."""
    heard = [run for run in runs if run.alarm_at is not None and not run.false]
    return {
        "drift": name,
        "seeds": len(runs),
        "alarms": len(heard),
        "false_alarms": sum(run.false for run in runs),
        "in_time": sum(run.in_time for run in runs),
        "calls_to_alarm": float(np.median([run.alarm_at - DRIFT_AT for run in heard])) if heard else None,
        "budget_used": float(np.median([run.used for run in runs])),
        "budget_used_most": max(run.used for run in runs),
        "unwatched": float(np.median([run.unwatched for run in runs])),
        "what": sorted({run.what or "" for run in heard}),
        "saving": float(np.median([run.saving for run in runs])),
    }


def rate(alarms: Sequence[bool]) -> dict[str, float | int | None]:
    """Return the share of runs with an alarm, with its 95 % interval."""
    found = share_interval(sum(alarms), len(alarms))
    return {"runs": len(alarms), "rate": sum(alarms) / len(alarms), "low": found.low, "high": found.high}


def card(runs: Sequence[Run]) -> Table:
    table = Table(
        title=f"drifts at call {DRIFT_AT:,} of {HORIZON:,}; loss in shares of the budget", title_justify="left"
    )
    table.add_column("drift")
    for heading in ("alarms", "in time", "false", "calls to alarm", "loss, median", "loss, most", "without a watch"):
        table.add_column(heading, justify="right")
    for name in DRIFTS:
        row = summary(name, [run for run in runs if run.drift == name])
        wait = row["calls_to_alarm"]
        table.add_row(
            name,
            f"{row['alarms']} of {row['seeds']}",
            f"{row['in_time']} of {row['seeds']}",
            str(row["false_alarms"]),
            "" if wait is None else f"{wait:,.0f}",
            *(f"{row[key]:.2f}" for key in ("budget_used", "budget_used_most", "unwatched")),
        )
    return table


def quiet_card(found: dict[str, list[bool]]) -> Table:
    table = Table(title=f"no drift, {HORIZON:,} calls a run; at most {ALPHA * 100:g} % may alarm", title_justify="left")
    for heading in ("quality", "runs", "alarms, %", "95 % interval"):
        table.add_column(heading, justify="right" if heading != "quality" else "left")
    for kind, alarms in found.items():
        row = rate(alarms)
        interval = f"{row['low'] * 100:.2f} to {row['high'] * 100:.2f}"
        table.add_row(kind, f"{row['runs']:,}", f"{row['rate'] * 100:.2f}", interval)
    return table


if __name__ == "__main__":
    sys.exit(main())
