"""What can go wrong, as a tree.

CputError                  a sentence for a person; the command line prints it without a traceback
├── SetupError             the machine lacks something; the message ends with the command that fixes it
├── InputError             what the user wrote is wrong; the message names the value and what is allowed
└── EngineError            an engine could not answer a call
    ├── PromptTooLong      the prompt does not fit the engine's context or cache
    ├── Abstained          a student is not sure of its answer: ask another engine
    ├── EngineUnavailable  the engine's process or server is gone or does not answer
    └── UpstreamError      a remote server answered with an error
"""

import difflib
from collections.abc import Iterable


class CputError(Exception):
    """Base of every error that a user can act on."""


class SetupError(CputError):
    """The machine lacks something; the message says which command or file supplies it."""


class InputError(CputError):
    """A value given by the user is wrong; the message carries the value and what is allowed."""


class EngineError(CputError):
    """An engine could not answer a call.

    ``retryable`` is true where the same call may succeed if sent again unchanged; ``retry_after_s`` is in how many
    seconds, where that is known.
    """

    retryable = False
    retry_after_s: float | None = None


class PromptTooLong(EngineError):  # noqa: N818  # reads as the sentence it stands for
    """The prompt, or prompt plus answer, does not fit the engine."""


class Abstained(EngineError):  # noqa: N818
    """A student is not sure enough of its answer; what it would have said is on it, for the grounds of a policy."""

    def __init__(self, message: str, *, probability: float, threshold: float, label: str) -> None:
        super().__init__(message)
        self.probability = probability
        """How probable the student held its answer to be right, in [0, 1]."""
        self.threshold = threshold
        """What that was held against."""
        self.label = label
        """The answer it kept to itself."""


class EngineUnavailable(EngineError):  # noqa: N818
    """The engine's process or server is gone, refused the connection or timed out."""

    retryable = True


class UpstreamError(EngineError):
    """A remote server answered with an HTTP error; ``status`` is its code, ``body`` its text."""

    def __init__(self, message: str, *, status: int | None = None, body: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.retryable = status in {408, 409, 425, 429} or (status is not None and status >= 500)


def unknown(kind: str, value: str, allowed: Iterable[str]) -> InputError:
    """Return an InputError that names the unknown ``value``, the nearest allowed names, and all of them.

    >>> print(unknown("engine", "openvno", ["openvino", "openai"]))
    unknown engine 'openvno'; did you mean 'openvino'? Allowed: openai, openvino
    """
    names = sorted(set(allowed))
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    listing = ", ".join(names) if names else "none are installed"
    return InputError(f"unknown {kind} '{value}'{hint} Allowed: {listing}")
