"""Instructions that no answer within a token bound can follow.

A token of the vocabularies in use holds at most one run of letters or digits, so that an answer has no more words, and
no more sentences, bullets or paragraphs, than tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cput.workloads.checks.ifeval.words import count_words


def first_impossible(instructions: Sequence[Mapping[str, Any]], max_new_tokens: int) -> str | None:
    """Return the id of the first instruction that needs more words than there are tokens; None where all may pass."""
    for given in instructions:
        needed = NEEDED_WORDS.get(given["id"])
        if needed is not None and needed(given) > max_new_tokens:
            return str(given["id"])
    return None


def _at_least(given: Mapping[str, Any], count: str) -> int:
    return int(given[count]) if given["relation"] == "at least" else 0


NEEDED_WORDS: Mapping[str, Callable[[Mapping[str, Any]], int]] = {
    "length_constraints:number_words": lambda given: _at_least(given, "num_words"),
    "length_constraints:nth_paragraph_first_word": lambda given: int(given["num_paragraphs"]),
    "combination:repeat_prompt": lambda given: count_words(given["prompt_to_repeat"]),
    "startend:end_checker": lambda given: count_words(given["end_phrase"]),
}
"""Words, or as many tokens, that an answer needs at least; by the official ids."""
