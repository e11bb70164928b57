"""Whose fault an error is: that decides whether a call is sent again, goes to another engine, or rests an upstream.

docs/design/failure.md has the same rules as one table.
"""

from collections.abc import Sequence
from enum import Enum

from cput.engines.retry import Stalled, Throttled
from cput.errors import Abstained, EngineError, EngineUnavailable, InputError, PromptTooLong, UpstreamError


class Blame(Enum):
    """Whose fault it is that a leg failed."""

    CALLER = "caller"
    """The request itself is wrong: every engine would say so."""
    FIT = "fit"
    """This engine won't do it for us now (a limit, a model it lacks, our credentials). It is well; another may."""
    UPSTREAM = "upstream"
    """The engine is ill: gone, silent, or failing."""


class Unsuited(InputError):  # noqa: N818  # reads as the sentence it stands for
    """This engine has no way to do what was asked; another one may have."""


class Rested(EngineUnavailable):
    """An upstream that failed too often is not asked for a while; nothing was sent. Whoever waits may ask it."""

    retryable = False

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


FIT = frozenset({401, 402, 403, 404, 409, 425, 429})
"""Statuses that speak about our standing with one server: its keys, its limits, its models."""
SENT_TO_THE_WRONG_PLACE = frozenset({501, 505})
"""Statuses above 499 that speak about the request."""


def blame(error: Exception) -> Blame:
    """Return whose fault an engine's error is."""
    match error:
        case Unsuited() | Abstained():
            return Blame.FIT
        case InputError() | PromptTooLong():
            return Blame.CALLER
        case UpstreamError(status=int() as status) if status in FIT:
            return Blame.FIT
        case UpstreamError(status=int() as status) if status != 408 and (
            status < 500 or status in SENT_TO_THE_WRONG_PLACE
        ):
            return Blame.CALLER
        case _:
            return Blame.UPSTREAM


def kind_of(error: Exception) -> str:
    """Return what went wrong in a word or two. An error's own sentence may quote one caller, and is not for others.

    >>> kind_of(UpstreamError("http://a/v1 answered 500: no 'secret' here", status=500))
    'status 500'
    """
    match error:
        case UpstreamError(status=int() as status):
            return f"status {status}"
        case Abstained():
            return "not sure of its answer"
        case Stalled():
            return "no answer in time"
        case EngineUnavailable():
            return "no connection, or a broken one"
        case _:
            return "an answer that is none"


def together(failed: Sequence[tuple[str, Exception]]) -> Exception:
    """Return one error for several engines that failed in turn, by name, with what each of them said.

    The last one that may go well later gives it its kind, and else the last one: a client is not told that its request
    is wrong because the engine that would have taken it was down. The least wait of all is the wait.
    """
    if len(failed) == 1:
        return failed[0][1]
    errors = [error for _, error in failed]
    waits = [error.retry_after_s for error in errors if isinstance(error, EngineError) and error.retry_after_s]
    last = next((error for error in reversed(errors) if _passes(error)), errors[-1])
    message = f"none of {len(failed)} upstreams answered: " + "; ".join(f"{name}: {error}" for name, error in failed)
    if isinstance(last, UpstreamError):
        if waits and last.status in {429, 503}:
            return Throttled(message, status=last.status, body=last.body, retry_after_s=min(waits))
        return UpstreamError(message, status=last.status, body=last.body)
    if isinstance(last, EngineUnavailable):
        return Rested(message, retry_after_s=min(waits)) if waits else EngineUnavailable(message)
    return last


def _passes(error: Exception) -> bool:
    return isinstance(error, EngineError) and (error.retryable or blame(error) is Blame.UPSTREAM)
