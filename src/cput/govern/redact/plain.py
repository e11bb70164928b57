"""Texts as the recognizers read them: full-width digits and letters, and all kinds of dashes and spaces, as ASCII.

Every character stays one character, so that a place in the plain text is the same place in the text. Chinese
punctuation stays as it is.
"""

import re

_FULL_WIDTH = {
    wide: wide - 0xFEE0
    for wide in range(0xFF01, 0xFF5F)
    if chr(wide - 0xFEE0).isalnum() or chr(wide - 0xFEE0) in "+-./@_%="
}
_DIGITS = {
    zero + digit: ord("0") + digit
    for zero in (0x0660, 0x06F0)  # Arabic, Persian; beyond U+FFFF the search would take 15 times as long
    for digit in range(10)
}
_DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63, 0x00AD], ord("-"))
_SPACES = dict.fromkeys([0xA0, *range(0x2000, 0x200E), 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF], ord(" "))
_AS_ASCII = {chr(odd): chr(plain) for odd, plain in (_DIGITS | _FULL_WIDTH | _DASHES | _SPACES).items()}
_ODD = re.compile("[" + re.escape("".join(sorted(_AS_ASCII))) + "]")


def plain(text: str) -> str:
    """Return ``text`` in the same length, as recognizers read it; zero-width spaces count as spaces.

    >>> plain("１３８‑0013 ８０００，ＡＢ")
    '138-0013 8000，AB'
    """
    return text if text.isascii() else _ODD.sub(lambda match: _AS_ASCII[match[0]], text)
