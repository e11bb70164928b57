"""A grammar as openvino-genai's xgrammar takes it: JSON schema, regex or EBNF; a choice becomes an EBNF alternative."""

import json
from typing import NamedTuple

from cput.errors import InputError
from cput.records import Grammar, GrammarKind


class EngineGrammar(NamedTuple):
    """Kind (json_schema, regex, ebnf) and its text."""

    kind: str
    value: str


def engine_grammar(grammar: Grammar) -> EngineGrammar:
    """Return the engine's form of ``grammar``.

    Raises:
        InputError: an empty choice, or a value of the wrong type for its kind.
    """
    if grammar.kind is GrammarKind.CHOICE:
        choices = (grammar.value,) if isinstance(grammar.value, str) else grammar.value
        if not choices:
            raise InputError("a choice grammar needs at least one allowed answer; it has none")
        return EngineGrammar("ebnf", "root ::= " + " | ".join(json.dumps(text, ensure_ascii=False) for text in choices))
    if not isinstance(grammar.value, str):
        raise InputError(f"a {grammar.kind.value} grammar is one text; this one has {len(grammar.value)} parts")
    return EngineGrammar(grammar.kind.value, grammar.value)
