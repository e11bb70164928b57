"""A load on ``cput serve`` while everything fails, and then the reckoning: the ledger against what clients were told.

Two mock upstreams answer with errors, stall, reset, close early and say nonsense; both are killed and come back; so is
the gateway itself, by SIGKILL, while its clients go on. In the end each whole answer that a client has must be on
record as one call with that many tokens, each error that named a call likewise, no call twice, and the upstreams must
have read as many requests as there are attempts, but for those that were under way at a kill, which are counted.

    python benches/gateway_faults.py                              # about a minute
    python benches/gateway_faults.py --calls 400 --at-once 16
    python benches/gateway_faults.py --ledger postgresql://user@host/database
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from faults_clients import Clients
from faults_processes import Gateway, Mock
from faults_reckoning import Reckoning, reckon
from rich.console import Console
from rich.table import Table

from cput import __version__
from cput.ledger.store import Ledger

FILE = """
[[upstreams]]
name = "{name}"
url = "{url}"
first_token_s = 0.6
idle_s = 0.6
total_s = 10
attempts = 2
backoff_s = 0.02
breaker = {{ failures = 10, within_s = 2, open_s = 0.3 }}
"""
HEDGE = "[hedge]\nafter_s = 0.15\nmost = 0.1\n"
DOWN_S = 0.3


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found, facts = asyncio.run(measure(Path(folder), arguments))
    show(found, arguments)
    shape = {
        "bench": "gateway_faults",
        "cores": os.cpu_count(),
        "versions": {"cput": __version__, "python": platform.python_version()},
        "seed": arguments.seed,
        "calls": arguments.calls,
        "at_once": arguments.at_once,
        "fault_share": arguments.fault_share,
        "hang_up_share": arguments.hang_up_share,
    }
    counts = {name.replace(",", "").replace(":", "").replace(" ", "_"): n for name, n in sorted(found.counts.items())}
    print(json.dumps(shape | facts | counts | {"broken_laws": found.broken[:20], "broken": len(found.broken)}))
    return 1 if found.broken else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--at-once", type=int, default=32, help="clients")
    parser.add_argument("--fault-share", type=float, default=0.3, help="of the requests that an upstream reads")
    parser.add_argument("--hang-up-share", type=float, default=0.1, help="of the clients' calls")
    parser.add_argument("--gateway-kills", type=int, default=3)
    parser.add_argument("--upstream-kills", type=int, default=4)
    parser.add_argument("--token-s", type=float, default=0.005, help="seconds between two tokens of an answer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ledger", default=None, help="an empty one; default: an SQLite file in the folder")
    parser.add_argument("--folder", default=None, help="where files are written; default: the temporary folder")
    return parser.parse_args(argv)


async def measure(folder: Path, arguments: argparse.Namespace) -> tuple[Reckoning, dict[str, object]]:
    """Run the load; return the reckoning and what is to be known of the run."""
    faults = {"fault_share": arguments.fault_share, "seed": arguments.seed, "token_s": arguments.token_s}
    mocks = [Mock(name, folder, **faults) for name in ("a", "b")]
    file, ledger = folder / "gateway.toml", arguments.ledger or str(folder / "ledger.db")
    gateway = Gateway(file, ledger, folder / "gateway.log")
    try:
        for mock in mocks:
            await asyncio.to_thread(mock.start)
        file.write_text("".join(FILE.format(name=mock.name, url=mock.url) for mock in mocks) + HEDGE)
        await asyncio.to_thread(gateway.start)
        clients = Clients(
            lambda: gateway.url,
            calls=arguments.calls,
            at_once=arguments.at_once,
            hang_up_share=arguments.hang_up_share,
            seed=arguments.seed,
        )
        began = time.perf_counter()
        killing = asyncio.create_task(kill(clients, gateway, mocks, arguments))
        try:
            await clients.run()
            seconds = time.perf_counter() - began
            await killing
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
        code = await asyncio.to_thread(gateway.stop)
    finally:
        gateway.kill()
        for mock in mocks:
            mock.kill()
    killed_at = gateway.killed_at[:-1]  # the last one found nobody
    with Ledger.open(ledger) as book:
        found = reckon(clients.told, book.calls(), [name for mock in mocks for name in mock.seen()], killed_at)
    found.want(code == 0, f"the gateway drained with exit code {code}")
    database = "postgresql" if ledger.startswith("postgresql:") else "sqlite"
    kills = {"gateway_kills": len(killed_at), "upstream_kills": arguments.upstream_kills}
    return found, {
        "seconds": round(seconds, 2),
        "database": database,
        **kills,
    }


async def kill(clients: Clients, gateway: Gateway, mocks: Sequence[Mock], arguments: argparse.Namespace) -> None:
    """Kill the gateway and the upstreams in turn, each when so many calls have ended, and start them again."""
    planned: list[tuple[float, Gateway | Mock]] = [
        *(((at + 0.5) / arguments.gateway_kills, gateway) for at in range(arguments.gateway_kills)),
        *(((at + 0.3) / arguments.upstream_kills, mocks[at % 2]) for at in range(arguments.upstream_kills)),
    ]
    for share, victim in sorted(planned, key=lambda plan: plan[0]):
        while len(clients.told) < share * arguments.calls:  # noqa: ASYNC110  # nobody sets an event
            await asyncio.sleep(0.002)
        victim.kill()
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(victim.start)


def show(found: Reckoning, arguments: argparse.Namespace) -> None:
    table = Table(title=f"gateway under faults: {arguments.calls:,} calls, {arguments.at_once} at once")
    table.add_column("what")
    table.add_column("count", justify="right")
    for name, count in sorted(found.counts.items()):
        table.add_row(name, f"{count:,}")
    table.add_row("calls that break a law", f"{len(found.broken):,}")
    console = Console()
    console.print(table)
    with contextlib.suppress(IndexError):
        for sentence in found.broken[:20]:
            console.print(sentence, markup=False)


if __name__ == "__main__":
    raise SystemExit(main())
