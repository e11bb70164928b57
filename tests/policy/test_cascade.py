"""A cascade gives the first answer whose rule is satisfied; every leg is metered, a hang-up reaches the one under way."""

import asyncio

import pytest
from legs import Kept, Says, ask, heard, text_of, unsure

from cput.errors import EngineUnavailable, InputError, PromptTooLong, SetupError, UpstreamError
from cput.ledger.grounds import read_grounds
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.policy.cascade import (
    Calibration,
    Cascade,
    Confidence,
    Consistent,
    Kind,
    Leg,
    Of,
    Otherwise,
    Passes,
)
from cput.policy.cascade.heard import is_plain
from cput.policy.explain import Explained
from cput.protocols import Answer
from cput.records import Call, Finish, Grounds, Sampling, changed
from cput.serve.forward import Carried
from cput.testing import EchoEngine, check_engine

NEVER = float("inf")


def two(small, large, rule, threshold=0.8, **options):
    kept = Kept()
    legs = [Leg(engine=Metered(small, kept), rule=rule, threshold=threshold), Leg(engine=Metered(large, kept))]
    return kept, Cascade(legs, policy="two", **options)


def always(value):
    return Passes(lambda _call, _text: value)


@pytest.mark.parametrize(
    ("rule", "threshold", "held"),
    [
        (always(True), 1.0, ("hang_up", "hang_up_elsewhere")),  # all of it was made before its first piece is given
        (always(False), 1.0, ()),
        (Confidence(Of.FIRST), 0.9, ()),
    ],
    ids=["held back", "straight through", "decided at the first token"],
)
async def test_a_cascade_keeps_the_contract(rule, threshold, held):
    def make():
        legs = [Leg(engine=EchoEngine(), rule=rule, threshold=threshold), Leg(engine=EchoEngine(token_s=0.0005))]
        return Explained(Cascade(legs), Kept())

    await check_engine(make, without=held)


async def test_an_answer_whose_rule_is_satisfied_is_given_and_nobody_else_is_asked():
    small, large = Says("small", "yes indeed"), Says("large", "no")
    kept, engine = two(small, large, always(True))
    pieces, ending = await heard(engine, ask())
    assert (text_of(pieces), large.calls, ending.attempt) == ("yes indeed", [], 0)
    assert (ending.grounds.chosen, ending.grounds.reason, ending.grounds.policy) == ("small", "stop_rule", "two")
    assert [(o.engine, o.asked, o.score, o.threshold) for o in ending.grounds.options] == [
        ("small", True, 1.0, 0.8),
        ("large", False, None, None),
    ]
    assert kept.legs == [(0, "small", "stop")]


async def test_otherwise_the_last_leg_answers_and_both_are_attempts_of_the_call():
    kept, engine = two(Says("small"), Says("large", "no way"), always(False))
    pieces, ending = await heard(engine, ask())
    assert (text_of(pieces), ending.attempt, ending.model) == ("no way", 1, "large")
    assert (ending.grounds.chosen, ending.grounds.reason) == ("large", "last_leg")
    assert [option.asked for option in ending.grounds.options] == [True, True]
    assert kept.legs == [(0, "small", "stop"), (1, "large", "stop")]


async def test_the_last_leg_is_streamed_straight_through():
    large = Says("large", "a b c", waits_at=1)
    _, engine = two(Says("small"), large, always(False))
    answer = engine.answer(ask())
    assert (await anext(answer)).text == "a "  # its second piece never comes
    await answer.aclose()


@pytest.mark.parametrize(("p", "chosen"), [(0.9, "small"), (0.5, "large")])
async def test_logprobs_are_asked_of_the_judged_leg_only_and_hidden_from_who_did_not_ask(p, chosen):
    small, large = Says("small", "yes it is", p=p), Says("large", p=0.3)
    _, engine = two(small, large, Confidence(Of.MEAN))
    pieces, ending = await heard(engine, ask())
    assert ending.grounds.chosen == chosen
    assert ending.grounds.options[0].score == pytest.approx(p)
    assert all(piece.logprobs == () for piece in pieces)
    assert small.calls[0].sampling.logprobs
    assert not any(call.sampling.logprobs for call in large.calls)


