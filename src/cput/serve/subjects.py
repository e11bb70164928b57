"""Whom a limit or a budget is about: ``key:ID``, ``tenant:NAME`` or ``model:NAME``."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Self

from cput.errors import InputError, unknown
from cput.ledger.store import Ledger
from cput.serve.keys import Key, checked_name, find


class Scope(StrEnum):
    """Which calls add up."""

    KEY = "key"
    TENANT = "tenant"
    MODEL = "model"


class Subject(NamedTuple):
    """Whom it is about; as text it is what the database has."""

    scope: Scope
    """Which calls add up: those of a key, of a tenant's keys together, or those that ask for a model."""
    name: str
    """The key's id, or the tenant's or the model's name."""

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"

    @classmethod
    def of(cls, stored: str) -> Self:
        """Return the subject that the database has as ``stored``."""
        scope, _, name = stored.partition(":")
        return cls(Scope(scope), name)


def subject(ledger: Ledger, text: str, allowed: Sequence[Scope] = tuple(Scope)) -> Subject:
    """Return the subject that a person wrote; a key may be named by its name too.

    Raises:
        InputError: when it is of another form, or there is no such key.
    """
    word, colon, name = text.strip().partition(":")
    forms = " or ".join(f"{scope}:{'NAME' if scope is not Scope.KEY else 'NAME-OR-ID'}" for scope in allowed)
    if not colon or not name:
        raise InputError(f"'{text}' does not say whom it is about; allowed: {forms}")
    if word not in set(allowed):
        raise unknown("subject", word, [str(scope) for scope in allowed])
    match Scope(word):
        case Scope.KEY:
            return Subject(Scope.KEY, find(ledger, name).id)
        case Scope.TENANT:
            return Subject(Scope.TENANT, checked_name(name, "tenant"))
        case Scope.MODEL:
            return Subject(Scope.MODEL, name)


def subjects_of(key: Key, model: str) -> tuple[str, str, str]:
    """Return all subjects, as the database has them, that a call of a key for a model is counted under."""
    return (str(Subject(Scope.KEY, key.id)), str(Subject(Scope.TENANT, key.tenant)), str(Subject(Scope.MODEL, model)))
