"""What ``--cache`` and ``[cache]`` plug together."""

import gc
from dataclasses import replace

import pytest

from cput.cli.asked import Asked
from cput.cli.cache import ByTime, asked_cache, keeps, plug_cache
from cput.cli.door import opened
from cput.errors import InputError
from cput.ledger.price import device_rate
from cput.ledger.store import Ledger
from cput.policy.cache import FileStore, MemoryStore
from cput.policy.upstreams import CacheRule
from cput.records import Attempt, Ending, Finish, Usage
from cput.serve.door import Door
from cput.serve.forward import Closed


@pytest.fixture
def door(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        yield Door(ledger=ledger, models={})


def test_without_the_options_there_is_no_cache(door):
    assert asked_cache(Asked(), door) is None
    assert door.cache is None


async def test_a_door_has_one_cache_for_all_its_models_and_closes_it(door):
    first, second = (asked_cache(Asked(cache=True), door) for _ in range(2))
    assert first.cache is second.cache is door.cache
    assert b"cput_cache_misses_total 0.0" in door.telemetry.page()
    await door.aclose()


async def test_a_rule_says_where_answers_are_kept(door, tmp_path):
    memory = plug_cache(door, CacheRule(ttl_s=7))
    file = plug_cache(door, CacheRule(file=str(tmp_path / "cache.db")))
    assert isinstance(memory.cache.store, MemoryStore)
    assert memory.cache.ttl_s == 7
    assert isinstance(file.cache.store, FileStore)
    await file.cache.aclose()
    gc.collect()


def test_a_gateway_file_has_a_table_and_no_option(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text('[[upstreams]]\nname = "a"\nurl = "http://127.0.0.1:1/v1"\n')
    asked = Asked(what=str(path), cache=True, ledger=str(tmp_path / "ledger.db"))
    with pytest.raises(InputError, match=r"a table \[cache\]"), opened(asked):
        pass


def test_an_embedding_leg_is_charged_its_seconds_of_this_machine():
    usage = Usage(input_uncached=4, output=0, engine_s=1.8, complete=True)
    attempt = Attempt(call_id="c", seq=0, engine="e", usage=usage, started_s=0.0, finish=Finish.STOP)
    pricer = ByTime(device_rate("2/h", None))
    charge = pricer.charge(attempt)
    assert (charge.incremental_nano_usd, charge.basis, charge.price_version) == (1_000_000, "usage", "given:2/h")
    assert pricer.charge(replace(attempt, usage=Usage())).incremental_nano_usd is None


@pytest.mark.parametrize(
    ("reason", "kept"), [("stop", True), ("tool_calls", True), ("content_filter", False), ("x", False)]
)
def test_an_answer_that_a_filter_cut_is_not_kept(reason, kept):
    assert keeps(Closed(finish=Finish.STOP, usage=Usage(), reasons={0: "stop", 1: reason})) is kept
    assert keeps(Ending(finish=Finish.STOP, usage=Usage()))
