"""What all prompts end with, in front."""

from hypothesis import given
from hypothesis import strategies as st

from cput.engines.echo import Echo
from cput.policy.layout import LEAST_CHARS, Relaid, shared_tail
from cput.records import Call, Message

RULES = "Classify the text above as one of: billing, delivery, returns, other.\nAnswer with that one word and no more."


def asked(body):
    return f"{body}\n\n{RULES}"


async def said(engine, **call):
    return await engine.answer(Call(**call)).text()


def test_the_shared_tail_is_the_instructions():
    """From the beginning of a line on, also where the bodies end alike."""
    assert shared_tail([asked("Where is it?"), asked("What is it?")]).strip() == RULES


def test_what_is_short_or_not_shared_is_no_tail():
    """A word that all prompts end with is not worth another prompt."""
    assert shared_tail(["Who is it?", "What is it?"]) == ""
    assert shared_tail([asked("a"), asked("b"), "something else"]) == ""
    assert shared_tail([asked("a"), asked("a")]) == ""
    assert shared_tail([]) == ""


@given(st.lists(st.text(max_size=30), min_size=2, max_size=5), st.text(min_size=LEAST_CHARS, max_size=200))
def test_every_prompt_ends_with_the_tail_and_begins_a_line_with_it(bodies, rules):
    """The tail is never half a line of some prompt."""
    prompts = [f"{body}\n{rules}" for body in bodies]
    tail = shared_tail(prompts)
    assert all(prompt.endswith("\n" + tail) for prompt in prompts) or not tail


async def test_the_tail_stands_first_and_nothing_is_lost():
    """System turn and earlier turns stay where they are."""
    prompts = [asked("Where is my parcel?"), asked("I want my money back")]
    engine = Relaid(Echo(), shared_tail(prompts))
    turns = (Message(role="system", content="s"), Message(role="user", content=prompts[0]))
    assert await said(engine, messages=turns) == f"{RULES}\n\nWhere is my parcel?"
    assert await said(engine, prompt=prompts[1]) == f"{RULES}\n\nI want my money back"


async def test_a_prompt_that_ends_otherwise_is_asked_as_it_is():
    """Other traffic through the same policy is not touched."""
    engine = Relaid(Echo(), RULES)
    assert await said(engine, prompt="hello") == "hello"
    assert await said(engine, prompt=RULES) == RULES
