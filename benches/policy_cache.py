"""The caches: hits and false hits of the semantic one on paraphrases and flips, and what the exact one adds to a call.

    make bench-policy-cache                              # some minutes
    python benches/policy_cache.py --seeds 2 --pairs 600 # a quick look
    python benches/policy_cache.py --fit                 # writes the certificates that ship, and nothing else

Per seed the templates, actions and fillers are split in two; the threshold is fitted on pairs of one half and measured
on pairs of the other. Beside it stands the cosine alone, at common thresholds. Real sentences (CLINC150, banking77;
``--data`` or CPUT_CACHE_DATA) give neighbours of different intents, none of which may be a hit.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from policy_cache_latency import latencies
from policy_cache_measure import EMBEDDERS, Vectors, measured, natural, summary
from policy_cache_pairs import draw, whole
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cput.engines import open_engine
from cput.measure.environment import environment
from cput.policy.cache import fit, guard_version

SHIPPED = Path(__file__).parent.parent / "src/cput/policy/cache/fitted"
SHIPPED_PAIRS = 4000
BOUND, CONFIDENCE = 0.01, 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="splits of the templates")
    parser.add_argument(
        "--pairs", type=int, default=2000, help="pairs to fit on, a language; a quarter as many to measure"
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("CPUT_CACHE_DATA"), help="folder with clinc150_full.json.gz"
    )
    parser.add_argument("--embedders", default=",".join(EMBEDDERS), help="comma-separated")
    parser.add_argument("--fit", action="store_true", help="write the certificates that ship")
    asked = parser.parse_args()
    asyncio.run(ship() if asked.fit else bench(asked))


async def ship() -> None:
    """Fit on pairs of all templates, and write what ships."""
    SHIPPED.mkdir(exist_ok=True)
    pairs = [made.pair for made in draw(whole(), count=SHIPPED_PAIRS, seed=20)]
    for name in EMBEDDERS:
        embedder = open_engine("embedder", model=name)
        data = f"{SHIPPED_PAIRS:,} generated pairs a language, half of them different (benches/policy_cache_pairs.py)"
        certificate = await fit(pairs, embedder, bound=BOUND, confidence=CONFIDENCE, data=data)
        certificate.save(SHIPPED / f"{name}.json")
        await embedder.aclose()
        print(f"{name}: {certificate.words}")


async def bench(asked: argparse.Namespace) -> None:
    console = Console(stderr=True)
    results, found, guard = [], {}, guard_version()
    for name in asked.embedders.split(","):
        embedder = open_engine("embedder", model=name)
        await embedder.start()
        vectors = Vectors(embedder)
        seeds = track(range(asked.seeds), description=name, console=console)
        rows = [await measured(seed, asked.pairs, vectors, bound=BOUND, confidence=CONFIDENCE) for seed in seeds]
        results += summary(name, rows)
        found[name] = await natural(vectors, asked.data)
        await embedder.aclose()
    if asked.data is None:
        console.print("real sentences are skipped: give their folder with --data or CPUT_CACHE_DATA")
    times = await latencies()
    Console(width=120).print(card(results))
    Console(width=120).print(costs(times))
    said = {
        "bench": "policy_cache",
        "bound": BOUND,
        "confidence": CONFIDENCE,
        "guard": guard,
        "semantic": results,
        "other_intents": found if asked.data is not None else "unknown",
        "exact_latency": times,
        "environment": environment(seed=0, sample_count=asked.seeds * asked.pairs * 2),
    }
    print(json.dumps(said))


def card(results: list[dict]) -> Table:
    table = Table(title="test pairs of other templates: mean over seeds [95 % of them]")
    for head in (
        "embedder",
        "language",
        "by",
        "threshold",
        "hits of the same",
        "false of all hits",
        "false of the different",
        "seeds held",
    ):
        table.add_column(head)
    for row in results:
        table.add_row(
            row["embedder"],
            row["language"],
            row["by"],
            shown(row["threshold"], "{:.2f}"),
            shown(row["same_hit_rate"]),
            shown(row["false_of_hits"]),
            shown(row["false_of_different"]),
            f"{row['seeds_within_bound']}/{row['seeds']}",
        )
    return table


def shown(found: dict | None, form: str = "{:.1%}") -> str:
    if found is None:
        return "unknown"
    return f"{form.format(found['mean'])} [{form.format(found['low'])}, {form.format(found['high'])}]"


def costs(times: list[dict]) -> Table:
    table = Table(title="time of a call of 64 tokens in process, over no cache's (median of pairs)")
    for head in ("cache", "a miss", "a hit", "calls"):
        table.add_column(head)
    for row in times:
        table.add_row(row["cache"], f"{row['miss_ratio']:.2f}", f"{row['hit_ratio']:.2f}", str(row["calls"]))
    return table


if __name__ == "__main__":
    sys.exit(main())
