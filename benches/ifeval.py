"""IFEval on all 541 prompts: F16, INT8 and INT4 of SmolLM2-135M-Instruct side by side, with tokens/s.

    make bench-ifeval                     # about half an hour on two cores
    python benches/ifeval.py --limit 32   # a quick look

Greedy, 512 new tokens, no system prompt but the template's own. The published figure is 29.9 (average of the four
scores, model card of HuggingFaceTB/SmolLM2-135M-Instruct); docs/benches/ifeval.md says why ours differ. An interrupted
bench goes on where it was: the ledger under ``build/`` remembers.
"""

import argparse
import contextlib
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cput.ledger.store import Ledger
from cput.measure.environment import environment
from cput.models import ModelStore
from cput.workloads import ifeval_scores

PUBLISHED_AVERAGE = 0.299
MODEL = "smollm2-135m-instruct"
LEDGER = Path("build/ifeval.db")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precisions", default="f16,int8,int4", help="comma-separated: f16, int8, int4")
    parser.add_argument("--concurrency", type=int, default=64, help="calls at once")
    parser.add_argument("--limit", type=int, default=None, help="only this many prompts, drawn with seed 0")
    parser.add_argument("--ledger", type=Path, default=LEDGER, help="where the answers are kept")
    asked = parser.parse_args()
    console = Console()
    ModelStore().pull(MODEL)
    asked.ledger.parent.mkdir(parents=True, exist_ok=True)
    rows = [scored(asked, precision) for precision in asked.precisions.split(",")]
    console.print(card(rows))
    print(
        json.dumps(
            {
                "bench": "ifeval",
                "model": MODEL,
                "published_average": PUBLISHED_AVERAGE,
                "results": rows,
                "environment": environment(seed=0, sample_count=rows[0]["prompts"]),
            }
        )
    )


def scored(asked: argparse.Namespace, precision: str) -> dict:
    """Measure a precision (or go on with an interrupted run), then score what the ledger holds."""
    command = [sys.executable, "-c", "from cput.cli import main; main()", "measure", "--ledger", str(asked.ledger)]
    unfinished = open_run(asked, precision)
    if unfinished:
        command += ["--resume", unfinished]
    else:
        command += ["ifeval", "--precision", precision, "--concurrency", str(asked.concurrency)]
        command += ["--limit", str(asked.limit)] if asked.limit else []
    print(f"== {precision}: {'going on with ' + unfinished if unfinished else 'asking'}", flush=True)
    found = subprocess.run([*command, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    measured = json.loads(found.stdout.splitlines()[0])
    with contextlib.closing(Ledger.open(asked.ledger)) as book:
        details = [record.outcomes[-1].detail for record in book.calls(run=measured["run"]) if record.outcomes]
    scores = ifeval_scores([detail for detail in details if "strict" in detail])
    return {
        "precision": precision,
        **scores._asdict(),
        "prompts": measured["calls"],
        "tokens_per_s": measured["tokens_per_s"],
        "output_tokens": measured["output_tokens"],
        "useful_rate": measured["useful_rate"],
        "run": measured["run"],
    }


def open_run(asked: argparse.Namespace, precision: str) -> str | None:
    """Return the id of a run of this bench that was interrupted."""
    with contextlib.closing(Ledger.open(asked.ledger)) as book:
        for run in book.runs():
            config = run.config.get("asked", {})
            if run.ended_s is None and config.get("precision") == precision and config.get("limit") == asked.limit:
                return run.id
    return None


def card(rows: list[dict]) -> Table:
    table = Table(title=f"IFEval, {rows[0]['prompts']} prompts, {MODEL}, greedy, 512 new tokens", title_justify="left")
    headings = ("precision", "prompt strict", "instr. strict", "prompt loose", "instr. loose", "average", "tokens/s")
    for heading in headings:
        table.add_column(heading, justify="right")
    names = ("prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose", "average")
    for row in rows:
        table.add_row(row["precision"], *(f"{row[name]:.3f}" for name in names), f"{row['tokens_per_s']:.0f}")
    table.add_row("published", "", "", "", "", f"{PUBLISHED_AVERAGE:.3f}", "")
    return table


if __name__ == "__main__":
    main()
