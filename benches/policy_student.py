"""Student first: how many calls does a small student keep in front of a stronger labeller, at 99 % of its quality?

    make bench-policy-student
    python benches/policy_student.py --quick                  # the shipped samples, 2 seeds, a minute
    python benches/policy_student.py --only cold --seeds 5

A student learns a few examples a label of the training split; a threshold is certified on one random half of the test
split (delta 0.05) and read off the other, for each of 20 seeds. Two labellers: an ensemble that is much heavier and
learnt all of the training split (real answers, with its own mistakes), and the references, which are always right. A
labeller's call is priced as a hosted small model's that is asked with the list of labels, at genai-prices' price of the
day; the ensemble also at the core seconds measured here. Nothing here was answered by a hosted model.
Needs the models all-minilm-l6-v2 and smollm2-135m-instruct (its tokenizer counts): `cput models pull NAME`.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import sklearn
from policy_student_data import EMBEDDER, HOSTED, PER_LABEL, Prices, heavy, money, references, task
from policy_student_run import DELTA, SHARE, Row, run
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from cput.measure.environment import environment


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", choices=sorted(PER_LABEL), help="one data set")
    parser.add_argument("--quick", action="store_true", help="2 seeds on the shipped workloads' samples")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    asked = parser.parse_args()
    if asked.seeds < 1 or asked.jobs < 1:
        parser.error(f"--seeds is {asked.seeds} and --jobs is {asked.jobs}; allowed: 1 or more")
    seeds = 2 if asked.quick else asked.seeds
    names = [asked.only] if asked.only else list(PER_LABEL)
    facts: dict[str, Any] = {"bench": "policy_student", "floor": SHARE, "delta": DELTA, "seeds": seeds, "tasks": {}}
    progress = Console(stderr=True)
    for name in names:
        with progress.status(f"{name}: the labeller learns"):
            prepared = _prepared(name, asked.quick)
        found = list(measured(name, seeds, asked.quick, asked.jobs, facts))
        if not found:
            break
        facts["tasks"][name] = summary(found) | prepared
        people = Console(width=None if sys.stdout.isatty() else 150)
        people.print(card(name, facts["tasks"][name]))
        people.print(scores_card(name, facts["tasks"][name]))
        if facts.get("interrupted"):
            break
    facts["environment"] = environment(seed=0, sample_count=seeds)
    facts["environment"]["versions"]["scikit-learn"] = sklearn.__version__
    print(json.dumps(facts))
    return 130 if facts.get("interrupted") else 0


def measured(name: str, seeds: int, quick: bool, jobs: int, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each seed's findings; an interrupt ends it, and what was measured until then counts."""
    pool = ProcessPoolExecutor(jobs)
    try:
        done = pool.map(one_seed, [name] * seeds, range(seeds), [quick] * seeds)
        yield from track(done, total=seeds, description=name, console=Console(stderr=True))
    except KeyboardInterrupt:
        facts["interrupted"] = True
    finally:
        pool.shutdown(cancel_futures=True)


def _prepared(name: str, quick: bool) -> dict[str, Any]:
    """Make what all seeds share, and say what it is."""
    found = task(name, quick=quick)
    labeller, prices = heavy(found), Prices(name)
    usd = money(found, [labeller, references(found)]).hosted_usd["references"]
    prices.hosted_usd(found.test.texts[0], str(found.test.labels[0]))  # says at which price
    return {
        "train": len(found.train),
        "test": len(found.test),
        "per_label": found.per_label,
        "labeller_accuracy": float((labeller.answers == found.test.labels).mean()),
        "labeller_engine_s": labeller.engine_s,
        "hosted": "/".join(HOSTED),
        "price_version": prices.version,
        "prompt_tokens_of_list": prices.system_tokens,
        "hosted_usd_per_call": float(np.mean(usd)),
    }


def one_seed(name: str, seed: int, quick: bool) -> dict[str, Any]:
    """Run one seed in a process of its own."""
    found = task(name, quick=quick)
    labellers = [heavy(found), references(found)]
    with threadpool_limits(1):  # the processes share the cores already
        return run(found, labellers, money(found, labellers), seed)


