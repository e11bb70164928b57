"""Processes that serve: each asks to be let in at the same moment, says how it went, and holds on until it is told.

python budget_worker.py PLACE LEASE_S COUNT: reads the key, then a line at which all ask, then holds until its input ends.
It says "ready PID" or how it went, a line for each. One process imports everything and forks the others.
"""

import asyncio
import os
import sys

from flat_tariff import Flat

from cput.ledger.store import Ledger
from cput.records import Usage
from cput.serve.accounts import Accounts
from cput.serve.gate import Asked, Refused


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # whole, also where several write


async def serve(place: str, lease_s: float, key: str, go: int, end: int) -> None:
    with Ledger.open(place) as ledger:
        accounts = Accounts(ledger, Flat(), lease_s=lease_s)
        await accounts.identify(key)
        say(f"ready {os.getpid()}")
        os.read(go, 1)
        try:
            async with accounts.admit(Asked(key=key, model="m", prompt_tokens=1, max_new_tokens=1)) as admission:
                say("admitted")
                await asyncio.to_thread(os.read, end, 1)
                admission.settle(Usage(), 900_000)
        except Refused as refused:
            say(f"{refused.status} {refused.code}")
        await accounts.aclose()


def main(place: str, lease_s: float, count: int) -> None:
    key = sys.stdin.readline().strip()
    (go, say_go), (end, say_end) = os.pipe(), os.pipe()
    for _ in range(count):
        if os.fork() == 0:
            os.close(say_go)
            os.close(say_end)
            asyncio.run(serve(place, lease_s, key, go, end))
            return
    sys.stdin.readline()
    os.close(say_go)
    sys.stdin.read()
    os.close(say_end)
    for _ in range(count):
        os.wait()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
