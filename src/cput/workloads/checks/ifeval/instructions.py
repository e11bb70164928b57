"""The 25 verifiable instructions of IFEval, each as one predicate on the answer.

Source: Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models" (arXiv 2311.07911), with the
semantics of google-research/instruction_following_eval at 2024-08, its quirks included and named where they stand.
Two differences, neither of which changes a verdict on the 541 prompts beyond what chance decided before: a keyword is a
literal text, not a regular expression; and a letter that is not of a-z ("#", "!") is counted as asked, where the
official code draws a random letter.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cput.rules import COUNT, FILLED, TEXTS, Rule, one_of
from cput.workloads.checks.ifeval.language import detected, languages
from cput.workloads.checks.ifeval.words import count_capital_words, count_sentences, count_words


class Instruction(NamedTuple):
    """One verifiable instruction."""

    follows: Callable[..., bool]
    """Takes the answer and the arguments by name; True where the answer follows it."""
    args: Mapping[str, Rule]
    """What each argument may be; all are needed."""


def existence(text: str, *, keywords: list[str]) -> bool:
    """Every keyword occurs, also inside a longer word, whatever its case."""
    return all(re.search(re.escape(word), text, re.IGNORECASE) for word in keywords)


def frequency(text: str, *, keyword: str, frequency: int, relation: str) -> bool:
    """The keyword occurs often or seldom enough, also inside longer words, whatever its case."""
    found = re.findall(re.escape(keyword.strip()), text, re.IGNORECASE)
    return _compare(len(found), relation, frequency)


def forbidden_words(text: str, *, forbidden_words: list[str]) -> bool:
    """None of the words occurs as a word of its own."""
    return not any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(text: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    """The letter occurs often or seldom enough, whatever its case."""
    return _compare(Counter(text.lower())[letter.strip().lower()], let_relation, let_frequency)


def response_language(text: str, *, language: str) -> bool:
    """The whole answer is in the language; an answer without any letters counts as following."""
    return detected(text) in {language, None}


def number_sentences(text: str, *, num_sentences: int, relation: str) -> bool:
    """The answer has enough, or few enough, sentences."""
    return _compare(count_sentences(text), relation, num_sentences)


def number_paragraphs(text: str, *, num_paragraphs: int) -> bool:
    """Exactly so many parts stand between ``***`` dividers; an empty part is allowed only at either end."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    if any(not part.strip() for part in parts[1:-1]):
        return False
    ends = [parts[0]] if len(parts) == 1 else [parts[0], parts[-1]]
    return len(parts) - sum(not part.strip() for part in ends) == num_paragraphs


def number_words(text: str, *, num_words: int, relation: str) -> bool:
    """The answer has enough, or few enough, words."""
    return _compare(count_words(text), relation, num_words)


