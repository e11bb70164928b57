"""A key opens the door for its owner, until it is revoked or expires, and is nowhere to be read."""

import asyncio
import hashlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from two_ledgers import backend_, ledger_, place_, tables_  # noqa: F401  # fixtures

from cput.errors import InputError
from cput.ledger import schema
from cput.ledger.store import Ledger
from cput.serve import keys
from cput.serve.fresh import Fresh
from cput.serve.keys import KeyState
from cput.serve.subjects import Scope, Subject, subject
from cput.testing import FakeClock


def test_a_key_is_the_prefix_and_32_random_bytes_and_no_two_are_equal(ledger):
    made = [keys.create(ledger, f"k{n}", tenant="t").secret for n in range(5)]
    assert all(re.fullmatch(r"sk-cput-[A-Za-z0-9_-]{43}", secret) for secret in made)
    assert len(set(made)) == 5


def test_only_the_hash_of_a_key_is_in_the_database(ledger):
    made = keys.create(ledger, "shop", tenant="t")
    with ledger._database.reading.begin() as connection:
        (row,) = connection.execute(select(schema.api_keys)).all()
    assert row.digest == hashlib.sha256(made.secret.encode()).hexdigest()
    assert not any(made.secret[-20:] in str(value) for value in row)
    assert made.secret not in repr(made.key)


def test_a_key_opens_with_its_secret_and_with_nothing_else(ledger):
    made = keys.create(ledger, "shop", tenant="t", models=("gpt-4o*", "m"), priority=3, expires_s=time.time() + 60)
    assert keys.by_secret(ledger, made.secret) == made.key
    other = made.secret[:-1] + ("A" if made.secret[-1] != "A" else "B")
    for wrong in (other, made.secret + "A", made.secret[:-1], made.key.id, "shop", "", keys.digest(made.secret)):
        assert keys.by_secret(ledger, wrong) is None


def test_a_key_lets_in_until_it_expires_or_is_revoked(ledger):
    made = keys.create(ledger, "shop", tenant="t", expires_s=time.time() + 60)
    expires_s = made.key.expires_s
    assert made.key.state(expires_s - 0.001) is KeyState.LIVE
    assert made.key.state(expires_s) is KeyState.EXPIRED
    revoked = keys.revoke(ledger, "shop")
    assert revoked.state(0.0) is KeyState.REVOKED
    assert keys.by_secret(ledger, made.secret) == revoked


def test_revoking_again_keeps_the_first_time(ledger):
    made = keys.create(ledger, "shop", tenant="t")
    first = keys.revoke(ledger, made.key.id)
    assert keys.revoke(ledger, made.key.id) == first


def test_a_name_is_taken_until_its_key_is_revoked(ledger):
    first = keys.create(ledger, "shop", tenant="t").key
    with pytest.raises(InputError, match="there is a key named 'shop' already; revoke it first"):
        keys.create(ledger, "shop", tenant="other")
    keys.revoke(ledger, "shop")
    second = keys.create(ledger, "shop", tenant="t").key
    assert keys.find(ledger, "shop") == second  # and not the revoked one
    assert keys.find(ledger, first.id).revoked_s is not None
    assert [key.id for key in keys.every(ledger)] == [first.id, second.id]


def test_an_unknown_key_is_refused_with_the_nearest_name(ledger):
    keys.create(ledger, "web shop", tenant="t")
    with pytest.raises(InputError, match="unknown key 'web-shop'; did you mean 'web shop'"):
        keys.find(ledger, "web-shop")


def test_a_key_given_in_the_place_of_a_name_is_not_repeated(ledger):
    secret = keys.create(ledger, "shop", tenant="t").secret
    for ask in (
        lambda: keys.find(ledger, secret),
        lambda: keys.create(ledger, secret, tenant="t"),
        lambda: keys.create(ledger, "x", tenant=secret),
        lambda: subject(ledger, f"key:{secret}"),
        lambda: subject(ledger, f"tenant:{secret}"),
    ):
        with pytest.raises(InputError) as refused:
            ask()
        assert secret[len(keys.PREFIX) :] not in str(refused.value)


