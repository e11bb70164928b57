"""Bytes of a workload's file to numbered lines of text and to JSON objects; every fault is named and reading goes on.

A byte-order mark, CRLF and blank lines are tolerated. Lines end at LF only: U+2028 inside a text is text.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from cput.rules import shown
from cput.workloads.problems import Problems, Where

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Line(NamedTuple):
    """One non-blank line."""

    where: Where
    """File and 1-based line."""
    text: str
    """The line without its end."""


def read_bytes(path: Path, where: Where, problems: Problems) -> bytes | None:
    """Return the file's bytes without a byte-order mark; None, and a problem, where it cannot be read or is UTF-16."""
    try:
        content = path.read_bytes()
    except OSError as error:
        problems.add(where, None, f"cannot be read: {error.strerror or error}; allowed: a readable file")
        return None
    if content.startswith(_UTF16):
        problems.add(where, None, "is UTF-16 (its first two bytes say so); allowed: UTF-8. Save it again as UTF-8")
        return None
    return content.removeprefix(_BOM)


def decode(content: bytes, where: Where, offset: int, problems: Problems) -> str | None:
    """Return UTF-8 ``content`` as text; None and a problem for other bytes or a NUL (``offset``: its place)."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        problems.add(
            where, None, f"byte 0x{byte:02x} at offset {offset + error.start} is not UTF-8; allowed: UTF-8 text"
        )
        return None
    if "\0" in text:
        place = offset + content.index(0)
        problems.add(where, None, f"NUL byte at offset {place}; allowed: text without NUL")
        return None
    return text


def read_lines(path: Path, file: str, problems: Problems) -> Iterator[Line]:
    """Yield the non-blank lines that are UTF-8 text; name the others in ``problems``."""
    content = read_bytes(path, Where(file), problems)
    if content is None:
        return
    offset = path.stat().st_size - len(content)  # 3 where a byte-order mark was taken off
    for number, raw in enumerate(content.split(b"\n"), start=1):
        where = Where(file, number)
        text = decode(raw.removesuffix(b"\r"), where, offset, problems)
        if text is not None and text.strip():
            yield Line(where, text)
        offset += len(raw) + 1


def read_objects(path: Path, file: str, problems: Problems) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Yield each line's JSON object; name malformed lines in ``problems``."""
    for line in read_lines(path, file, problems):
        value = parse_json(line, problems)
        if isinstance(value, dict):
            yield line.where, value
        elif value is not None:
            problems.wrong(line.where, "line", value, 'one JSON object, e.g. {"prompt": "..."}')


def parse_json(line: Line, problems: Problems) -> Any:
    """Return the line's JSON value; None, and a problem, where it is malformed, repeats a key or holds NaN."""
    try:
        return json.loads(line.text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        rest = line.text[error.pos : error.pos + 30]
        problems.add(line.where, None, f"malformed JSON at column {error.colno}: {error.msg}; found {shown(rest)}")
    except RecursionError:
        problems.add(line.where, None, "malformed JSON: nested too deeply; allowed: some hundred levels")
    except ValueError as error:
        problems.add(line.where, None, f"malformed JSON: {error}")
    return None


def bad_text(text: str) -> str | None:
    r"""Return why ``text`` cannot be sent (a NUL or half a surrogate pair, from a ``\u`` escape), or None."""
    if "\0" in text:
        return f"NUL character at position {text.index(chr(0))}; allowed: text without NUL"
    half = _SURROGATE.search(text)
    if half:
        return f"half a surrogate pair (\\u{ord(half[0]):04x}) at position {half.start()}; allowed: whole characters"
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {shown(twice)} occurs twice in one object; allowed: once")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; allowed: a number or null")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"number {shown(text)} is too large; allowed: up to 1.8e308")
    return value
