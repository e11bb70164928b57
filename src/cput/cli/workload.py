"""``cput workload``: list and validate workloads."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from cput.workloads import load, shipped
from cput.workloads import validate as check

workload = App(name="workload", help="List and validate workloads.")


@workload.command
def validate(path: Path, *, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> None:
    """Name file, line and field of everything that is wrong; exit code 1 where anything is.

    Parameters
    ----------
    path: Path
        A workload folder or file, or a shipped name.
    as_json: bool
        Print JSON.
    """
    report = check(path)
    if as_json:
        print(json.dumps({"ok": report.ok, "items": report.items, "problems": [str(p) for p in report.problems]}))
    else:
        console = Console(soft_wrap=True, highlight=False)
        for problem in report.problems:
            console.print(str(problem), markup=False)
        count = len(report.problems)
        console.print(f"{report.items} items, {count} problem{'' if count == 1 else 's'}")
    if not report.ok:
        sys.exit(1)


@workload.command(name="list")
def list_() -> None:
    """List the shipped workloads."""
    table = Table("workload", "items", "check", "licence", "what")
    for name in shipped():
        found = load(name)
        table.add_row(name, str(len(found.items)), found.check or "", found.licence or "unknown", found.description)
    Console().print(table)
