"""``cput student``: fit a student for a workload with a closed set of answers, show its card, try it on a text."""

import asyncio
import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from cput.errors import InputError
from cput.units import UNKNOWN, number, percent

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cput.engines.classifier import Examples, Student
    from cput.workloads import Workload

student = App(name="student", help="Fit, show and try a small classifier that answers before a model is asked.")

Json = Annotated[bool, Parameter(name="--json", negative=())]


@student.command
def fit(
    source: str,
    *,
    out: Path,
    ledger: str | None = None,
    embedder: str | None = None,
    outside: str | None = None,
    tokenizer: str | None = None,
    right_share: float = 0.99,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Fit a student and write it into a folder.

    It learns the workload's references; with --ledger the recorded answers whose outcomes say that they were useful.

    Parameters
    ----------
    source: str
        A workload: a shipped name, a folder, or a .jsonl file of objects with prompt, reference and check = "label".
    out: Path
        Folder for the student.
    ledger: str
        Learn from this ledger's recorded calls of the workload instead: a file, or postgresql://user@host/database.
    embedder: str
        Also read each text's vector by this stored model, such as wordllama-256.
    outside: str
        The label that means none of the others; what looks like it is always passed on.
    tokenizer: str
        A stored model whose tokenizer counts how long each label is as an answer.
    right_share: float
        Share of right answers, out of fold, that the suggested threshold keeps.
    seed: int
        Seed of the folds.
    as_json: bool
        Print the card as JSON.
    """
    from cput.engines.classifier import Features, save
    from cput.engines.classifier import fit as fit_student
    from cput.workloads import load

    if not 0 < right_share <= 1:
        raise InputError(f"--right-share is {right_share}; allowed: above 0 and up to 1")
    if seed < 0:
        raise InputError(f"--seed is {seed}; allowed: 0 or more")
    workload = load(source)
    notes: list[str] = []
    told = _of_references(workload) if ledger is None else _of_ledger(workload, ledger, notes)
    with Console(stderr=True).status(f"fitting on {len(told)} examples"):
        vectors = asyncio.run(_embedded(embedder, told.texts)) if embedder else None
        made = fit_student(
            told.texts,
            told.labels,
            tags=told.tags,
            weights=told.weights or None,
            seed=seed,
            features=Features(embedder=embedder),
            vectors=vectors,
            outside=outside,
            right_share=right_share,
            label_tokens=_counted(tokenizer, told) if tokenizer else told.label_tokens,
            tokens_by=tokenizer or ("recorded answers" if told.label_tokens else None),
            source=told.source,
            licence=told.licence,
        )
    save(made, out)
    _print(made, out, as_json=as_json, notes=notes)


@student.command
def show(folder: Path, *, as_json: Json = False) -> None:
    """Show a student's card.

    Parameters
    ----------
    folder: Path
        The student's folder.
    as_json: bool
        Print JSON.
    """
    from cput.engines.classifier import load_student

    _print(load_student(folder), folder, as_json=as_json)


@student.command(name="try")
def try_(folder: Path, text: str, *, threshold: float | None = None, as_json: Json = False) -> None:
    """Say what a student would answer to a text, and whether it would.

    Parameters
    ----------
    folder: Path
        The student's folder.
    text: str
        What is asked.
    threshold: float
        Least confidence of an answer that is given; by default the student's own.
    as_json: bool
        Print JSON.
    """
    from cput.engines.classifier import Classifier, load_student

    made = load_student(folder)
    least = made.card.threshold if threshold is None else threshold
    if least is not None:
        Classifier(made, threshold=least)  # refuses what is no threshold
    embedder = made.vocabulary.features.embedder
    vectors = asyncio.run(_embedded(embedder, (text,))) if embedder else None
    found = made.predict([text], vectors=vectors)
    sure = max(float(found.confidence[0]), 0.0)
    answers = least is not None and bool(found.confidence[0] >= least)
    order = found.probabilities[0].argsort()[::-1][:5]
    best = [{"label": made.labels[at], "probability": float(found.probabilities[0, at])} for at in order]
    if as_json:
        facts = {"label": found.labels[0], "confidence": sure, "threshold": least, "answers": answers, "best": best}
        print(json.dumps(facts | {"scores": {name: float(value[0]) for name, value in found.scores.items()}}))
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(_sentence(found.labels[0], sure, least, answers), markup=False)
    table = Table()
    table.add_column("label", overflow="fold")
    table.add_column("probability", justify="right")
    for row in best:
        table.add_row(str(row["label"]), percent(float(str(row["probability"]))))
    console.print(table)


def _sentence(label: str, sure: float, least: float | None, answers: bool) -> str:
    if least is None:
        return f"{label}, right with {percent(sure)}; whether it would answer is {UNKNOWN}: it has no threshold"
    does = "answers" if answers else "abstains"
    return f"{does}: {label}, right with {percent(sure)} where {percent(least)} is needed"


def _of_references(workload: "Workload") -> "Examples":
    from cput.engines.classifier import Examples

    rows = [(item, _label(item.reference)) for item in workload.items]
    pairs = [(item, label) for item, label in rows if label is not None]
    if not pairs:
        raise InputError(
            f"no item of workload '{workload.name}' has a label as its reference; give items with one, or --ledger"
        )
    names = sorted({name for item, _ in pairs for name in item.tags})
    return Examples(
        texts=tuple(item.prompt if item.prompt is not None else item.messages[-1].content for item, _ in pairs),
        labels=tuple(label for _, label in pairs),
        tags={name: tuple(item.tags.get(name, "") for item, _ in pairs) for name in names},
        source=f"references of workload {workload.name}, {workload.source or UNKNOWN}",
        licence=workload.licence or UNKNOWN,
    )


def _label(reference: Any) -> str | None:
    """Return a reference as a label: a text, a number, or the first of a list; None where it is none of them."""
    first = reference[0] if isinstance(reference, list) and reference else reference
    return str(first).strip() if isinstance(first, str | int | float) and str(first).strip() else None


def _of_ledger(workload: "Workload", address: str, notes: list[str]) -> "Examples":
    from cput.engines.classifier import from_records
    from cput.ledger.store import Ledger

    with contextlib.closing(Ledger.open(address)) as book:
        records = book.calls(workload=workload.name)
    labels = sorted({choice for item in workload.items for choice in item.choices})
    told = from_records(
        records,
        labels=labels,
        threshold=1.0 if workload.threshold is None else workload.threshold,
        source=f"useful answers to workload {workload.name} in a ledger",
    )
    left = {
        "useless": told.useless,
        "not judged": told.pending,
        "without kept text": told.textless,
        "none of the labels": told.foreign,
    }
    notes.append(
        f"{len(told.examples)} of {len(records)} calls teach; " + ", ".join(f"{n} {why}" for why, n in left.items())
    )
    if not len(told.examples):
        raise InputError(f"no recorded call of workload '{workload.name}' teaches anything: {notes[-1]}")
    return told.examples


async def _embedded(model: str | None, texts: tuple[str, ...]) -> "npt.NDArray[np.float32]":
    from cput.engines.embedder import open_engine

    embedder = open_engine(model or "")
    try:
        return await embedder.embed([text or " " for text in texts])
    finally:
        await embedder.aclose()


def _counted(model: str, told: "Examples") -> dict[str, int]:
    from tokenizers import Tokenizer

    from cput.models import ModelStore

    folder = ModelStore().get(model, any_engine=True).folder
    counter = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return {label: len(counter.encode(label, add_special_tokens=False).ids) for label in sorted(set(told.labels))}


def _print(made: "Student", folder: Path, *, as_json: bool, notes: list[str] | None = None) -> None:
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if as_json:
        print(json.dumps({**asdict(made.card), "bytes": size, "notes": notes or []}))
        return
    card, figures = made.card, made.card.figures
    table = Table(title=f"student {folder}", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    features = made.vocabulary.features
    reads = f"{len(made.vocabulary.grams):,} n-grams" + (
        f" and vectors of {features.embedder}" if features.embedder else ""
    )
    taught = sum(card.examples.values())
    error = percent(figures.get("ece", {}).get(card.score))
    rows = {
        "labels": f"{len(card.labels)}" + (f", out of scope: {card.outside}" if card.outside else ""),
        "examples": f"{taught:,}, {min(card.examples.values())} to {max(card.examples.values())} a label",
        "from": f"{card.source}; licence {card.licence}; sha256 {card.data_sha256[:12]}",
        "reads": f"{reads}; {size / 1e6:.1f} MB",
        "right, out of fold": percent(figures.get("accuracy")),
        "calibration": f"{figures.get('calibration', UNKNOWN)}; error {error}",
        "threshold": f"{number(card.threshold)} of {card.score}" + ("" if card.certificate else ", not certified"),
        "label lengths": f"tokens of {card.tokens_by}" if card.tokens_by else UNKNOWN,
        "made": f"{card.made}, seed {card.seed}, " + ", ".join(f"{k} {v}" for k, v in card.versions.items()),
    }
    for name, words in rows.items():
        table.add_row(name, words)
    for name, own in figures.get("slices", {}).items():
        table.add_row(
            f"slice {name}", f"{percent(own['accuracy'])} right of {own['examples']}; error {percent(own['ece'])}"
        )
    console = Console()
    console.print(table)
    for note in notes or []:
        console.print(note, markup=False, highlight=False)
