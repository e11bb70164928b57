"""Makes the shipped workloads' items and the benches' labelled texts from the published files; heads and notices are
written by hand.

    python runs/prepare_workloads.py FOLDER

FOLDER holds ``ifeval/input_data.jsonl``, ``gsm8k/test.jsonl``, ``banking77_train.csv``, ``banking77_test.csv``,
``sms_spam.tsv``, ``clinc150_full.json.gz`` and ``zh/cold_dev.csv.gz``, ``zh/cold_test.csv.gz`` as published (each
``SOURCE.md`` in ``workloads/*`` and ``benches/data/labels`` says where). Same input, same seed: same bytes.
"""

import csv
import gzip
import json
import lzma
import random
import re
import sys
from pathlib import Path
from typing import Any

SEED = 20261125
HERE = Path(__file__).resolve().parents[1] / "workloads"
LABELS = HERE.parent / "benches" / "data" / "labels"


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


def clinc150(source: Path) -> None:
    """300 test queries, 2 of each of the 150 intents, and 60 of the 1,000 that are out of scope."""
    rows = json.loads(gzip.decompress(source.read_bytes()))
    draw = random.Random(SEED)
    kept = []
    for label in sorted({label for _, label in rows["test"]}):
        own = [
            (f"test-{place}", text, label) for place, (text, own_label) in enumerate(rows["test"]) if own_label == label
        ]
        kept += draw.sample(own, 2)
    kept += [(f"oos_test-{place}", text, label) for place, (text, label) in drawn(rows["oos_test"], 60)]
    items = [
        {"id": name, "prompt": text, "reference": label, "tags": {"scope": "out" if label == "oos" else "in"}}
        for name, text, label in kept
    ]
    write("clinc150", items)


def cold(source: Path) -> None:
    """360 of the 5,323 test comments: 60 of each topic and label."""
    rows = cold_rows(source)
    draw = random.Random(SEED)
    kept = []
    for topic in ("gender", "race", "region"):
        for label in ("offensive", "safe"):
            own = [(place, row) for place, row in enumerate(rows) if (row["topic"], row["label"]) == (topic, label)]
            kept += draw.sample(own, 60)
    kept.sort(key=lambda pair: pair[0])
    items = [
        {"id": f"test-{place}", "prompt": row["text"], "reference": row["label"], "tags": {"topic": row["topic"]}}
        for place, row in kept
    ]
    write("cold", items)


def cold_rows(source: Path) -> list[dict[str, str]]:
    """All comments of a file of COLD."""
    with gzip.open(source, "rt", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {"0": "safe", "1": "offensive"}
    return [{"text": row["TEXT"].strip(), "label": names[row["label"]], "topic": row["topic"]} for row in rows]


def labelled(folder: Path) -> None:
    """BANKING77, CLINC150 and COLD whole, for ``benches/policy_student.py``: one JSON object a line, xz."""
    sets: dict[str, list[dict[str, str]]] = {"banking77": [], "clinc150": [], "cold": []}
    for split in ("train", "test"):
        with (folder / f"banking77_{split}.csv").open(encoding="utf-8", newline="") as file:
            rows = [{"text": row["text"].strip(), "label": row["category"]} for row in csv.DictReader(file)]
        sets["banking77"] += [row | {"split": split} for row in rows]
    splits = json.loads(gzip.decompress((folder / "clinc150_full.json.gz").read_bytes()))
    for name in ("train", "oos_train", "val", "oos_val", "test", "oos_test"):
        split = name.removeprefix("oos_")
        sets["clinc150"] += [{"text": text, "label": label, "split": split} for text, label in splits[name]]
    for name, split in (("dev", "train"), ("test", "test")):
        sets["cold"] += [row | {"split": split} for row in cold_rows(folder / "zh" / f"cold_{name}.csv.gz")]
    LABELS.mkdir(parents=True, exist_ok=True)
    for name, found in sets.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        blob = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
        (LABELS / f"{name}.jsonl.xz").write_bytes(blob)
        print(f"{name}: {len(found)} labelled texts, {len(blob):,} bytes")


def main() -> None:
    """Make them all."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    ifeval(folder / "ifeval" / "input_data.jsonl")
    gsm8k(folder / "gsm8k" / "test.jsonl")
    banking77(folder / "banking77_test.csv")
    sms_spam(folder / "sms_spam.tsv")
    clinc150(folder / "clinc150_full.json.gz")
    cold(folder / "zh" / "cold_test.csv.gz")
    labelled(folder)


if __name__ == "__main__":
    main()
