"""Reading typed fields out of a JSON or TOML object, naming every unknown key and wrong type."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cput.rules import Rule, shown
from cput.workloads.lines import bad_text
from cput.workloads.problems import Problems, Where, kind, wrong_value


def complaints(value: Mapping[str, Any], rules: Mapping[str, Rule]) -> Iterable[tuple[str, str]]:
    """Yield (key, sentence) for each unknown key and each value its rule does not allow. Null is "not given"."""
    for key, part in value.items():
        if key not in rules:
            yield key, unknown_key(key, rules)
        elif part is not None and not rules[key].fits(part):
            yield key, _sentence(part, rules[key].allowed)
        elif isinstance(part, str) and (fault := bad_text(part)):
            yield key, fault


def take(
    value: Mapping[str, Any],
    rules: Mapping[str, Rule],
    problems: Problems,
    where: Callable[[str], Where],
    prefix: str = "",
) -> dict[str, Any]:
    """Return the fields that are given and allowed; name the others in ``problems``, at ``where(dotted field)``."""
    wrong = set()
    for key, sentence in complaints(value, rules):
        wrong.add(key)
        problems.add(where(prefix + key), prefix + key, sentence)
    return {key: part for key, part in value.items() if key not in wrong and part is not None}


def unknown_key(key: str, allowed: Iterable[str]) -> str:
    """Return the sentence for a key nobody reads, with the nearest allowed one.

    >>> unknown_key("promt", ["id", "prompt"])
    "unknown key 'promt'; did you mean 'prompt'? Allowed: id, prompt"
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"unknown key '{shown(key)[1:-1]}'{hint} Allowed: {', '.join(names)}"


def _sentence(value: Any, allowed: str) -> str:
    # The kind says nothing where it is the kind that is allowed ("0 is a number; allowed: a number above 0").
    if kind(value) in allowed or (kind(value) == "number" and "number" in allowed):
        return f"{shown(value)} is not allowed; allowed: {allowed}"
    return wrong_value(value, allowed)
