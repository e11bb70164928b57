"""Forcing what a check demands: who gets a grammar, and what happens where an engine refuses it."""

import pytest

from cput.engines.echo import Echo
from cput.errors import EngineError, EngineUnavailable
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.policy import Abandoned, Persistent
from cput.policy.constrain import Constrained
from cput.protocols import Answer
from cput.records import Call, Finish, Grammar, GrammarKind, Message, Sampling

GRAMMAR = Grammar(kind=GrammarKind.REGEX, value="[^,]*")
OWN = Grammar(kind=GrammarKind.CHOICE, value=("a",))


def ask(text, grammar=None):
    return Call(messages=(Message(role="user", content=text),), sampling=Sampling(grammar=grammar))


class Asked(Echo):
    """Keeps what it was asked; raises ``error`` where a call carries a grammar."""

    def __init__(self, error=None):
        super().__init__()
        self.error = error
        self.calls = []

    def answer(self, call):
        self.calls.append(call)
        if self.error is None or call.sampling.grammar is None:
            return super().answer(call)

        async def stream():
            raise self.error
            yield

        return Answer(stream())

    @property
    def grammars(self):
        return [call.sampling.grammar for call in self.calls]


async def test_a_call_gets_the_grammar_of_its_check():
    engine = Asked()
    answer = Constrained(engine, lambda _: GRAMMAR).answer(ask("a b"))
    assert await answer.text() == "a b"
    assert answer.ending.finish is Finish.STOP
    assert engine.grammars == [GRAMMAR]


async def test_a_call_keeps_its_own_grammar_and_one_without_a_check_has_none():
    engine = Asked()
    await Constrained(engine, lambda _: GRAMMAR).answer(ask("a", OWN)).text()
    await Constrained(engine, lambda _: None).answer(ask("a")).text()
    assert engine.grammars == [OWN, None]


async def test_a_refused_grammar_is_left_out_once_and_both_legs_are_on_record(tmp_path):
    engine = Asked(EngineError("the engine refused the call: Unclosed '['"))
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        call = ask("a b")
        answer = Constrained(Metered(engine, ledger, prices=None), lambda _: GRAMMAR).answer(call)
        assert await answer.text() == "a b"
        (record,) = ledger.calls()
    assert engine.grammars == [GRAMMAR, None]
    assert [attempt.finish for attempt in record.attempts] == [Finish.ERROR, Finish.STOP]


async def test_an_engine_that_is_gone_is_not_asked_again():
    engine = Asked(EngineUnavailable("gone"))
    with pytest.raises(EngineUnavailable):
        await Constrained(engine, lambda _: GRAMMAR).answer(ask("a")).text()
    assert len(engine.calls) == 1


async def test_a_second_error_is_the_callers():
    class Broken(Asked):
        def answer(self, call):
            self.calls.append(call)

            async def stream():
                raise EngineError("broken")
                yield

            return Answer(stream())

    engine = Broken()
    with pytest.raises(EngineError, match="broken"):
        await Constrained(engine, lambda _: GRAMMAR).answer(ask("a")).text()
    assert len(engine.calls) == 2


async def test_hanging_up_reaches_the_engine_with_what_it_used():
    answer = Constrained(Asked(), lambda _: GRAMMAR).answer(ask("a b c d"))
    await anext(answer)
    await answer.aclose()
    assert answer.ending.finish is Finish.CANCELLED
    assert answer.ending.usage.output


async def test_retries_and_giving_up_stand_around_it():
    engine = Asked()
    line = Persistent(
        Abandoned(Constrained(engine, lambda _: GRAMMAR), lambda *_: "lost", every=1), lambda *_: False, attempts=3
    )
    await line.answer(ask("a b c")).text()
    assert engine.grammars == [GRAMMAR] * 3