def nth_paragraph_first_word(text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    r"""Exactly so many paragraphs (between ``\n\n``), of which the n-th starts with the word.

    Blank paragraphs are not counted, but they do take a place when the n-th is looked up, as in the official code.
    """
    parts = text.split("\n\n")
    count = sum(bool(part.strip()) for part in parts)
    if not 1 <= nth_paragraph <= count or not parts[nth_paragraph - 1].strip():
        return False
    word = parts[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    said = re.split(r"[.,?!'\"]", word, maxsplit=1)[0].lower()
    return count == num_paragraphs and said == first_word.lower()


def number_placeholders(text: str, *, num_placeholders: int) -> bool:
    """At least so many ``[placeholders]``, each on one line."""
    return len(re.findall(r"\[.*?\]", text)) >= num_placeholders


def postscript(text: str, *, postscript_marker: str) -> bool:
    """A postscript marker stands somewhere; for ``P.P.S`` and ``P.S.`` a space inside is forgiven."""
    marker = postscript_marker.strip()
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return re.search(known.get(marker, re.escape(marker.lower())), text.lower()) is not None


def number_bullet_lists(text: str, *, num_bullets: int) -> bool:
    """Exactly so many lines start with ``*`` (not ``**``) or ``-``."""
    stars = re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def constrained_response(text: str) -> bool:
    """One of the three sentences occurs in the answer, anywhere."""
    return any(option in text for option in ("My answer is yes.", "My answer is no.", "My answer is maybe."))


def number_highlighted_sections(text: str, *, num_highlights: int) -> bool:
    """At least so many ``*highlights*`` or ``**highlights**`` that are not empty, each on one line."""
    single = sum(bool(found.strip("*").strip()) for found in re.findall(r"\*[^\n*]*\*", text))
    double = sum(bool(found.strip()) for found in re.findall(r"\*\*([^\n*]*)\*\*", text))
    return single + double >= num_highlights


def multiple_sections(text: str, *, section_spliter: str, num_sections: int) -> bool:
    """At least so many section heads: the word and a number."""
    return len(re.findall(rf"\s?{re.escape(section_spliter.strip())}\s?\d+\s?", text)) >= num_sections


def json_format(text: str) -> bool:
    """The whole answer is JSON, a Markdown fence apart."""
    body = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        body = body.removeprefix(fence)
    try:
        json.loads(body.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str) -> bool:
    """A ``<<title>>`` that is not empty stands somewhere, on one line."""
    return any(found.lstrip("<").rstrip(">").strip() for found in re.findall(r"<<[^\n]+>>", text))


def two_responses(text: str) -> bool:
    """Two different answers with ``******`` between them; an empty part is allowed only at either end."""
    parts = text.split("******")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    answers = [part.strip() for part in parts if part.strip()]
    return len(answers) == 2 and answers[0] != answers[1]


def repeat_prompt(text: str, *, prompt_to_repeat: str) -> bool:
    """The answer starts with the request, whatever its case."""
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_checker(text: str, *, end_phrase: str) -> bool:
    """The answer ends with the phrase, whatever its case; closing double quotes are forgiven."""
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(text: str) -> bool:
    """The whole answer stands in double quotes."""
    body = text.strip()
    return len(body) > 1 and body[0] == body[-1] == '"'


def capital_word_frequency(text: str, *, capital_frequency: int, capital_relation: str) -> bool:
    """Often or seldom enough a word is all in capitals."""
    return _compare(count_capital_words(text), capital_relation, capital_frequency)


def english_capital(text: str) -> bool:
    """English, all in capital letters."""
    return text.isupper() and detected(text) in {"en", None}


def english_lowercase(text: str) -> bool:
    """English, all in lowercase letters."""
    return text.islower() and detected(text) in {"en", None}


def no_comma(text: str) -> bool:
    """No comma at all."""
    return "," not in text


def _compare(count: int, relation: str, threshold: int) -> bool:
    return count < threshold if relation == "less than" else count >= threshold


_RELATION = one_of("less than", "at least")
_LETTER = Rule(lambda value: isinstance(value, str) and len(value.strip()) == 1, "one letter")
_LANGUAGE = Rule(lambda value: isinstance(value, str) and value in languages(), "a language code such as en, fr, zh-cn")

INSTRUCTIONS: Mapping[str, Instruction] = {
    "keywords:existence": Instruction(existence, {"keywords": TEXTS}),
    "keywords:frequency": Instruction(frequency, {"keyword": FILLED, "frequency": COUNT, "relation": _RELATION}),
    "keywords:forbidden_words": Instruction(forbidden_words, {"forbidden_words": TEXTS}),
    "keywords:letter_frequency": Instruction(
        letter_frequency, {"letter": _LETTER, "let_frequency": COUNT, "let_relation": _RELATION}
    ),
    "language:response_language": Instruction(response_language, {"language": _LANGUAGE}),
    "length_constraints:number_sentences": Instruction(
        number_sentences, {"num_sentences": COUNT, "relation": _RELATION}
    ),
    "length_constraints:number_paragraphs": Instruction(number_paragraphs, {"num_paragraphs": COUNT}),
    "length_constraints:number_words": Instruction(number_words, {"num_words": COUNT, "relation": _RELATION}),
    "length_constraints:nth_paragraph_first_word": Instruction(
        nth_paragraph_first_word, {"num_paragraphs": COUNT, "nth_paragraph": COUNT, "first_word": FILLED}
    ),
    "detectable_content:number_placeholders": Instruction(number_placeholders, {"num_placeholders": COUNT}),
    "detectable_content:postscript": Instruction(postscript, {"postscript_marker": FILLED}),
    "detectable_format:number_bullet_lists": Instruction(number_bullet_lists, {"num_bullets": COUNT}),
    "detectable_format:constrained_response": Instruction(constrained_response, {}),
    "detectable_format:number_highlighted_sections": Instruction(
        number_highlighted_sections, {"num_highlights": COUNT}
    ),
    "detectable_format:multiple_sections": Instruction(
        multiple_sections, {"section_spliter": FILLED, "num_sections": COUNT}
    ),
    "detectable_format:json_format": Instruction(json_format, {}),
    "detectable_format:title": Instruction(title, {}),
    "combination:two_responses": Instruction(two_responses, {}),
    "combination:repeat_prompt": Instruction(repeat_prompt, {"prompt_to_repeat": FILLED}),
    "startend:end_checker": Instruction(end_checker, {"end_phrase": FILLED}),
    "startend:quotation": Instruction(quotation, {}),
    "change_case:capital_word_frequency": Instruction(
        capital_word_frequency, {"capital_frequency": COUNT, "capital_relation": _RELATION}
    ),
    "change_case:english_capital": Instruction(english_capital, {}),
    "change_case:english_lowercase": Instruction(english_lowercase, {}),
    "punctuation:no_comma": Instruction(no_comma, {}),
}
"""By the official ids."""