async def test_who_asked_for_logprobs_gets_them():
    _, engine = two(Says("small", p=0.9), Says("large"), Confidence(Of.MEAN))
    pieces, _ = await heard(engine, ask(sampling=Sampling(logprobs=True)))
    assert all(piece.logprobs for piece in pieces)


async def test_a_leg_without_logprobs_satisfies_no_confidence():
    class Mute(Says):
        def answer(self, call):
            return super().answer(ask())

    _, engine = two(Mute("small"), Says("large"), Confidence(Of.MEAN), threshold=0.0)
    _, ending = await heard(engine, ask())
    assert (ending.grounds.chosen, ending.grounds.options[0].note) == ("large", "gave no log-probabilities")


async def test_a_rule_that_knows_at_the_first_token_holds_nothing_back_after_it():
    small = Says("small", "a b c", p=0.95, waits_at=2)
    _, engine = two(small, Says("large"), Confidence(Of.FIRST))
    answer = engine.answer(ask())
    assert [(await anext(answer)).text for _ in range(2)] == ["a ", "b "]
    await answer.aclose()
    assert answer.ending.grounds.chosen == "small"
    assert small.hung_up == 1


async def test_a_rule_that_says_no_at_the_first_token_hangs_up():
    small = Says("small", "a b c d", p=0.2)
    kept, engine = two(small, Says("large"), Confidence(Of.FIRST))
    await heard(engine, ask())
    assert kept.legs == [(0, "small", "cancelled"), (1, "large", "stop")]
    assert kept.attempts[0].usage.output == 1


@pytest.mark.parametrize(
    "rule",
    [Confidence(Of.MIN), Confidence(Of.MARGIN), Passes(lambda *_: False, lambda _, text: "lost" if text else None)],
    ids=["min", "margin", "hopeless"],
)
async def test_a_leg_that_cannot_pass_any_more_is_hung_up(rule):
    kept, engine = two(Says("small", "w " * 100, p=0.5), Says("large"), rule)
    _, ending = await heard(engine, ask())
    assert kept.legs == [(0, "small", "cancelled"), (1, "large", "stop")]
    assert kept.attempts[0].usage.output == 8
    assert "hung up" in ending.grounds.options[0].note


