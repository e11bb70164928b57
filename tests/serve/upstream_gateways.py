"""A gateway from a gateway file in a thread, with two misbehaving upstreams behind it."""

import asyncio
import contextlib

import gateways

from cput.cli.upstreams import plug_upstreams
from cput.ledger.price import PriceBook
from cput.serve.door import Door

PRICES = PriceBook()


def entry(name, url, *more):
    return "\n".join(["[[upstreams]]", f'name = "{name}"', f'url = "{url}"', *more, ""])


@contextlib.contextmanager
def gateway_of(path, book, **options):
    """Run the gateway that a file describes; its watch on the file is the test's own business."""
    door = Door(ledger=book, models={}, **options)
    watch = plug_upstreams(path, door, PRICES, keep_text=True)
    with gateways.running(door) as gateway:
        gateway.watch = watch
        asyncio.run_coroutine_threadsafe(door.open(), gateway.loop).result(20)
        yield gateway


def legs(gateway):
    """Engine, role and finish of each attempt, call by call."""
    return [[(a.engine, a.role.value, a.finish.value) for a in record.attempts] for record in gateway.records()]
