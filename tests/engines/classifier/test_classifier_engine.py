"""The classifier engine answers, or abstains; both are on the bill, and neither is a guess at tokens."""

import math

import pytest

from cput.engines import engine_names
from cput.engines.classifier import Classifier, fit, open_engine, save
from cput.errors import Abstained, InputError
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.protocols import Engine
from cput.records import Call, CountedBy, Finish, Grammar, GrammarKind, Message, Sampling
from cput.testing import check_engine

LAMP, PERU = "switch the lamp on in the kitchen", "what is the capital of Chile"


def call(text, *choices, **sampling):
    grammar = Grammar(kind=GrammarKind.CHOICE, value=choices) if choices else None
    return Call(messages=(Message(role="user", content=text),), sampling=Sampling(grammar=grammar, **sampling))


async def test_it_keeps_the_contract(rooms):
    """But for the laws of long answers: a label is one piece whatever the limits, often another's too, and no tokens."""
    long_ones = ["max_new_tokens", "stop", "usage", "company", "hang_up", "hang_up_elsewhere"]
    await check_engine(lambda: Classifier(rooms, abstain=False), real=True, without=long_ones)


def test_it_is_an_engine_found_by_name(rooms):
    assert "classifier" in engine_names()
    assert isinstance(Classifier(rooms, abstain=False), Engine)


async def test_the_label_comes_whole_with_its_log_probability_and_reference_length(rooms):
    answer = Classifier(rooms, threshold=0.0).answer(call(LAMP, logprobs=True))
    pieces = [piece async for piece in answer]
    assert [piece.text for piece in pieces] == ["light_on"]
    assert (pieces[0].whole, pieces[0].tokens) == (True, 0)
    assert math.exp(pieces[0].logprobs[0]) == pytest.approx(rooms.predict([LAMP]).confidence[0])
    usage = answer.ending.usage
    assert (usage.output, usage.input, usage.counted_by) == (3, None, CountedBy.ESTIMATED)
    assert usage.complete
    assert usage.engine_s > 0
    assert (answer.ending.finish, answer.ending.model) == (Finish.STOP, "classifier:student")


async def test_without_a_reference_length_its_output_is_unknown():
    student = fit([f"yes {n}" for n in range(9)] + [f"no {n}" for n in range(9)], ["y"] * 9 + ["n"] * 9)
    answer = Classifier(student, abstain=False).answer(call("yes 4"))
    assert await answer.text() == "y"
    usage = answer.ending.usage
    assert (usage.output, usage.complete, usage.counted_by) == (None, False, CountedBy.UNKNOWN)


async def test_below_its_threshold_it_abstains_and_says_what_it_would_have_said(rooms):
    with pytest.raises(Abstained, match=r"right with 0\.\d{3}, and 1\.000 is needed") as error:
        await Classifier(rooms, threshold=1.0).answer(call(LAMP)).text()
    assert (error.value.label, error.value.threshold) == ("light_on", 1.0)
    assert error.value.probability == pytest.approx(rooms.predict([LAMP]).confidence[0])
    assert not error.value.retryable


async def test_out_of_scope_goes_up_whatever_the_threshold(rooms):
    with pytest.raises(Abstained) as error:
        await Classifier(rooms, threshold=0.0).answer(call(PERU)).text()
    assert error.value.label == "oos"
    assert await Classifier(rooms, abstain=False).answer(call(PERU)).text() == "oos"


async def test_the_highest_threshold_that_applies_to_a_label_or_a_slice_counts(rooms):
    table = {"default": 0.0, "light_on": 0.0, "house=old": 1.0}
    engine = Classifier(rooms, threshold=table)
    assert await engine.answer(call(LAMP)).text() == "light_on"
    old = Call(messages=call(LAMP).messages, tags={"house": "old"})
    with pytest.raises(Abstained):
        await engine.answer(old).text()
    with pytest.raises(Abstained):
        await Classifier(rooms, threshold={"default": 0.0, "light_on": 1.0}).answer(call(LAMP)).text()


async def test_only_choices_of_the_call_are_answered(rooms):
    engine = Classifier(rooms, abstain=False)
    assert await engine.answer(call(LAMP, "heat_up", "play_music", "dance")).text() in {"heat_up", "play_music"}
    with pytest.raises(Abstained, match="none of the 2 answers that the call allows"):
        await engine.answer(call(LAMP, "yes", "no")).text()


async def test_the_last_user_message_is_read_and_nothing_else(rooms):
    turns = (
        Message(role="system", content="play music"),
        Message(role="user", content="warm it up"),
        Message(role="assistant", content="heat_up"),
        Message(role="user", content=LAMP),
    )
    assert await Classifier(rooms, threshold=0.0).answer(Call(messages=turns)).text() == "light_on"
    assert await Classifier(rooms, threshold=0.0).answer(Call(prompt=LAMP)).text() == "light_on"
    with pytest.raises(InputError, match="no user message"):
        await Classifier(rooms, threshold=0.0).answer(Call(embed=("a",))).text()


async def test_an_abstention_is_a_metered_attempt_with_its_device_seconds(rooms, tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        asked = call(LAMP)
        with pytest.raises(Abstained):
            await Metered(Classifier(rooms, threshold=1.0), ledger).answer(asked).text()
        (record,) = ledger.calls()
    (attempt,) = record.attempts
    assert (attempt.finish, attempt.usage.output) == (Finish.ERROR, 0)
    assert attempt.usage.engine_s > 0
    assert "1.000 is needed" in attempt.error


async def test_it_is_opened_by_its_folder_and_takes_the_threshold_on_its_card(rooms, tmp_path):
    save(rooms, tmp_path / "house")
    engine = open_engine(tmp_path / "house")
    assert engine.name == "classifier:house"
    kept = await engine.answer(call("turn on the lamp in the kitchen")).text()
    assert kept == "light_on"


@pytest.mark.parametrize(
    ("threshold", "says"),
    [
        (1.5, "threshold 'default' is 1.5; allowed: a number from 0 to 1"),
        ({"default": 0.5, "lihgt": 0.5}, "threshold for 'lihgt': no such label"),
        ({"light_on": "high", "default": 0.5}, "threshold 'light_on' is \"high\""),
    ],
)
def test_a_wrong_threshold_is_named(rooms, threshold, says):
    with pytest.raises(InputError) as error:
        Classifier(rooms, threshold=threshold)
    assert says in str(error.value)
