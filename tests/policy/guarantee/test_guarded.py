"""Guarded: explores a little, writes down with what probability, and falls back when the watch speaks."""

import json
import subprocess
import sys

import pytest

from cput.engines.echo import Echo
from cput.errors import InputError
from cput.ledger.meter import Metered
from cput.policy.guarantee import Guarded, Watch
from cput.protocols import Answer
from cput.records import Call, Finish, Grounds, changed
from cput.testing import check_engine


class Named(Echo):
    def __init__(self, name, grounds=None):
        super().__init__()
        self.name, self.grounds, self.closed = name, grounds, 0

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            async for piece in inner:
                yield piece
            yield changed(inner.ending, model=self.name, grounds=self.grounds)

        return Answer(stream())

    async def aclose(self):
        self.closed += 1


class Book:
    """Takes attempts as a ledger does."""

    def __init__(self):
        self.rows = []

    def next_seq(self, call_id):
        return 0

    async def record(self, call, attempts, charges=(), *, run=None):
        self.rows += [(call, attempt) for attempt in attempts]


def guarded(explore=0.02, book=None, **options):
    policy, strong = Named("small"), Named("large")
    legs = [Metered(engine, book) if book else engine for engine in (policy, strong)]
    return Guarded(*legs, Watch({"overall": 0.9}), explore=explore, seed=0, **options)


async def asked(engine, count):
    calls = [Call(prompt="a b") for _ in range(count)]
    answers = []
    for call in calls:
        answer = engine.answer(call)
        assert await answer.text() == "a b"
        answers.append((call, answer.ending))
    return answers


async def test_it_keeps_the_contract_of_engines():
    await check_engine(lambda: Guarded(Echo(), Echo(), Watch({"overall": 0.9}), explore=0.3, seed=1))


async def test_it_explores_the_share_that_it_was_told_and_says_so():
    found = await asked(guarded(explore=0.2), 1000)
    explored = [ending for _, ending in found if ending.grounds and ending.grounds.reason == "explored"]
    assert 150 < len(explored) < 250
    assert {(each.model, each.grounds.chosen, each.grounds.propensity) for each in explored} == {
        ("large", "large", 0.2)
    }
    assert [(option.engine, option.asked) for option in explored[0].grounds.options] == [
        ("small", False),
        ("large", True),
    ]


async def test_every_leg_carries_the_probability_of_its_way():
    book = Book()
    await asked(guarded(explore=0.25, book=book), 60)
    found = {(attempt.engine, call.policy, attempt.propensity) for call, attempt in book.rows}
    assert found == {("small", None, 0.75), ("large", "explored", 0.25)}
    assert len(book.rows) == 60


async def test_without_exploring_nothing_was_drawn():
    book = Book()
    engine = guarded(explore=0.0, book=book)
    await asked(engine, 5)
    for place in range(100):
        engine.watch.saw(str(place), 0.0)
    await asked(engine, 1)
    found = [(attempt.engine, call.policy, attempt.propensity) for call, attempt in book.rows]
    assert found == [*[("small", None, None)] * 5, ("large", "alarm_fallback", None)]


async def test_the_policys_own_grounds_stand_with_the_probability_multiplied():
    policy = Named("router", Grounds(chosen="tiny", reason="router", propensity=0.5))
    engine = Guarded(policy, Named("large"), Watch({"overall": 0.9}, engines={"tiny": 0.5}), explore=0.2, seed=3)
    found = await asked(engine, 40)
    own = [(call, ending.grounds) for call, ending in found if ending.grounds.reason == "router"]
    assert {grounds.propensity for _, grounds in own} == {0.8 * 0.5}
    for call, _ in own[:20]:
        engine.saw(call.id, 0.0)
    assert engine.watch.alarm is not None


async def test_after_an_alarm_all_go_to_the_strong_engine_until_it_is_reset():
    alarms = []
    engine = guarded(alarmed=alarms.append)
    for call, _ in await asked(engine, 60):
        engine.saw(call.id, 0.0, at_s=1.0)
    assert len(alarms) == 1
    late = await asked(engine, 20)
    assert {(ending.model, ending.grounds.reason) for _, ending in late} == {("large", "alarm_fallback")}
    counted = engine.watch.outcomes
    assert engine.saw(late[0][0].id, 0.0) is None
    assert engine.watch.outcomes == counted
    engine.watch.reset()
    models = {ending.model for _, ending in await asked(engine, 20)}
    assert "small" in models


async def test_explored_outcomes_are_the_strong_engines_and_not_the_policys():
    engine = guarded(explore=0.5)
    for call, ending in await asked(engine, 100):
        engine.saw(call.id, 1.0 if ending.model == "small" else 0.0)
    assert (engine.watch.quality, engine.watch.strong_quality) == (1.0, 0.0)
    assert engine.watch.alarm is None


async def test_tags_are_slices():
    engine = Guarded(Named("small"), Named("large"), Watch({"overall": 0.2, "language=de": 0.9}), explore=0.0)
    for _ in range(100):
        call = Call(prompt="a", tags={"language": "de", "place": "x"})
        await engine.answer(call).text()
        if engine.saw(call.id, 0.5):
            break
    assert engine.watch.alarm.name == "language=de"


async def test_an_answer_that_was_hung_up_on_has_an_outcome_too():
    engine = guarded(explore=0.0)
    call = Call(prompt="a b c")
    answer = engine.answer(call)
    await anext(answer)
    await answer.aclose()
    assert answer.ending.finish is Finish.CANCELLED
    engine.saw(call.id, 0.0)
    assert (engine.watch.outcomes, engine.watch.quality) == (1, 0.0)


async def test_an_outcome_of_nobody_is_passed_over():
    engine = guarded()
    assert engine.saw("unheard of", 0.0) is None
    assert engine.watch.outcomes == 0


async def test_both_engines_are_closed_once():
    policy, strong = Named("small"), Named("large")
    await Guarded(policy, strong, Watch({"overall": 0.9})).aclose()
    await Guarded(policy, policy, Watch({"overall": 0.9})).aclose()
    assert (policy.closed, strong.closed) == (2, 1)


def test_a_share_to_explore_that_the_watch_does_not_weigh_is_refused():
    with pytest.raises(InputError, match=r"explore is 0\.9; allowed: 0 to 0\.5"):
        guarded(explore=0.9)


def test_a_gateway_that_watches_loads_no_numpy():
    code = "import json, sys, cput.policy.guarantee; print(json.dumps([m in sys.modules for m in ('numpy', 'scipy')]))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == [False, False]
