"""Routers against their honest baselines, on published recordings: fitted on training splits, looked at on others.

    make bench-policy-router                        # 20 seeds; minutes on a quiet machine
    python benches/policy_router.py --quick         # 2 seeds, a slice of MMLU
    CPUT_ROUTER_DATA=FOLDER python benches/policy_router.py     # with RouterBench, which may not ship

An interrupted run goes on where it was (``build/policy-router``). docs/design/routing.md has the figures.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from policy_router_card import UNGIVEN, show
from policy_router_data import FIRST_SEED, MODEL, SHIPPED, given_folder, routerbench_files
from policy_router_figures import of_gsm8k, of_mmlu, of_task
from policy_router_mmlu import mmlu
from policy_router_tasks import TASKS, frugal, gsm8k, routerbench_task
from rich.console import Console

from cput.errors import CputError
from cput.measure.environment import environment
from cput.policy.recorded import Recorded
from cput.policy.recordings import routellm_gsm8k, routellm_mmlu
from cput.policy.router import Embedding, fit

PARTS = ("mmlu", "arc_challenge", "mbpp", "gsm8k", "frugalgpt", "speed")
QUICK_PROMPTS = 2000
INTERRUPTED = 130


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"2 seeds, and {QUICK_PROMPTS} prompts of MMLU")
    parser.add_argument("--seeds", type=int, default=20, help="splits of each file")
    parser.add_argument("--only", default=",".join(PARTS), help=f"comma-separated, out of {', '.join(PARTS)}")
    parser.add_argument("--data", type=Path, default=None, help="RouterBench's splits; else CPUT_ROUTER_DATA")
    asked = parser.parse_args()
    only = asked.only.split(",")
    if unheard := sorted(set(only) - set(PARTS)):
        parser.error(f"--only: unknown part {', '.join(unheard)}; allowed: {', '.join(PARTS)}")
    seeds = 2 if asked.quick else asked.seeds
    console = Console(stderr=not sys.stdout.isatty())
    try:
        report = measured(only, seeds, given_folder(asked.data), console, quick=asked.quick)
    except CputError as error:
        console.print(f"bench: {error}", markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    show(report, Console())
    print(json.dumps(report))
    return 0


def measured(only: list[str], seeds: int, folder: Path | None, console: Console, *, quick: bool) -> dict:
    """Return every part's figures."""
    report: dict = {"bench": "policy-router", "embedding": MODEL, "quick": quick}
    answers = routellm_mmlu(SHIPPED / "routellm_mmlu.csv.gz")
    if "mmlu" in only:
        table = answers.rows(drawn(len(answers))) if quick else answers
        report["mmlu"] = of_mmlu(mmlu(table, seeds, console))
    for task in ("arc_challenge", "mbpp"):
        if task in only:
            files = routerbench_files(folder, task)
            report[task] = of_task(routerbench_task(task, files, seeds, console)) if files else UNGIVEN
    if "gsm8k" in only:
        report["gsm8k"] = of_gsm8k(gsm8k(routellm_gsm8k(SHIPPED / "routellm_gsm8k.csv.gz"), seeds, console))
    if "frugalgpt" in only:
        report["frugalgpt"] = [frugal(task) for task in TASKS]
    if "speed" in only:
        report["speed"] = speed(answers)
    report["environment"] = environment(seed=f"{FIRST_SEED} to {FIRST_SEED + seeds - 1}", sample_count=len(answers))
    return report


def drawn(prompts: int):
    return np.sort(np.random.default_rng(0).permutation(prompts)[:QUICK_PROMPTS])


def speed(table: Recorded, prompts: int = 1000, asked: int = 100) -> dict:
    """Return milliseconds for a request, one at a time: the embedding alone, and estimates with and without one."""
    rows = np.random.default_rng(0).permutation(len(table))[: prompts + asked]
    train, test = table.rows(rows[:prompts]), table.rows(rows[prompts:])
    embedding = Embedding(MODEL)
    found = {"embedding_ms": each_ms(lambda text: embedding.of([text]), test)}
    for name, members, vectors in (
        ("light (words and style)", ("linear",), None),
        ("linear + topic + neighbours", ("linear", "topic", "neighbours"), embedding),
    ):
        router = fit(train, members=members, embedding=vectors, tag="subject")
        found[f"{name}_ms"] = each_ms(lambda text, router=router: router.estimate([text]), test)
    embedding.close()
    return found


def each_ms(work, test: Recorded) -> float:
    work(test.prompts[0])
    times = []
    for prompt in test.prompts:
        start = time.perf_counter()
        work(prompt)
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


if __name__ == "__main__":
    sys.exit(main())
