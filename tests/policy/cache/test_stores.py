"""Laws of a store, held by the one in memory and the one in a file alike."""

import asyncio
import sqlite3
import stat

import pytest

from cput.errors import InputError
from cput.policy.cache import FileStore, MemoryStore
from cput.policy.cache.store import MOST_HANDLES, Place


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["memory", "file"])
def make(request, tmp_path, clock):
    def made(**options):
        if request.param == "memory":
            return MemoryStore(clock=clock, **options)
        return FileStore(tmp_path / "cache.db", clock=clock, **options)

    return made


async def put(store, key, value=b"v", **more):
    return await store.put(key, value, **{"ttl_s": 3600.0, **more})


async def test_what_is_put_is_got_until_its_time_is_over(make, clock):
    store = make()
    await put(store, b"k", b"value", ttl_s=10)
    assert await store.get(b"other") is None
    clock.now += 9.9
    assert await store.get(b"k") == b"value"
    clock.now += 0.1
    assert await store.get(b"k") is None
    await store.aclose()


async def test_a_new_value_takes_the_place_of_the_old_one_with_its_handles(make):
    store = make()
    await put(store, b"k", b"old", handles=[b"h1"])
    await put(store, b"k", b"new", handles=[b"h2"])
    assert await store.evict([b"h1"]) == 0
    assert await store.get(b"k") == b"new"
    assert await store.evict([b"h2"]) == 1
    assert await store.get(b"k") is None
    await store.aclose()


async def test_any_handle_evicts_and_evicts_all_that_has_it(make):
    store = make()
    await put(store, b"a", handles=[b"1", b"x"])
    await put(store, b"b", handles=[b"2"])
    await put(store, b"c", handles=[b"3"])
    await store.link(b"b", [b"x"])
    await store.link(b"gone", [b"x"])
    assert await store.evict([b"x", b"nobody"]) == 2
    assert [await store.get(key) for key in (b"a", b"b", b"c")] == [None, None, b"v"]
    await store.aclose()


async def test_the_bytes_are_bounded_and_what_was_used_longest_ago_goes_first(make, clock):
    store = make(max_bytes=10_000)
    for at in range(8):
        await put(store, b"%d" % at, bytes(1000))
        clock.now += 100
    await store.get(b"0")
    clock.now += 100
    for at in range(8, 11):
        await put(store, b"%d" % at, bytes(1000))
        clock.now += 100
    assert await store.get(b"0") is not None
    assert await store.get(b"1") is None
    held = [at for at in range(11) if await store.get(b"%d" % at) is not None]
    assert 3 <= len(held) <= 8
    assert held[-3:] == [8, 9, 10]
    await store.aclose()


async def test_the_entries_are_bounded(make):
    store = make(max_entries=10)
    for at in range(50):
        await put(store, b"%d" % at)
    assert sum([await store.get(b"%d" % at) is not None for at in range(50)]) <= 10
    assert await store.get(b"49") is not None
    await store.aclose()


async def test_an_entry_that_would_push_all_others_out_is_not_kept(make):
    store = make(max_bytes=10_000)
    await put(store, b"small", bytes(100))
    assert not await put(store, b"large", bytes(2000))
    assert await store.get(b"large") is None
    assert await store.get(b"small") is not None
    await store.aclose()


async def test_handles_of_one_entry_are_bounded_and_the_newest_stay(make):
    store = make()
    await put(store, b"k", handles=[b"first"])
    await store.link(b"k", [b"%d" % at for at in range(MOST_HANDLES)])
    assert await store.evict([b"first"]) == 0
    assert await store.evict([b"%d" % (MOST_HANDLES - 1)]) == 1
    await store.aclose()


async def test_newcomers_come_by_scope_and_number_the_newest_first_to_stay(make):
    store = make()
    for at in range(5):
        await put(store, b"%d" % at, place=Place(b"s", b"vec%d" % at, f"text {at}"))
    await put(store, b"x", place=Place(b"other", b"vec", "x"))
    found = await store.newcomers(b"s", 0, 3)
    assert [(each.key, each.text) for each in found] == [(b"2", "text 2"), (b"3", "text 3"), (b"4", "text 4")]
    await put(store, b"5", place=Place(b"s", b"vec5", "text 5"))
    assert [each.key for each in await store.newcomers(b"s", found[-1].number, 3)] == [b"5"]
    assert await store.newcomers(b"nobody", 0, 3) == []
    await store.aclose()


async def test_an_evicted_entry_is_no_newcomer(make):
    store = make()
    await put(store, b"k", handles=[b"h"], place=Place(b"s", b"v", "t"))
    await store.evict([b"h"])
    assert await store.newcomers(b"s", 0, 3) == []
    await store.aclose()


async def test_many_tasks_at_once_lose_nothing(make):
    store = make()
    await asyncio.gather(*(put(store, b"%d" % at, b"v%d" % at) for at in range(64)))
    assert await asyncio.gather(*(store.get(b"%d" % at) for at in range(64))) == [b"v%d" % at for at in range(64)]
    await store.aclose()


async def test_a_memory_store_forgets_nothing_of_its_size():
    store = MemoryStore(max_bytes=5000)
    for at in range(100):
        await put(store, b"%d" % (at % 7), bytes(at * 3), handles=[b"%d" % at, b"all"], place=Place(b"s", b"v", "t"))
    await store.evict([b"all"])
    assert (len(store), store.size_bytes) == (0, 0)


async def test_a_file_survives_and_is_shared(tmp_path):
    one, other = FileStore(tmp_path / "c" / "cache.db"), FileStore(tmp_path / "c" / "cache.db")
    await put(one, b"k", b"v", handles=[b"h"])
    assert await other.get(b"k") == b"v"
    assert await other.evict([b"h"]) == 1
    assert await one.get(b"k") is None
    await put(one, b"k", b"v2")
    await one.aclose()
    await other.aclose()
    again = FileStore(tmp_path / "c" / "cache.db")
    assert await again.get(b"k") == b"v2"
    await again.aclose()
    await again.aclose()


async def test_nobody_but_its_user_may_read_the_file(tmp_path):
    await FileStore(tmp_path / "cache.db").aclose()
    assert stat.S_IMODE((tmp_path / "cache.db").stat().st_mode) == 0o600


def test_another_database_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    with pytest.raises(InputError, match="not a cache"):
        FileStore(path)
    (tmp_path / "text.db").write_text("no database at all, and long enough to be looked at" * 20)
    with pytest.raises(InputError, match="can't be used as a cache"):
        FileStore(tmp_path / "text.db")
    with pytest.raises(InputError, match="is a folder"):
        FileStore(tmp_path)
