"""A server's refusal as one of our errors, and the sentence in its body."""

import json
import time
from email.utils import parsedate_to_datetime

from cput.engines.retry import Throttled
from cput.errors import EngineError, PromptTooLong, UpstreamError

TOO_LONG = (
    "context length",
    "context_length",
    "context size",
    "context window",
    "maximum context",
    "too many tokens",
    "prompt is too long",
    "exceeds the model",
)
MESSAGE_CHARS = 300


def refusal(server: str, status: int, text: str, retry_after: str | None) -> EngineError:
    """Return the error for an HTTP ``status`` of 300 or more with body ``text``.

    A redirection is one too: prompts go where the configuration says, and nowhere else.
    """
    message = error_sentence(text) if status >= 400 else "it wants to send the call elsewhere, which is not followed"
    if status in {400, 413, 422, 500} and any(mark in text.lower() for mark in TOO_LONG):
        return PromptTooLong(f"{server} refused the prompt as too long: {message}")
    sentence = f"{server} answered {status}: {message}"
    wait_s = seconds_of(retry_after)
    if wait_s is not None and status in {429, 503}:
        return Throttled(sentence, status=status, body=text, retry_after_s=wait_s)
    return UpstreamError(sentence, status=status, body=text)


def seconds_of(retry_after: str | None) -> float | None:
    """Return a ``Retry-After`` header in seconds from now: a number, or an HTTP date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    try:
        return min(max(0.0, float(retry_after)), 1e9)
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None


def error_sentence(text: str) -> str:
    """Return the sentence in an error body, or the body's beginning.

    >>> error_sentence('{"error": {"message": "no such model"}}'), error_sentence('{"detail": "off"}')
    ('no such model', 'off')
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()[:MESSAGE_CHARS] or "(empty body)"
    found = body
    while isinstance(found, dict | list):
        parts = found[:1] if isinstance(found, list) else _parts(found)
        if not parts:
            return text.strip()[:MESSAGE_CHARS]
        found = parts[0]
    return str(found)[:MESSAGE_CHARS]


def _parts(body: dict[str, object]) -> list[object]:
    """OpenAI says error.message, FastAPI detail or detail[0].msg, others message or error."""
    return [body[name] for name in ("error", "message", "msg", "detail", "errors") if body.get(name)]
