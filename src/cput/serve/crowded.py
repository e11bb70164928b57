"""How many values a JSON text holds, counted before it is parsed.

A body of 16 MiB may hold a picture, and then it is a few values; as ``[],[],[],...`` it is millions. Parsing those took
9 s and 480 MB on the machine of this file's test, and for so long a server of one thread answers nobody.
"""

CONTAINERS, VALUES = 100_000, 1_000_000
"""Most objects and lists, and most values: a conversation has thousands, a prompt of token ids up to a million."""


def is_crowded(text: bytes) -> bool:
    """Return whether a JSON text holds more containers or values than are allowed.

    >>> is_crowded(b'["a,b", {}]'), is_crowded(b"[" + b"[]," * 200_000 + b"0]")
    (False, True)
    """
    return _is_above(text) and _is_above_outside_strings(text)


def _is_above(text: bytes) -> bool:
    return text.count(b"{") + text.count(b"[") > CONTAINERS or text.count(b",") > VALUES


def _is_above_outside_strings(text: bytes) -> bool:
    """The same without what stands in strings: a prompt may be full of brackets."""
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 2 * VALUES:
        return True
    return _is_above(b'"'.join(plain.split(b'"')[::2]))