FIGURES = (
    "kept",
    "kept_inside",
    "kept_outside",
    "student_quality",
    "kept_quality",
    "labeller_quality",
    "quality",
    "least_share",
    "cost_ratio_hosted",
    "cost_ratio_device",
    "answer_ratio_hosted",
)


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over the seeds with the middle 95 % of them, and every seed's row."""
    rows: list[Row] = [row for each in found for row in each["rows"]]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.labeller}/{row.score}{'/slices' if row.slices else ''}", []).append(row)
    scores = [each["scores"] for each in found]
    return {
        "policies": {name: _group(own) for name, own in groups.items()},
        "scores": {
            score: {figure: spread([each[score][figure] for each in scores]) for figure in scores[0][score]}
            for score in scores[0]
            if score != "calibration"
        },
        "seeds": len(found),
        "calibration": [each["calibration"] for each in scores],
        "fit_cpu_s": spread([each["fit_s"] for each in found]),
        "answer_s": spread([each["one_s"] for each in found]),
        "rows": [asdict(row) for row in rows],
    }


def _group(rows: list[Row]) -> dict[str, Any]:
    return {
        **{figure: spread([getattr(row, figure) for row in rows]) for figure in FIGURES},
        "holds": float(np.mean([row.holds for row in rows])),
        "certified": float(np.mean([row.kept > 0 for row in rows])),
        "needed": [row.needed for row in rows],
        "by_slice": {
            part: {
                "n": rows[0].by_slice[part]["n"],
                "kept": spread([row.by_slice[part]["kept"] for row in rows]),
                "share": spread([row.by_slice[part]["share"] for row in rows]),
            }
            for part in rows[0].by_slice
        },
    }


def spread(values: list[float | None]) -> dict[str, float | None]:
    """Return the mean over seeds and where the middle 95 % of them lie; unknown ones are left out."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "low": None, "high": None}
    low, high = np.quantile(known, [0.025, 0.975])
    return {"mean": float(np.mean(known)), "low": float(low), "high": float(high)}


def card(name: str, facts: dict[str, Any]) -> Table:
    title = (
        f"{name}: {facts['per_label']} examples a label, floor {SHARE:.0%} of the labeller; "
        f"mean \\[middle 95 %] of {facts['seeds']} seeds\nlabeller {facts['labeller_accuracy']:.1%} right, "
        f"{facts['hosted_usd_per_call']:.2e} USD a call ({facts['price_version']})"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("labeller / score")
    for heading in ("kept, %", "out of scope kept, %", "share of its quality, %", "holds, % of seeds", "CPUT ratio"):
        table.add_column(heading, justify="right")
    table.add_column("on its device", justify="right")
    for policy, own in facts["policies"].items():
        table.add_row(
            policy,
            *(shown(own[figure], 100, 1) for figure in ("kept", "kept_outside", "least_share")),
            f"{own['holds'] * 100:.0f}",
            *(shown(own[figure], 1, 3) for figure in ("cost_ratio_hosted", "cost_ratio_device")),
        )
    return table


def scores_card(name: str, facts: dict[str, Any]) -> Table:
    table = Table(title=f"{name}: what to abstain by, whole test split, {EMBEDDER} not used", title_justify="left")
    table.add_column("score")
    for heading in ("area under risk and coverage", "AUROC in against out of scope", "calibration error, %"):
        table.add_column(heading, justify="right")
    for score, own in facts["scores"].items():
        figures = (own["aurc"], own.get("auroc_outside"), own.get("ece"))
        scales = ((1, 4), (1, 3), (100, 1))
        table.add_row(score, *(shown(found, *scale) for found, scale in zip(figures, scales, strict=True)))
    return table


def shown(found: dict[str, float | None] | None, scale: float, places: int) -> str:
    if found is None or found["mean"] is None or found["low"] is None or found["high"] is None:
        return "unknown" if found is not None else ""
    mean, low, high = (f"{found[at] * scale:.{places}f}" for at in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
