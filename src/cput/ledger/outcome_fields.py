"""Reads the fields of one outcome in a file, and collects what is wrong with them."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from cput.errors import unknown
from cput.records import Source

_MILLISECONDS = 1e11  # as seconds, the year 5138
_SHOWN = 60
_MOST = 2**31


class Wrong(NamedTuple):
    """One thing to be changed in the file."""

    line: int
    """Number of the line, from 1."""
    field: str | None
    """Name of the field; None where the line itself is wrong."""
    message: str
    """The value and what is allowed."""

    def __str__(self) -> str:
        return f"line {self.line}: {f'{self.field}: ' if self.field else ''}{self.message}"


class Fields:
    """Reads the fields of one line and collects what is wrong with them. CSV gives every value as text."""

    def __init__(self, line: int, given: Mapping[str, Any]) -> None:
        self._line = line
        self._given = given
        self.wrong: list[Wrong] = []

    def text(self, name: str, *, needed: bool = False) -> str | None:
        """Return a text; a whole number is taken as one (an order number)."""
        value = self._given.get(name)
        if value is None or value == "":
            self._note_missing(name, "a text", needed=needed)
        elif isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        elif not isinstance(value, str):
            self._refuse(name, value, "a text")
        elif any("\ud800" <= letter <= "\udfff" for letter in value):
            self._refuse(name, value.encode("utf-8", "replace").decode(), "UTF-8")
        else:
            return value.strip()
        return None

    def source(self) -> Source | None:
        """Return who says so."""
        text = self.text("source", needed=True)
        if text is None or text in set(Source):
            return None if text is None else Source(text)
        self.wrong.append(Wrong(self._line, "source", str(unknown("source", text, list(Source)))))
        return None

    def share(self, name: str, *, needed: bool) -> float | None:
        """Return a number in 0..1; true is 1 and false is 0."""
        value = self._given.get(name)
        if value is None:
            self._note_missing(name, "0 (useless) to 1 (useful)", needed=needed)
            return None
        number = {"true": 1.0, "false": 0.0}.get(str(value).lower(), _number(value))
        if number is None or not 0 <= number <= 1:
            self._refuse(name, value, "0 (useless) to 1 (useful), or true or false")
            return None
        return number

    def moment(self, name: str) -> float | None:
        """Return Unix seconds."""
        value = self._given.get(name)
        if value is None:
            return None
        seconds = _number(value)
        if seconds is None and isinstance(value, str):
            seconds = unix_s(value)
        if seconds is not None and abs(seconds) < _MILLISECONDS:
            return seconds
        allowed = "Unix seconds, or a time such as 2026-11-03T09:30:00Z"
        self._refuse(name, value, allowed if seconds is None else "seconds, and these look like milliseconds")
        return None

    def count(self, name: str) -> int | None:
        """Return a whole number from 0 up."""
        value = self._given.get(name)
        number = _number(value)
        if number is not None and 0 <= number < _MOST and number == int(number):
            return int(number)
        if value is not None:
            self._refuse(name, value, "0, 1, 2, ...")
        return None

    def flag(self, name: str) -> bool:
        """Return true or false; false where it is missing."""
        value = self._given.get(name, False)
        if str(value).lower() not in {"true", "false"}:
            self._refuse(name, value, "true or false")
        return str(value).lower() == "true"

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a JSON object; an empty one where it is missing."""
        value = self._given.get(name, {})
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except (msgspec.DecodeError, UnicodeEncodeError):
                value = None
        if isinstance(value, dict):
            return value
        self._refuse(name, self._given[name], "a JSON object")
        return {}

    def _note_missing(self, name: str, allowed: str, *, needed: bool) -> None:
        if needed:
            self.wrong.append(Wrong(self._line, name, f"it is missing; allowed: {allowed}"))

    def _refuse(self, name: str, value: Any, allowed: str) -> None:
        self.wrong.append(Wrong(self._line, name, f"it is {short(value)}; allowed: {allowed}"))


def unix_s(text: str) -> float | None:
    """Return an ISO 8601 time as Unix seconds, UTC where it names no zone; None where it is none."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def short(value: Any) -> str:
    """Quote a value for a message; a long one is cut."""
    text = value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else str(value)
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}…'"
