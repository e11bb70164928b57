"""What is wrong with a workload's files: every problem has a file, a line and a field, and reading goes on."""

from dataclasses import dataclass, field
from typing import Any

from cput.rules import shown

_KINDS = {bool: "true/false", str: "text", int: "number", float: "number", list: "list", tuple: "list", dict: "object"}


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a workload."""

    file: str
    """Name of the file, as the user gave it or relative to the folder."""
    line: int | None = None
    """1-based line; None where the whole file is meant."""

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that must be changed before the workload can be used."""

    where: Where
    """File and line."""
    field: str | None
    """The field, dotted where nested; None where the line itself is wrong."""
    message: str
    """What is wrong: the value, shortened, and what is allowed."""

    def __str__(self) -> str:
        return f"{self.where}: {self.field}: {self.message}" if self.field else f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What ``validate`` found."""

    path: str
    """What was read."""
    problems: tuple[Problem, ...]
    """Every problem, in reading order."""
    items: int
    """Items read, the wrong ones included."""

    @property
    def ok(self) -> bool:
        """True where the workload can be used."""
        return not self.problems


@dataclass(slots=True)
class Problems:
    """Collects problems while files are read."""

    found: list[Problem] = field(default_factory=list)
    """In reading order."""

    def add(self, where: Where, field_name: str | None, message: str) -> None:
        """Write one down."""
        self.found.append(Problem(where, field_name, message))

    def wrong(self, where: Where, field_name: str, value: Any, allowed: str) -> None:
        """Write down a value that is not allowed."""
        self.add(where, field_name, wrong_value(value, allowed))


def wrong_value(value: Any, allowed: str) -> str:
    """Return the sentence for a value that is not allowed.

    >>> wrong_value(7, "a text")
    '7 is a number; allowed: a text'
    """
    return f"{shown(value)} is {_article(kind(value))}; allowed: {allowed}"


def kind(value: Any) -> str:
    """Return what a JSON or TOML value is, in a word.

    >>> kind(True), kind([]), kind(None)
    ('true/false', 'list', 'null')
    """
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def _article(word: str) -> str:
    if word in {"null", "true/false"}:
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
