"""Numbers, dates and times in one spelling each: "1,000" and "1k" are 1000, "two" and 二 are 2, 3 pm is 15:00.

    spelt("on march 5th, 2024 at 3pm", "en", lambda found: f"<{found}>")      # "on <2024-03-05> at <15:00>"

What is not certain (3/5/2024, 1.5.2024, 5m) is left as it stands, and is then equal to itself alone.
"""

import re
from collections.abc import Callable
from decimal import Decimal

from cput.policy.cache.characters import Language

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october")
MONTHS = {name: at for at, name in enumerate((*_MONTHS, "november", "december"), 1)}
MONTHS |= {name[:3]: at for name, at in MONTHS.items()} | {"sept": 9}
_MONTH = "|".join(sorted((name for name in MONTHS if name != "may"), key=len, reverse=True)) + "|may"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
UNITS = {word: at for at, word in enumerate(_SMALL.split())}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth"
TENS = {word: at * 10 for at, word in enumerate(_TENS.split(), 2)}
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
ORDINALS = {word: at for at, word in enumerate(_ORDINALS.split(), 1)}
_WORD = "|".join([*UNITS, *TENS, *SCALES])
_WORDS = re.compile(rf"\b(?:{_WORD})(?:(?:\s+and\s+|\s+|-)(?:{_WORD}))*\b")
_FIGURES = re.compile(
    r"(?<![\w.,])(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)\s?(k|bn|thousand|million|billion)?(?![\w]|[.,]\d)"
)
_SUFFIX = {"k": 1000, "bn": 10**9, **SCALES}
_ZH = {**{sign: at for at, sign in enumerate("零一二三四五六七八九")}, "两": 2, "〇": 0}
_ZH_SCALE = {"十": 10, "百": 100, "千": 1000}
_ZH_LARGE = {"万": 10_000, "亿": 100_000_000}
_ZH_RUN = re.compile("[零〇一二两三四五六七八九十百千万亿]+")
_ZH_MIXED = re.compile(r"(\d+(?:\.\d+)?)([千万亿])")


Keep = Callable[[str], str]
"""Takes an amount in its one spelling, and returns what stands for it in the text."""


def spelt(text: str, language: Language, keep: Keep) -> str:
    """Return a text in lower case with what ``keep`` returns for each number, date and time."""
    return _chinese(text, keep) if language == "zh" else _english(text, keep)


def plain(value: Decimal) -> str:
    """Return a number without trailing zeros and without an exponent.

    >>> plain(Decimal("1000.50")), plain(Decimal("1E+3"))
    ('1000.5', '1000')
    """
    shown = f"{value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _english(text: str, keep: Keep) -> str:
    text = re.sub(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b", lambda m: keep(_date(m[1], m[2], m[3])), text)
    text = re.sub(rf"\b({_MONTH})\.? {_DAY}(?:,? (\d{{4}}))?\b", lambda m: keep(_date(m[3], MONTHS[m[1]], m[2])), text)
    text = re.sub(
        rf"\b{_DAY} (?:of )?({_MONTH})(?:,? (\d{{4}}))?\b", lambda m: keep(_date(m[3], MONTHS[m[2]], m[1])), text
    )
    text = re.sub(r"\b(\d{1,2})(?::(\d{2}))?\s?([ap])\.?m\b\.?", lambda m: _clock(m, keep), text)
    text = re.sub(r"\b(\d{1,2}):(\d{2})\b", lambda m: keep(f"{int(m[1]):02d}:{m[2]}"), text)
    text = re.sub(r"\b(\d+)(?:st|nd|rd|th)\b", lambda m: keep(f"no {m[1]}"), text)
    text = re.sub(rf"\b(?:{'|'.join(ORDINALS)})\b", lambda m: keep(f"no {ORDINALS[m[0]]}"), text)
    text = _WORDS.sub(lambda m: f" {_value(m[0])} ", text)
    return _FIGURES.sub(lambda m: keep(plain(Decimal(m[1].replace(",", "")) * _SUFFIX.get(m[2] or "", 1))), text)


def _value(words: str) -> str:
    total, part = 0, 0
    for word in re.findall(r"[a-z]+", words):
        if word == "hundred":
            part = (part or 1) * 100
        elif word in SCALES:
            total, part = total + (part or 1) * SCALES[word], 0
        elif word != "and":
            small = UNITS.get(word, TENS.get(word, 0))
            if part % 100 and (word in TENS or small > 9 or part % 10 or part % 100 < 20):
                return words.replace(" ", "_")  # "two three": no number
            part += small
    return str(total + part)


def _date(year: str | None, month: str | int, day: str | int) -> str:
    return f"{year or ''}-{int(month):02d}-{int(day):02d}"


def _clock(match: re.Match[str], keep: Keep) -> str:
    hour = int(match[1])
    if not 1 <= hour <= 12:
        return match[0].replace(" ", "_")
    return keep(f"{hour % 12 + (12 if match[3] == 'p' else 0):02d}:{match[2] or '00'}")


def _chinese(text: str, keep: Keep) -> str:
    text = _ZH_MIXED.sub(lambda m: plain(Decimal(m[1]) * (_ZH_LARGE | _ZH_SCALE)[m[2]]), text)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = _ZH_RUN.sub(lambda m: _zh_value(m[0]), text)
    text = re.sub(r"(?:(\d{4})年)?(\d{1,2})月(\d{1,2})[日号]", lambda m: keep(_date(m[1], m[2], m[3])), text)
    text = re.sub(r"(?<!\d)(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)", lambda m: keep(_date(m[1], m[2], m[3])), text)
    text = re.sub(
        r"(上午|早上|下午|晚上|中午)?(\d{1,2})[点时](?:(\d{1,2})分|(半))?", lambda m: _zh_clock(m, keep), text
    )
    return re.sub(r"(?<![\d.])\d+(?:\.\d+)?(?!\.?\d)", lambda m: keep(plain(Decimal(m[0]))), text)


def _zh_clock(match: re.Match[str], keep: Keep) -> str:
    hour, minutes = int(match[2]), "30" if match[4] else f"{int(match[3] or 0):02d}"
    if match[1] in {"下午", "晚上"} and hour < 12:
        hour += 12
    return keep(f"{hour:02d}:{minutes}")


def _zh_value(run: str) -> str:
    """Return a run of Chinese digits as figures; what is no number stays as it is."""
    if len(run) > 1 and (run[-1] in _ZH and run[-2] in "百千万亿"):
        return run  # 一千五: 1500 to some, and 1005 to nobody
    if not set(run) & {*_ZH_SCALE, *_ZH_LARGE}:
        if "两" in run and len(run) > 1:
            return run
        return "".join(str(_ZH[sign]) for sign in run)
    total, part, digit = 0, 0, None
    for sign in run:
        if sign in _ZH:
            if digit not in {None, 0}:
                return run
            digit = _ZH[sign]
        elif sign in _ZH_SCALE:
            part, digit = part + (1 if digit is None else digit) * _ZH_SCALE[sign], None
        else:
            total, part, digit = (total + part + (digit or 0)) * _ZH_LARGE[sign], 0, None
            if not total:
                return run
    return str(total + part + (digit or 0))
