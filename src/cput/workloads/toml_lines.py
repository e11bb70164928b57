"""Where each key of a TOML text stands. ``tomllib`` gives values without places; messages need both."""

import re
from collections import Counter

_TABLE = re.compile(r"^\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_FENCE = re.compile(r'"""|' + r"'''")


def line_numbers(text: str) -> dict[str, int]:
    r"""Return the 1-based line of every dotted key and table; the n-th ``[[items]]`` is ``items[n]``, from 0.

    >>> line_numbers('name = "a"\n[slo]\nttft_s = 1')
    {'name': 1, 'slo': 2, 'slo.ttft_s': 3}
    """
    found: dict[str, int] = {}
    seen: Counter[str] = Counter()
    prefix, fence = "", ""
    for number, line in enumerate(text.split("\n"), start=1):
        inside = bool(fence)
        for mark in _FENCE.findall(line):
            fence = "" if fence == mark else fence or mark
        if inside:
            continue  # the middle of a multi-line text is not a key
        table, key = _TABLE.match(line), _KEY.match(line)
        if table:
            name = _dotted(table[2])
            if table[1] == "[[":
                seen[name] += 1
                name = f"{name}[{seen[name] - 1}]"
            prefix = f"{name}."
            found.setdefault(name, number)
        elif key:
            found.setdefault(prefix + _dotted(key[1]), number)
    return found


def _dotted(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))
