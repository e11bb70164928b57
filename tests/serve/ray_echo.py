"""An application on Ray whose engine replicas echo, and write down what they do. Run as a program, with its ledger.

python ray_echo.py LEDGER NOTES TOKEN_S ENGINES MOST_ENGINES [keys]
"""

import asyncio
import contextlib
import os
import sys
from functools import partial
from pathlib import Path

from cput.engines.echo import Echo
from cput.engines.retry import Retried
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.protocols import Answer
from cput.serve.accounts import Accounts
from cput.serve.dialects.base import Takes
from cput.serve.door import Door, Model
from cput.serve.on_ray.cluster import prepare
from cput.serve.on_ray.plan import Plan
from cput.serve.on_ray.run import Application, serve
from cput.serve.open_gate import OpenGate
from cput.serve.run import bind, url_of
from cput.serve.serving import Serving, Stack

THINKS_S = 2.0


class Noted(Echo):
    """Echoes, and appends a line to a file for each call, each word, and each answer that was closed before its end.

    What begins with "think" is thought about before the first word.
    """

    def __init__(self, notes, token_s):
        super().__init__(token_s=token_s)
        self._notes = Path(notes)

    async def start(self):
        self._note("started")

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            self._note(f"asked {call.id}")
            try:
                if call.messages[-1].content.startswith("think"):
                    await asyncio.sleep(THINKS_S)
                async for piece in inner:
                    self._note(f"word {call.id}")
                    yield piece
                yield inner.ending
            finally:
                if not inner.ended:
                    await inner.aclose()
                    self._note(f"closed {call.id}")

        return Answer(stream(), lambda: inner.so_far)

    def _note(self, line):
        with self._notes.open("a") as out:
            out.write(f"{os.getpid()} {line}\n")


def echo_of(recipe):
    return Noted(*recipe)


@contextlib.contextmanager
def opens(ledger, recipe, keys):
    from flat_tariff import Flat  # in a replica; Ray gives it this program's folder

    from cput.serve.on_ray.engine import RayEngine  # it imports Ray

    with Ledger.open(ledger) as book:
        door = Door(ledger=book, models={}, gate=Accounts(book, Flat()) if keys else OpenGate())
        leaf = RayEngine(recipe)
        engine = Retried(Metered(leaf, door.tally), attempts=3, backoff_s=0.1, max_wait_s=1.0)
        stack = Stack(engine_for=lambda _: engine, close=leaf.aclose, load=leaf.start)
        door.models = {"echo": Model(serving=Serving(stack), takes=Takes.TEXT)}
        yield door, None


def main(ledger, notes, token_s, engines, most_engines, *keys):
    recipe = (notes, float(token_s))
    plan = Plan(
        replicas=2,
        engine_replicas=int(engines),
        max_engine_replicas=int(most_engines),
        gateway_cpus=0.1,
        engine_cpus=0.1,
        tokens_per_engine=500,
    )
    prepare(None)
    Ledger.open(ledger).close()
    with bind("127.0.0.1", 0) as probe:
        url, port = url_of(probe), probe.getsockname()[1]
    application = Application(
        opens=partial(opens, ledger, recipe, bool(keys)),
        ledger=ledger,
        quiet=True,
        drain_s=5,
        plan=plan,
        engine=echo_of,
        recipe=recipe,
        at_once=16,
    )
    serve(application, "127.0.0.1", port, ready=partial(print, url, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
