"""How large a JSON schema may be that an embedded engine is to follow.

The engine compiles a schema into a grammar before anybody's next token. That time grows with the square of an object's
optional properties: 200 took 1 s, 500 took 7 s, and 2,000 kept every other call waiting for more than 75 s. It grows
with what is to be counted as well: a ``maxLength`` of a million took 20 s (2 cores that others used too).
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cput.serve.fault import BadRequest

SCHEMA_BYTES = 64 << 10
PROPERTIES_SQUARED = 200 * 200
"""Most of the squares of the objects' numbers of properties together."""
COUNTED = 50_000
"""Most of what is to be counted: lengths of texts, and repetitions in patterns, nested ones multiplied."""
_REPEATED = re.compile(r"\{(\d*)(?:,(\d*))?\}")


def require_small(schema: Mapping[str, Any], field: str) -> None:
    """Raise BadRequest where following a schema would hold everybody up."""
    size = len(msgspec.json.encode(schema))
    if size > SCHEMA_BYTES:
        sentence = f"'{field}' has {size:,} bytes; allowed here: {SCHEMA_BYTES:,}"
        raise BadRequest(sentence, param=field, code="schema_too_large")
    objects = list(_objects(schema))
    squared = sum(len(names) ** 2 for each in objects if isinstance(names := each.get("properties"), Mapping))
    if squared > PROPERTIES_SQUARED:
        sentence = (
            f"'{field}' has objects with so many properties that the squares of their numbers add up to {squared:,}; "
            f"allowed here: {PROPERTIES_SQUARED:,}, such as one object with 200 properties"
        )
        raise BadRequest(sentence, param=field, code="schema_too_large")
    if sum(_counted(each) for each in objects) > COUNTED:
        sentence = f"'{field}' wants more counted than {COUNTED:,} characters and repetitions, which is the most here"
        raise BadRequest(sentence, param=field, code="schema_too_large")


def _objects(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object in a schema, itself first; the body's depth bounds how deep they are."""
    if isinstance(part, Mapping):
        yield part
    for each in part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ():
        yield from _objects(each)


def _counted(part: Mapping[str, Any]) -> float:
    lengths = [part.get(name) for name in ("minLength", "maxLength")]
    longest = max((length for length in lengths if isinstance(length, int)), default=0)
    named = part.get("patternProperties")
    patterns = [part.get("pattern"), *(named if isinstance(named, Mapping) else ())]
    return longest + sum(_repetitions(pattern) for pattern in patterns if isinstance(pattern, str))


def _repetitions(pattern: str) -> float:
    """Return how often a pattern repeats at most, as if all its repetitions stood inside one another."""
    found = [max(int(bound[:9] or 0) for bound in bounds) for bounds in _REPEATED.findall(pattern)]
    return math.prod(float(max(1, most)) for most in found) if found else 0.0
