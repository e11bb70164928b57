"""The command line: one file per verb, and the only place where the parts are plugged together."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from rich.console import Console

from cput import __version__
from cput.errors import CputError

app = App(name="cput", version=__version__, help="Measure and lower the cost per useful token of an AI workload.")
app.command("cput.cli.measure:measure")
app.command("cput.cli.optimize:optimize")
app.command("cput.cli.models:models")
app.command("cput.cli.student:student")
app.command("cput.cli.workload:workload")
app.command("cput.cli.runs:runs")
app.command("cput.cli.cost:cost")
app.command("cput.cli.why:why")
app.command("cput.cli.outcome:outcome")
app.command("cput.cli.serve:serve")
app.command("cput.cli.key:key")
app.command("cput.cli.price:price")
app.command("cput.cli.reprice:reprice")
app.command("cput.cli.export:export")
app.command("cput.cli.export:import_", name="import")

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command. A user's mistake is one sentence on standard error and exit code 2, never a traceback."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app(list(sys.argv[1:] if argv is None else argv), exit_on_error=False, print_error=False)
    except (CputError, CycloptsError) as error:
        errors.print(f"cput: {error}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("cput: interrupted; what was done is kept", markup=False)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)  # the reader of our output (head, less) has enough
