"""Where the router bench's data lies, its vectors, and figures that are kept between runs."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from cput.policy.recorded import Recorded
from cput.policy.recordings import routerbench
from cput.policy.router.embedding import Embedding
from cput.policy.router.features import Raw, raw_of
from cput.policy.router.text import Template

SHIPPED = Path(__file__).parent / "data" / "router"
VARIABLE = "CPUT_ROUTER_DATA"
MODEL = "all-minilm-l6-v2"
KEPT = Path("build/policy-router")
SOURCES = Path(__file__).parents[1] / "src" / "cput" / "policy"


def given_folder(asked: Path | None) -> Path | None:
    """Return the folder of data that may not ship, where the user has one."""
    named = asked or os.environ.get(VARIABLE)
    return Path(named) if named else None


def routerbench_files(folder: Path | None, task: str) -> tuple[Recorded, Recorded] | None:
    """Return RouterBench's own train and test file of a task; None where they are not given."""
    files = [folder / f"routerbench_{task}_{half}.csv.gz" for half in ("train", "test")] if folder else []
    if not files or not all(file.is_file() for file in files):
        return None
    return routerbench(files[0]), routerbench(files[1])


def read_once(table: Recorded, console: Console, what: str, *, template: Template | None = None) -> Raw:
    """Read every prompt once; vectors come from the cache where they were made before."""
    texts = [(template or Template()).rest(prompt) for prompt in table.prompts]
    embedding = Embedding(MODEL)
    with Progress(console=console, transient=True) as bars:
        bar = bars.add_task(f"{what}: vectors", total=len(texts))
        raw = raw_of(texts, embedding, progress=lambda done: bars.update(bar, completed=done))
    embedding.close()
    return raw


FIRST_SEED = 100
"""Lower seeds were looked at while members and scales were picked."""


def each_seed(
    name: str, settings: dict, seeds: int, work: Callable[[int], dict], console: Console, *, fresh: bool = False
) -> list[dict]:
    """Return ``work(seed)`` of every seed. What an interrupted run of the same code and settings did is read again."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in sorted((SOURCES / "router").glob("*.py")):
        digest.update(file.read_bytes())
    kept = KEPT / f"{name}-{digest.hexdigest()[:16]}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() and not fresh else []
    done = {found["seed"]: found for found in map(json.loads, lines)}
    wanted = range(FIRST_SEED, FIRST_SEED + seeds)
    with Progress(console=console, transient=True) as bars, kept.open("w" if fresh else "a", encoding="utf-8") as out:
        bar = bars.add_task(f"{name}: seeds", total=seeds, completed=sum(seed in done for seed in wanted))
        for seed in wanted:
            if seed not in done:
                done[seed] = {"seed": seed, **work(seed)}
                out.write(json.dumps(done[seed]) + "\n")
                out.flush()
                bars.advance(bar)
    return [done[seed] for seed in wanted]