@pytest.mark.parametrize(
    "error",
    [
        EngineUnavailable("gone"),
        PromptTooLong("9 words"),
        InputError("no"),
        UpstreamError("x", status=400),
        unsure("?"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_leg_that_fails_or_abstains_goes_on_to_the_next(error):
    kept, engine = two(Says("small", error=error), Says("large", "no"), always(True))
    pieces, ending = await heard(engine, ask())
    assert (text_of(pieces), ending.grounds.reason) == ("no", "last_leg")
    assert kept.legs == [(0, "small", "error"), (1, "large", "stop")]


async def test_an_abstention_says_how_sure_the_student_was_and_no_error_is_quoted():
    _, engine = two(Says("student", error=unsure("unsure of 'my secret'")), Says("large"), None)
    _, ending = await heard(engine, ask())
    first = ending.grounds.options[0]
    assert (first.note, first.score, first.threshold) == ("abstained", 0.4, 0.9)
    _, engine = two(Says("small", error=UpstreamError("bad: 'my secret'", status=500)), Says("large"), None)
    _, ending = await heard(engine, ask())
    assert ending.grounds.options[0].note == "failed: status 500"


async def test_a_leg_without_a_rule_is_streamed_and_its_reason_is_its_own():
    student = Says("student", "a b c", waits_at=1)
    engine = Cascade([Leg(engine=student, reason="student_sure"), Leg(engine=Says("large"))])
    answer = engine.answer(ask())
    assert (await anext(answer)).text == "a "
    await answer.aclose()
    assert (answer.ending.grounds.chosen, answer.ending.grounds.reason) == ("student", "student_sure")


async def test_after_the_first_piece_an_error_is_the_calls():
    large = Says("large")
    engine = Cascade(
        [Leg(engine=Says("student", "a b", error=EngineUnavailable("broke"), fails_after=1)), Leg(engine=large)]
    )
    with pytest.raises(EngineUnavailable, match="broke"):
        await engine.answer(ask()).text()
    assert large.calls == []


async def test_the_last_legs_word_about_the_request_is_the_clients():
    _, engine = two(Says("small", error=EngineUnavailable("gone")), Says("large", error=PromptTooLong("long")), None)
    with pytest.raises(PromptTooLong, match=r"^long$"):
        await engine.answer(ask()).text()
    _, engine = two(Says("small", error=EngineUnavailable("gone")), Says("large", error=EngineUnavailable("too")), None)
    with pytest.raises(EngineUnavailable, match="none of 2 upstreams answered: small: gone; large: too"):
        await engine.answer(ask()).text()


async def test_the_best_scored_answer_may_be_given_instead_of_the_last():
    kept = Kept()
    legs = [
        Leg(engine=Metered(Says(name, name, p=p), kept), rule=Confidence(Of.MEAN), threshold=0.9)
        for name, p in (("a", 0.5), ("b", 0.7), ("c", 0.6))
    ]
    pieces, ending = await heard(Cascade(legs, otherwise=Otherwise.BEST), ask())
    assert (text_of(pieces), ending.attempt, ending.grounds.chosen) == ("b", 1, "b")
    assert [option.score for option in ending.grounds.options] == [pytest.approx(p) for p in (0.5, 0.7, 0.6)]
    assert len(kept.legs) == 3


async def test_where_the_last_leg_fails_the_best_answer_that_came_is_given():
    legs = [
        Leg(engine=Says("a", "a", p=0.5), rule=Confidence(Of.MEAN), threshold=0.9),
        Leg(engine=Says("b", error=EngineUnavailable("gone")), rule=Confidence(Of.MEAN), threshold=0.9),
    ]
    pieces, ending = await heard(Cascade(legs, otherwise=Otherwise.BEST), ask())
    assert (text_of(pieces), ending.grounds.options[1].note) == ("a", "failed: no connection, or a broken one")


@pytest.mark.parametrize("asked", [ask(sampling=Sampling(echo=True)), ask()], ids=["scoring", "tools"])
async def test_a_call_whose_answer_is_not_one_text_goes_to_the_last_leg_untouched(asked):
    small, large = Says("small"), Says("large")
    _, engine = two(small, large, always(True), **({} if asked.sampling.echo else {"judgeable": lambda _: False}))
    _, ending = await heard(engine, asked)
    assert (small.calls, large.calls) == ([], [asked])
    assert (ending.grounds.reason, ending.grounds.options[0].asked) == ("last_leg", False)


async def test_a_check_that_raises_is_not_passed_and_the_call_is_answered():
    def broken(_call, _text):
        raise KeyError("my secret")

    _, engine = two(Says("small"), Says("large", "no"), Passes(broken))
    pieces, ending = await heard(engine, ask())
    assert (text_of(pieces), ending.grounds.options[0].note) == ("no", "its rule failed: KeyError")


async def test_samples_that_agree_are_attempts_too():
    small = Says("small", "Yes.")
    kept, engine = two(small, Says("large"), Consistent(samples=4))
    _, ending = await heard(engine, ask(sampling=Sampling(seed=7)))
    assert (ending.grounds.chosen, ending.grounds.options[0].note) == ("small", "4 of 4 samples agree")
    assert [leg[:2] for leg in kept.legs] == [(at, "small") for at in range(4)]
    assert [(call.sampling.temperature, call.sampling.seed) for call in small.calls] == [
        (0.0, 7),
        (0.7, 8),
        (0.7, 9),
        (0.7, 10),
    ]
    assert ending.attempt == 0


async def test_samples_that_differ_go_on():
    class Fickle(Says):
        def answer(self, call):
            self.words = f"answer {len(self.calls)}"
            return super().answer(call)

    _, engine = two(Fickle("small"), Says("large"), Consistent(samples=3), threshold=0.5)
    _, ending = await heard(engine, ask())
    assert ending.grounds.chosen == "large"
    assert ending.grounds.options[0].score == pytest.approx(1 / 3)


async def hung_up(engine, call, pieces=0):
    """Hang up from another task, after some pieces or while none has come."""
    answer = engine.answer(call)
    for _ in range(pieces):
        await anext(answer)
    reader = asyncio.create_task(answer.text())
    for _ in range(20):
        await asyncio.sleep(0)
    await answer.aclose()
    await reader
    return answer.ending


async def test_a_hang_up_reaches_a_leg_that_is_held_back_and_nothing_was_decided():
    small, large = Says("small", "a b c", waits_at=1), Says("large")
    kept, engine = two(small, large, always(True))
    ending = await hung_up(Explained(engine, kept), ask())
    assert (ending.finish, ending.grounds, kept.grounds) == (Finish.CANCELLED, None, [])
    assert kept.legs == [(0, "small", "cancelled")]
    assert ending.usage.output == 1
    assert small.hung_up == 1
    assert large.calls == []


async def test_a_hang_up_reaches_the_samples():
    class Slow(Says):
        def answer(self, call):
            self.waits_at = 0 if call.sampling.temperature else None
            return super().answer(call)

    small = Slow("small")
    kept, engine = two(small, Says("large"), Consistent(samples=3))
    await hung_up(engine, ask())
    assert [leg[2] for leg in kept.legs] == ["stop", "cancelled", "cancelled"]


async def test_a_hang_up_reaches_the_last_leg_and_the_decision_is_on_record():
    large, call = Says("large", "a b c", waits_at=1), ask()
    kept, engine = two(Says("small"), large, always(False))
    ending = await hung_up(Explained(engine, kept), call, pieces=1)
    assert (ending.finish, large.hung_up) == (Finish.CANCELLED, 1)
    assert kept.legs == [(0, "small", "stop"), (1, "large", "cancelled")]
    ((call_id, grounds),) = kept.grounds
    assert (call_id, grounds.chosen, grounds.reason) == (call.id, "large", "last_leg")


async def test_a_hang_up_in_the_middle_of_a_passed_answer_has_its_grounds():
    kept, engine = two(Says("small", "a b c"), Says("large"), always(True))
    answer = Explained(engine, kept).answer(ask())
    await anext(answer)
    await answer.aclose()
    assert [grounds.chosen for _, grounds in kept.grounds] == ["small"]


async def test_closing_closes_all_and_a_wrong_cascade_is_one_sentence():
    legs = [Says("a"), Says("b")]
    await Cascade([Leg(engine=leg) for leg in legs]).aclose()
    assert [leg.closed for leg in legs] == [1, 1]
    with pytest.raises(InputError, match="allowed: 1 or more"):
        Cascade([])
    with pytest.raises(InputError, match="threshold of leg 'a' is nan"):
        Cascade([Leg(engine=legs[0], threshold=float("nan"))])
    with pytest.raises(InputError, match="last leg 'b' has no rule"):
        Cascade([Leg(engine=leg) for leg in legs], otherwise=Otherwise.BEST)
    with pytest.raises(InputError, match="samples is 1"):
        Consistent(samples=1)


async def test_a_threshold_that_is_infinite_is_never_reached():
    _, engine = two(Says("small"), Says("large"), always(True), threshold=NEVER)
    _, ending = await heard(engine, ask())
    assert ending.grounds.chosen == "large"


async def test_no_word_of_the_prompt_or_the_answer_is_in_the_grounds():
    secret = "hunter2"
    for rule in (always(True), Confidence(), Consistent(samples=2)):
        _, engine = two(Says("small", secret), Says("large", secret), rule)
        _, ending = await heard(engine, ask(secret, tags={"who": secret}))
        assert secret not in str(ending.grounds)


async def test_a_confidence_is_read_through_its_calibration():
    curve = Calibration(kind=Kind.ISOTONIC, scores=(0.0, 0.5, 1.0), probabilities=(0.0, 0.9, 1.0))
    _, engine = two(Says("small", p=0.5), Says("large"), Confidence(Of.MEAN, curve))
    _, ending = await heard(engine, ask())
    assert (ending.grounds.chosen, ending.grounds.options[0].score) == ("small", pytest.approx(0.9))


async def test_where_the_best_is_given_no_answer_is_cut_short_for_its_first_token():
    legs = [
        Leg(engine=Says(name, f"{name} at length", p=p), rule=Confidence(Of.FIRST), threshold=0.9)
        for name, p in (("a", 0.7), ("b", 0.5))
    ]
    pieces, ending = await heard(Cascade(legs, otherwise=Otherwise.BEST), ask())
    assert (text_of(pieces), ending.grounds.options[0].score) == ("a at length", pytest.approx(0.7))


async def test_an_answer_that_its_engine_calls_an_error_is_not_given():
    class Broken(Says):
        def answer(self, call):
            inner = super().answer(call)

            async def stream():
                async for piece in inner:
                    yield piece
                yield changed(inner.ending, finish=Finish.ERROR)

            return Answer(stream())

    _, engine = two(Broken("small"), Says("large", "no"), always(True))
    pieces, ending = await heard(engine, ask())
    assert (text_of(pieces), ending.grounds.options[0].note) == ("no", "ended with an error")


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, True),
        ({"n": 1}, True),
        ({"n": 2}, False),
        ({"tools": [{}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, False),
    ],
    ids=str,
)
def test_a_request_that_is_carried_on_is_read_for_what_no_rule_can_judge(body, plain):
    call = ask()
    assert is_plain(Carried(id=call.id, messages=call.messages, body=body, read=call)) == plain
    assert is_plain(call)
    assert not is_plain(Call(embed=("a",)))


async def test_grounds_are_on_disk_before_the_end_and_one_that_can_not_be_written_is_the_calls_error(tmp_path):
    call = ask()
    with Ledger.open(tmp_path / "l.db") as ledger:
        engine = Cascade([Leg(engine=Metered(Says("a", "x y z"), ledger), rule=always(True))])
        _, ending = await heard(Explained(engine, ledger), call)
        assert read_grounds(ledger, call.id) == ending.grounds
    with pytest.raises(SetupError, match="is closed"):
        await Explained(Cascade([Leg(engine=Says("a"))]), ledger).answer(ask()).text()


async def test_an_answer_without_grounds_is_passed_on_as_it_is():
    kept = Kept()
    pieces, ending = await heard(Explained(Says("a", "x y"), kept), ask())
    assert (text_of(pieces), ending.grounds, kept.grounds) == ("x y", None, [])


async def test_what_ends_with_grounds_is_written_down_whoever_made_them():
    class Cached(Says):
        def answer(self, call):
            inner = super().answer(call)

            async def stream():
                async for piece in inner:
                    yield piece
                yield changed(inner.ending, grounds=Grounds(chosen="cache", reason="cache_exact", source_call="c"))

            return Answer(stream())

    kept, call = Kept(), ask()
    await heard(Explained(Cached("a"), kept), call)
    assert [(call_id, grounds.reason) for call_id, grounds in kept.grounds] == [(call.id, "cache_exact")]
