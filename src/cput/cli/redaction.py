"""The redactor that ``cput serve --redact`` asks for."""

import os
from typing import Protocol

from rich.console import Console

from cput.errors import InputError
from cput.govern.redact.redactor import KEY_ENV, Finder, Redactor, key_from_environment

SECRETS_IN = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "CPUT_ADMIN_TOKEN", KEY_ENV)
"""Environment variables whose values are struck out wherever they turn up."""


class Asked(Protocol):
    """What is asked for."""

    @property
    def redact(self) -> bool:
        """``--redact``."""
        ...

    @property
    def presidio(self) -> bool:
        """``--presidio``."""
        ...

    @property
    def with_text(self) -> bool:
        """``--keep-text``, or ``--trace-content``."""
        ...

    @property
    def api_key_env(self) -> str:
        """``--api-key-env``."""
        ...


def redactor(asked: Asked) -> Redactor | None:
    """Return it, or None where none is asked for.

    Raises:
        InputError: ``--presidio`` without what it works on, or a key for pseudonyms that is too short.
        SetupError: presidio is not installed.
    """
    if asked.presidio and not asked.redact:
        raise InputError("--presidio looks for more of what is redacted, and nothing is; add --redact")
    if asked.presidio and not asked.with_text:
        raise InputError("--presidio looks through prompts and answers, and they are not kept; add --keep-text")
    if not asked.redact:
        return None
    secrets = [os.environ.get(name, "").strip() for name in (asked.api_key_env, *SECRETS_IN)]
    return Redactor(secrets=secrets, key=key_from_environment(), finders=_finders() if asked.presidio else ())


def _finders() -> list[Finder]:
    from cput.govern.redact.presidio import Presidio

    presidio = Presidio()
    whose = ", ".join(presidio.pipelines.values()) or "no spaCy pipeline is installed, so that no names are found"
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"cput: redacting with presidio: {whose}", markup=False)
    return [presidio]
