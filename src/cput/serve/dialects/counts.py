"""Usage and finish reasons as the dialects say them. What is unknown is null, never 0."""

from collections.abc import Mapping
from typing import Any

from cput.records import Ending, Finish, Piece, Usage
from cput.serve.forward import Closed

REASONS = {
    Finish.STOP: "stop",
    Finish.LENGTH: "length",
    Finish.CANCELLED: "length",  # the policy broke the answer off: it is cut short, and says so
    Finish.ERROR: "error",
}


def openai_usage(ending: Ending) -> Mapping[str, Any] | None:
    """Return the usage object: the upstream's own where there is one; None where a count is unknown."""
    if isinstance(ending, Closed) and ending.usage_said is not None:
        return ending.usage_said
    usage = ending.usage
    if usage.input is None or usage.output is None:
        return None
    said: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    if usage.input_cache_read is not None:
        said["prompt_tokens_details"] = {"cached_tokens": usage.input_cache_read}
    if usage.reasoning is not None:
        said["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return said


def reasons_of(ending: Ending) -> dict[int, str]:
    """Return the finish reason of each choice, in OpenAI's words."""
    if isinstance(ending, Closed) and ending.reasons:
        return dict(sorted(ending.reasons.items()))
    return {0: REASONS[ending.finish]}


def token_logprobs(piece: Piece) -> list[tuple[str, float]]:
    """Return each token of a piece with its log-probability.

    Where several tokens make one piece, its text belongs to the last: the others ended inside a character, or were
    held back because a stop text might have begun with them.
    """
    last = len(piece.logprobs) - 1
    return [(piece.text if at == last else "", value) for at, value in enumerate(piece.logprobs)]


def known_usage(usage: Usage) -> tuple[int, int]:
    """Return input and output for dialects that have no word for unknown; there 0 stands for it."""
    return usage.input or 0, usage.output or 0
