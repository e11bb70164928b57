"""The standard 1k-token conversation: three user turns and three answers, 1,000 tokens in all.

Every engine is asked the same three texts, one after the other, each with the whole conversation before it:

    turn   user text U   answer A   context that is re-read
    1          160          240        0
    2           80          220      400
    3           60          240      700
    sum        300          700    1,100        U + A = 1,000

**What is counted.** U and A are tokens of the engine's own tokenizer. U is what a turn adds to the input: the user's
text and whatever the chat template puts around it. A is the generated tokens, end-of-text included where the engine
counts it; an engine that can is to generate exactly A tokens (end-of-text ignored), any other at most A. Earlier
turns are sent again as context: their tokens are counted apart, as *re-read*, whether a prefix cache serves them or
not, and never as part of the 1,000. What a conversation costs therefore includes the re-reading, and what it counts
does not.

The input of a turn is all that came before it and its own text, so that the counted tokens of a conversation are the
last turn's input plus its output. Where a tokenizer or an early end makes that sum differ from 1,000, the cost is also
stated per 1,000 counted tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cput.records import Call, Message, Sampling, Usage

TOTAL_TOKENS = 1000
NAME = "standard-1k"
"""The workload name that its calls carry."""

_TURN_1 = (
    "I keep a small bakery near the harbour and I would like to plan the next month with your help. We open at "
    "seven in the morning and close at three in the afternoon, six days a week. Two people bake through the "
    "night and two others serve at the counter. Most of our customers are on their way to work, so the first "
    "two hours bring in half of the day's sales. After ten o'clock the shop is quiet, and we often carry bread "
    "home. Flour and butter have become more expensive, but I do not want to raise the price of a plain loaf. "
    "Please describe, in several paragraphs, how you would change our working hours, the order in which we "
    "bake, and the range of things that we sell, and explain the reasons for each of your suggestions."
)
_TURN_2 = (
    "Thank you, that is a good start. Now let us look at the quiet hours after ten. I could rent the oven to a "
    "neighbour who makes pies, or offer a simple lunch with soup and fresh bread. Compare the two ideas in "
    "detail. Say what each would need in people, space and money, what might go wrong, and how I could try it "
    "for two weeks."
)
_TURN_3 = (
    "I like the lunch. Please write a plan for the first two weeks, day by day, with a short list of what to "
    "buy, what to cook and whom to tell about it. Close with three signs by which I will know whether it was "
    "worth doing. Keep the tone plain."
)
_TEXTS = (_TURN_1, _TURN_2, _TURN_3)
_RESERVE = (
    " The weather has been mild, the harbour is busy on most days, and several of our regular customers have "
    "asked for something warm to eat at noon. We own a few tables and a long bench that could stand by the "
    "window, and the kitchen behind the shop has a second stove that is hardly ever used."
)
_USER_TOKENS = (160, 80, 60)
_ANSWER_TOKENS = (240, 220, 240)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One of the three turns."""

    user_text: str
    """What the user says."""
    user_tokens: int
    """Tokens this turn is meant to add to the input (U)."""
    max_new_tokens: int
    """Tokens the answer is meant to have (A): exactly where the engine can ignore end-of-text, else at most."""


class Counted(NamedTuple):
    """The tokens of one conversation, as the engine counted them."""

    user: int
    """Added by user turns, chat template included."""
    answer: int
    """Generated."""
    reread: int
    """Sent again as context."""

    @property
    def total(self) -> int:
        """What the 1,000 is about: user plus answer, without re-reading."""
        return self.user + self.answer


def turns(count_tokens: Callable[[str], int] | None = None) -> tuple[Turn, ...]:
    """Return the three turns.

    With ``count_tokens`` (the engine's own count of a user message, template included where it can be had) each text is
    cut or lengthened, word by word, to the most words that stay within its U tokens. Without it the texts are as they
    stand, which is within a few per cent of U for common tokenizers.
    """
    return tuple(
        Turn(
            user_text=text if count_tokens is None else _fitted(text, user_tokens, count_tokens),
            user_tokens=user_tokens,
            max_new_tokens=answer_tokens,
        )
        for text, user_tokens, answer_tokens in zip(_TEXTS, _USER_TOKENS, _ANSWER_TOKENS, strict=True)
    )


def messages(conversation: Sequence[Turn], answers: Sequence[str]) -> tuple[Message, ...]:
    """Return what is sent for turn ``len(answers)``: earlier turns with their answers, then the new user text.

    Raises:
        ValueError: when there is no turn left.
    """
    if len(answers) >= len(conversation):
        raise ValueError(f"{len(answers)} answers to {len(conversation)} turns; allowed: fewer answers than turns")
    said: list[Message] = []
    for turn, answer in zip(conversation, answers, strict=False):
        said += [Message(role="user", content=turn.user_text), Message(role="assistant", content=answer)]
    return (*said, Message(role="user", content=conversation[len(answers)].user_text))


def call(conversation: Sequence[Turn], answers: Sequence[str]) -> Call:
    """Return the call of turn ``len(answers)``: greedy, up to the turn's answer tokens."""
    number = len(answers)
    asked = messages(conversation, answers)
    return Call(
        messages=asked,
        sampling=Sampling(max_new_tokens=conversation[number].max_new_tokens),
        workload=NAME,
        item=f"turn:{number + 1}",
        tags={"turn": str(number + 1)},
    )


def counted(usages: Sequence[Usage]) -> Counted | None:
    """Return the conversation's tokens from the usages of its turns, in order; None where a count is unknown.

    A turn adds its input minus everything before it; an engine that counts an answer's end-of-text, or cuts a re-sent
    answer into other tokens, moves single tokens between the classes but not the total.
    """
    before = user = answer = reread = 0
    for usage in usages:
        if usage.input is None or usage.output is None:
            return None
        again = min(before, usage.input)
        user += usage.input - again
        reread += again
        answer += usage.output
        before = usage.input + usage.output
    return Counted(user, answer, reread)


def _fitted(text: str, target: int, count_tokens: Callable[[str], int]) -> str:
    """Return the longest run of whole words, of the text and then the reserve (repeated), within ``target`` tokens."""
    words = text.split(" ") + _RESERVE.split(" ")[1:] * target
    low, high = 1, len(words)  # a text of n words never has fewer tokens than one of n - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count_tokens(" ".join(words[:middle])) <= target else (low, middle - 1)
    return " ".join(words[:low])
