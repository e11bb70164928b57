"""Records without what is personal or secret in their texts. Ids, times, usage and charges stay as they are."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cput.govern.redact.redactor import Redactor
from cput.records import Attempt, Call, Grammar, Outcome, Sampling

NOTE = "cput.redaction"
"""The tag, or detail, that says why there is no text."""
WITHHELD = "(withheld: it could not be redacted)"
Clean = Callable[[str], str]


def chars(call: Call, attempts: tuple[Attempt, ...]) -> int:
    """Return how many characters of text these records hold."""
    said = sum(len(turn.content) for turn in call.messages) + len(call.prompt or "")
    said += sum(map(len, call.tags.values())) + sum(map(len, call.sampling.stop))
    if (grammar := call.sampling.grammar) is not None:
        said += sum(map(len, grammar.value))  # a text's characters, or the allowed answers'
    return said + sum(len(attempt.text or "") + len(attempt.error or "") for attempt in attempts)


def redacted_call(call: Call, redactor: Redactor, clean: Clean) -> Call:
    """Return a call whose messages, prompt, tags and sampling texts are clean."""
    return replace(
        call,
        messages=tuple(replace(turn, content=clean(turn.content)) for turn in call.messages),
        prompt=_maybe(call.prompt, clean),
        sampling=_sampling(call.sampling, clean),
        tags={name: clean(value) for name, value in call.tags.items()} if call.tags else call.tags,
        external_key=joining_key(call.external_key, redactor, clean),
        episode=joining_key(call.episode, redactor, clean),
    )


def redacted_attempt(attempt: Attempt, clean: Clean) -> Attempt:
    """Return an attempt whose answer and error are clean."""
    return replace(attempt, text=_maybe(attempt.text, clean), error=_maybe(attempt.error, clean))


def withheld_call(call: Call, redactor: Redactor, why: str) -> Call:
    """Return a call without any text of its caller's, and the reason. What joins outcomes to it stays where it can."""
    keys = (call.external_key, call.episode)
    try:
        clean = [joining_key(key, redactor, lambda key: redactor.redact(key, tenant=call.tenant).text) for key in keys]
    except Exception:  # noqa: BLE001  # this redactor can do nothing at all
        clean = [None, None]
    sampling = replace(call.sampling, stop=(), grammar=None)
    kept = replace(call, messages=(), prompt=None, sampling=sampling, tags={NOTE: why})
    return replace(kept, external_key=clean[0], episode=clean[1])


def withheld_attempt(attempt: Attempt) -> Attempt:
    """Return an attempt without its answer, and without its error's words."""
    return replace(attempt, text=None, error=None if attempt.error is None else WITHHELD)


def redacted_outcome(outcome: Outcome, redactor: Redactor, tenant: str | None) -> Outcome:
    """Return an outcome whose detail is clean, and whose keys are those of its redacted call.

    Where the redactor fails on the detail, there is none. Where it fails on a key, its error is raised: an outcome that
    is about no call is none.
    """

    def clean(text: str) -> str:
        return redactor.redact(text, tenant=tenant).text

    try:
        detail = _cleaned(outcome.detail, clean)
    except Exception as error:  # noqa: BLE001  # whatever it is: the verdict counts, its words are not worth a leak
        detail = {NOTE: f"failed: {type(error).__name__}"}
    key = joining_key(outcome.external_key, redactor, clean)
    return replace(outcome, detail=detail, external_key=key, episode=joining_key(outcome.episode, redactor, clean))


def joining_key(key: str | None, redactor: Redactor, clean: Clean) -> str | None:
    """Return a key by which outcomes find calls: a pseudonym in it joins as well as the value did.

    Without pseudonyms it stays: all customers would be one otherwise, and outcomes would find the wrong calls.
    """
    return clean(key) if key is not None and redactor.has_pseudonyms else key


def _sampling(sampling: Sampling, clean: Clean) -> Sampling:
    if not sampling.stop and sampling.grammar is None:
        return sampling
    return replace(
        sampling,
        stop=tuple(map(clean, sampling.stop)),
        grammar=None if sampling.grammar is None else _grammar(sampling.grammar, clean),
    )


def _grammar(grammar: Grammar, clean: Clean) -> Grammar:
    value = grammar.value
    return replace(grammar, value=clean(value) if isinstance(value, str) else tuple(map(clean, value)))


def _maybe(text: str | None, clean: Clean) -> str | None:
    return None if text is None else clean(text)


def _cleaned(value: Any, clean: Clean) -> Any:
    """Return JSON with its texts and numbers clean: a mobile number may come as either."""
    match value:
        case str():
            return clean(value)
        case Mapping():
            return {name: _cleaned(each, clean) for name, each in value.items()}
        case list() | tuple():
            return [_cleaned(each, clean) for each in value]
        case int() if not isinstance(value, bool):
            said = str(value)
            kept = clean(said)
            return value if kept == said else kept
        case _:
            return value