@pytest.mark.parametrize("name", ["", " a", "a ", "a:b", "a,b", "a*", "a\nb", "x" * 101, "key-1", "sk-cput-x"])
def test_names_that_would_be_ambiguous_are_refused(name):
    with pytest.raises(InputError, match="allowed: 1 to 100 characters"):
        keys.checked_name(name, "tenant")


@pytest.mark.parametrize("name", ["a", "web shop", "网店", "a/b.c-d", "x" * 100])
def test_ordinary_names_are_kept_as_they_are(name):
    assert keys.checked_name(name, "tenant") == name


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"models": ()}, "without any model"),
        ({"priority": 101}, "the priority is 101; allowed: -100 to 100"),
        ({"expires_s": 1.0}, "expired already"),
    ],
)
def test_a_key_of_no_use_is_not_made(ledger, wrong, says):
    with pytest.raises(InputError, match=says):
        keys.create(ledger, "shop", tenant="t", **wrong)
    assert keys.every(ledger) == ()


def test_keys_outlive_the_process_that_made_them(place):
    with Ledger.open(place) as ledger:
        made = keys.create(ledger, "shop", tenant="t")
    with Ledger.open(place) as ledger:
        assert keys.by_secret(ledger, made.secret) == made.key


@given(st.text(max_size=60))
def test_whatever_is_sent_as_a_key_has_a_digest_and_is_mostly_not_well_formed(text):
    assert re.fullmatch("[0-9a-f]{64}", keys.digest(text))
    assert keys.is_well_formed(text) == bool(re.fullmatch(r"sk-cput-[A-Za-z0-9_-]{43}", text))


def test_a_subject_is_read_as_people_write_it(ledger):
    made = keys.create(ledger, "shop", tenant="t").key
    assert subject(ledger, "key:shop") == subject(ledger, f"key:{made.id}") == Subject(Scope.KEY, made.id)
    assert str(subject(ledger, "tenant:acme")) == "tenant:acme"
    assert subject(ledger, "model:qwen:7b") == Subject(Scope.MODEL, "qwen:7b")
    assert Subject.of("model:qwen:7b") == Subject(Scope.MODEL, "qwen:7b")
    for text, says in (
        ("shop", "does not say whom it is about"),
        ("tennant:x", "did you mean 'tenant'"),
        ("key:", "does not say"),
    ):
        with pytest.raises(InputError, match=says):
            subject(ledger, text)
    with pytest.raises(InputError, match="Allowed: key, tenant"):
        subject(ledger, "model:m", (Scope.KEY, Scope.TENANT))


# What is remembered for a moment


async def test_a_revocation_holds_once_what_is_remembered_has_aged(ledger):
    clock = FakeClock()
    known = Fresh(lambda wanted: keys.by_digest(ledger, wanted), life_s=2.0, clock=clock)
    made = keys.create(ledger, "shop", tenant="t")
    wanted = keys.digest(made.secret)
    assert (await known.get(wanted)).revoked_s is None
    keys.revoke(ledger, "shop")
    clock.advance(1.9)
    assert (await known.get(wanted)).revoked_s is None
    clock.advance(0.1)
    assert (await known.get(wanted)).revoked_s is not None


async def test_many_who_ask_at_once_are_one_reading_and_one_of_them_may_hang_up():
    read = []

    def slowly(name):
        time.sleep(0.05)
        read.append(name)
        return name.upper()

    known = Fresh(slowly, life_s=60.0)
    asking = [asyncio.create_task(known.get("a")) for _ in range(20)]
    await asyncio.sleep(0.01)
    asking[0].cancel()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert read == ["a"]
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == ["A"] * 19


async def test_a_failure_reaches_all_who_wait_and_is_not_remembered():
    answers = iter([InputError("gone"), "back"])

    def read(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    known = Fresh(read, life_s=60.0)
    both = await asyncio.gather(known.get("a"), known.get("a"), return_exceptions=True)
    assert [str(error) for error in both] == ["gone", "gone"]
    assert await known.get("a") == "back"


async def test_no_more_is_remembered_than_allowed():
    read = []
    known = Fresh(lambda name: read.append(name) or name, life_s=60.0, most=2)
    for name in ("a", "b", "c", "b", "c", "a"):
        assert await known.get(name) == name
    assert read == ["a", "b", "c", "a"]
