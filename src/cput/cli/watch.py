"""Live figures of a run on the terminal; on a pipe, a line now and then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cput.measure.run import Progress as Figures
from cput.measure.run import Watcher

PIPE_EVERY_S = 15.0


@contextmanager
def watching(console: Console, label: str) -> Iterator[Watcher]:
    """Yield a watcher that shows a run's figures under ``label``."""
    if not console.is_terminal:
        yield _lines(console, label)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=None, figures="")

        def show(figures: Figures) -> None:
            bar.update(task, total=figures.total, completed=figures.done, figures=_words(figures))

        yield show


def _lines(console: Console, label: str) -> Watcher:
    last = time.monotonic()

    def show(figures: Figures) -> None:
        nonlocal last
        if time.monotonic() - last >= PIPE_EVERY_S or figures.done == figures.total:
            last = time.monotonic()
            console.print(f"{label}: {figures.done}/{figures.total} {_words(figures)}", highlight=False)

    return show


def _words(figures: Figures) -> str:
    failed = f", {figures.failed} failed" if figures.failed else ""
    return f"{figures.useful} of {figures.judged} useful{failed}"
