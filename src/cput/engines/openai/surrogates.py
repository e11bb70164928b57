r"""Escaped halves of characters in JSON, as some servers send them when a token ends inside an emoji.

JSON may write a character beyond the first 65,536 as two escapes, ``\ud83d\ude00``. One of them alone is no character,
no UTF-8 can hold it, and whatever is made of it later fails. It becomes U+FFFD, as an invalid byte would.
"""

import re

_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


def whole_characters(data: bytes) -> bytes:
    r"""Return JSON with every lone half replaced.

    >>> whole_characters(rb'"\ud83d\ude00 \ud83d \\ud83d"')
    b'"\\ud83d\\ude00 \\ufffd \\\\ud83d"'
    """
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match[1] else match[0], data)
