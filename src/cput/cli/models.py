"""``cput models``: pull, import, list, show and remove models."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from cput.cli.plug import model_folder
from cput.models import ModelStore, StoredModel, load_manifest
from cput.models.catalogue import find

models = App(name="models", help="Pull, import, list, show and remove models.")


@models.command
def pull(
    name: str,
    *,
    accept_license: Annotated[bool, Parameter(negative=())] = False,
    precision: str = "f16",
) -> None:
    """Fetch a model of the catalogue (or hf:ORG/NAME) and make it ready for the embedded engine.

    Parameters
    ----------
    name: str
        Name in the catalogue, or hf:ORG/NAME for the Hugging Face hub.
    accept_license: bool
        Accept the model's licence where it asks for that; its notice and address are shown all the same.
    precision: str
        Also build these weights: f16, int8 or int4.
    """
    console = Console(stderr=True)
    _show_terms(name, console, accepted=accept_license)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, object] = {}

        def show(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        model = ModelStore().pull(name, accept_license=accept_license, progress=show)
    if precision != "f16":
        with console.status(f"quantizing to {precision}"):
            model_folder(model.name, precision)
    _print(model)


@models.command(name="import")
def import_(path: Path, *, name: str | None = None) -> None:
    """Take in a local GGUF file, OpenVINO IR folder or Hugging Face folder.

    Parameters
    ----------
    path: Path
        The file or folder.
    name: str
        Its name in the store; by default from the file.
    """
    _print(ModelStore().add(path, name))


@models.command(name="list")
def list_(*, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> None:
    """List stored models, and those of the catalogue that are not stored yet.

    Parameters
    ----------
    as_json: bool
        Print JSON.
    """
    store = ModelStore()
    stored = store.list()
    missing = [entry for entry in store.catalogue() if entry.name not in {model.name for model in stored}]
    if as_json:
        rows = [{"name": m.name, "stored": True, "precisions": list(m.precisions), "bytes": m.bytes} for m in stored]
        print(json.dumps(rows + [{"name": entry.name, "stored": False} for entry in missing]))
        return
    table = Table("model", "stored", "precisions", "MB", "licence")
    for model in stored:
        table.add_row(model.name, "yes", ", ".join(model.precisions), f"{model.bytes / 1e6:,.0f}", model.licence)
    for entry in missing:
        table.add_row(entry.name, f"no: cput models pull {entry.name}", "", "", entry.licence)
    Console().print(table)


@models.command
def show(name: str) -> None:
    """Show what is known of a stored model, as JSON.

    Parameters
    ----------
    name: str
        Name in the store, or a model folder.
    """
    model = ModelStore().get(name, any_engine=True)
    _print(model)


@models.command
def rm(name: str) -> None:
    """Remove a stored model and everything built from it.

    Parameters
    ----------
    name: str
        Name in the store.
    """
    ModelStore().remove(name)
    Console().print(f"removed {name}", highlight=False)


def _show_terms(name: str, console: Console, *, accepted: bool) -> None:
    """Show what a model's terms ask to be shown with it; where they are not accepted yet, the refusal says it."""
    entry = find(name)
    if entry is not None and entry.notice and (accepted or not entry.must_accept):
        words = f"{entry.title}: {entry.licence}, {entry.licence_url}\n{entry.notice}"
        console.print(words, highlight=False, markup=False, soft_wrap=True)


def _print(model: StoredModel) -> None:
    known = {
        "name": model.name,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "context_length": model.context_length,
        "vocab_size": model.vocab_size,
        "precisions": list(model.precisions),
        "bytes": model.bytes,
        "licence": model.licence,
        "source": model.source,
        "sha256": model.sha256,
        "folder": str(model.folder),
    }
    if model.embedded:
        known["how"] = load_manifest(model.folder).how
    print(json.dumps(known, indent=1, ensure_ascii=False))
