"""Which characters a text may have to be compared with another one, and in which language it is then read.

A text of anything else is never answered by what another text was answered: what can't be read can't be compared.
Zero-width and direction marks, letters of a second alphabet that look like the first, digits in circles, superscripts
and in mathematical bold are all refused, and with them whole languages that the guard does not know.
"""

import unicodedata
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
_HAN = (("\u4e00", "\u9fff"), ("\u3400", "\u4dbf"))
_PUNCTUATION = {
    **dict.fromkeys("‘’ʼ", "'"),
    **dict.fromkeys("“”「」『』《》", '"'),
    **dict.fromkeys("–—−", "-"),
    "。": ".",
    "、": ",",
    "…": "...",
    "\u3000": " ",
    "\u00a0": " ",
    "【": "(",
    "】": ")",
}
_MONEY = set("€£¥¢")


def readable(text: str) -> tuple[str, Language] | None:
    """Return a text with the punctuation of one alphabet, and its language; None where it can't be compared.

    >>> readable("Turn on 2FA!"), readable("打开２个灯"), readable("turn o\u200bn"), readable("2²")
    (('Turn on 2FA!', 'en'), ('打开2个灯', 'zh'), None, None)
    """
    said = "".join(map(_plain, unicodedata.normalize("NFC", text)))
    if not all(map(_is_known, said)):
        return None
    if any(map(is_han, said)):
        return said, "zh"
    return (said, "en") if any("a" <= each <= "z" for each in said.lower()) else None


def is_han(character: str) -> bool:
    """Whether a character is a Chinese one."""
    return any(first <= character <= last for first, last in _HAN)


def _plain(character: str) -> str:
    """Return a full-width form, or a mark of Chinese or typeset text, as the ASCII character that it stands for."""
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    return _PUNCTUATION.get(character, character)


def _is_known(character: str) -> bool:
    if character.isascii():
        return character.isprintable() or character in "\n\t"
    if is_han(character) or character in _MONEY:
        return True
    # é and ü, and no others: Latin letters that are what they look like
    return "\u00c0" <= character <= "\u017f" and character.isalpha() and character not in "ıĸſŉ"
