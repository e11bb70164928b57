"""Makes the shipped workloads' items from the published files; the heads and notices are written by hand.

    python runs/prepare_workloads.py FOLDER

FOLDER holds ``ifeval/input_data.jsonl``, ``gsm8k/test.jsonl``, ``banking77_test.csv`` and ``sms_spam.tsv`` as published
(each ``workloads/*/SOURCE.md`` says where). Same input, same seed: same bytes.
"""

import csv
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

SEED = 20261125
HERE = Path(__file__).resolve().parents[1] / "workloads"


def write(name: str, items: list[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    (HERE / name / "items.jsonl").write_text(text, encoding="utf-8", newline="\n")
    print(f"{name}: {len(items)} items, {len(text.encode()):,} bytes")


def drawn(rows: list[Any], count: int) -> list[tuple[int, Any]]:
    """Return ``count`` (place, row) pairs drawn without replacement, in the file's order."""
    return sorted(random.Random(SEED).sample(list(enumerate(rows)), count), key=lambda pair: pair[0])


def ifeval(source: Path) -> None:
    """All 541 prompts; ids and arguments join into one list of instructions."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").split("\n") if line]
    items = []
    for row in rows:
        pairs = zip(row["instruction_id_list"], row["kwargs"], strict=True)
        instructions = [{"id": name, **args} for name, args in pairs]
        category = instructions[0]["id"].split(":")[0]
        tags = {"instruction": category, "instructions": str(len(instructions))}
        items.append(
            {"id": str(row["key"]), "prompt": row["prompt"], "params": {"instructions": instructions}, "tags": tags}
        )
    write("ifeval", items)


def gsm8k(source: Path) -> None:
    """200 of the 1,319 test problems; the reference is the number after ``####``, the tag counts its steps."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").split("\n") if line]
    items = []
    for place, row in drawn(rows, 200):
        steps = len(re.findall(r"<<.*?>>", row["answer"]))
        size = "1-2" if steps <= 2 else "3-4" if steps <= 4 else "5+"
        reference = row["answer"].rpartition("####")[2].strip()
        items.append(
            {"id": f"test-{place}", "prompt": row["question"], "reference": reference, "tags": {"steps": size}}
        )
    write("gsm8k", items)


def banking77(source: Path) -> None:
    """308 test messages: 4 of each of the 77 intents."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(enumerate(csv.DictReader(file)))
    draw = random.Random(SEED)
    kept = []
    for label in sorted({row["category"] for _, row in rows}):
        kept += draw.sample([(place, row) for place, row in rows if row["category"] == label], 4)
    kept.sort(key=lambda pair: pair[0])
    items = [
        {
            "id": f"test-{place}",
            "prompt": row["text"].strip(),
            "reference": row["category"],
            "tags": {"length": "short" if len(row["text"].split()) <= 10 else "long"},
        }
        for place, row in kept
    ]
    write("banking77", items)


def sms_spam(source: Path) -> None:
    """500 of the 5,574 messages at their natural share of spam, copies of one message left out."""
    lines = source.read_text(encoding="utf-8").split("\n")
    rows = [(place, *line.rstrip("\r").split("\t", 1)) for place, line in enumerate(lines, start=1) if line]
    first: dict[str, tuple[int, str, str]] = {}
    for place, label, text in rows:
        first.setdefault(text.strip(), (place, label, text.strip()))
    items = []
    for _, (place, label, text) in drawn([row for row in first.values() if row[2]], 500):
        size = "short" if len(text) <= 60 else "long"
        items.append({"id": f"line-{place}", "prompt": text, "reference": label, "tags": {"length": size}})
    write("sms-spam", items)


def main() -> None:
    """Make all four."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    ifeval(folder / "ifeval" / "input_data.jsonl")
    gsm8k(folder / "gsm8k" / "test.jsonl")
    banking77(folder / "banking77_test.csv")
    sms_spam(folder / "sms_spam.tsv")


if __name__ == "__main__":
    main()
