"""What is personal in every country: e-mail and IP addresses; and US social security numbers."""

import ipaddress
import re
from collections.abc import Iterator

from cput.govern.redact.recognizer import Recognizer, Span, matching, said_before

_AT = re.compile(r"@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.)+(?:xn--[A-Za-z0-9\-]{2,59}|[A-Za-z]{2,24})")
_LOCAL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._%+\-]{0,63})\Z")
_IN_URL = re.compile(r"://[^\s/\"'<>]{0,256}:[^\s/\"'<>]{0,256}\Z")
"""The @ then ends a user and a password."""
_NOBODY = frozenset({"git", "hg", "svn"})
"""Users of a service's own, in addresses such as git@host:path."""
_IPV4 = re.compile(r"[0-9](?<![0-9.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9]|\.[0-9])", re.DOTALL)
_IPV6 = re.compile(r"[23Ff][0-9A-Fa-f]{3}:(?<![0-9A-Za-z:].{5})[0-9A-Fa-f:]{1,34}(?![0-9A-Za-z])", re.DOTALL)
_IP_WORDS = re.compile(
    r"(?:(?<![A-Za-z])ip(?:v4)?|地址|address)[\"']?[ ]?(?:是|为|is)?[ ]?[:：=]?[ ]?[\"']?\Z", re.IGNORECASE
)
_VERSION_WORDS = re.compile(r"(?:(?<![A-Za-z])v|version|版本|==|~=|>=|<=)[号]?[ :：=]{0,2}\Z", re.IGNORECASE)
_SSN = re.compile(r"(?<![0-9\-])([0-9]{3})([ \-]?)([0-9]{2})\2([0-9]{4})(?![0-9]|-[0-9])")
_SSN_WORDS = re.compile(
    r"(?:(?<![A-Za-z])ssn|social security(?: number| no\.?)?)[\"']?[ ]?(?:is)?[ ]?[:#=]?[ ]?[\"']?\Z", re.IGNORECASE
)
_ADVERTISED = frozenset({"078051120", "219099999"})
"""Printed in advertisements; the Social Security Administration gave them up."""


def _emails(text: str, begin: int, end: int) -> Iterator[Span]:
    """Find the @ first and look back from it: a long run of letters is then read once."""
    first = begin
    while (match := _AT.search(text, begin, end)) is not None:
        local = _LOCAL.search(text, max(first, match.start() - 64), match.start())
        begin = match.end()
        if local is None or local[0] in _NOBODY:
            continue
        if not _IN_URL.search(text, max(first, local.start() - 320), local.start()):
            yield local.start(), match.end()
        first = match.end()


def _is_ipv4(match: re.Match[str]) -> bool:
    """Whether it is an address of somebody. Four small numbers are more often a version or a chapter."""
    text, start = match.string, match.start()
    parts = [int(part) for part in match[0].split(".")]
    if max(parts) > 255 or any(len(part) > 1 and part[0] == "0" for part in match[0].split(".")):
        return False
    if parts[0] in {0, 127} or parts == [255] * 4 or said_before(text, start, _VERSION_WORDS):
        return False
    return max(parts) > 9 or said_before(text, start, _IP_WORDS)


def _is_ipv6(match: re.Match[str]) -> bool:
    """Whether it is somebody's: global (2000::/3), unique local (fc00::/7) or link-local (fe80::/10)."""
    try:
        address = ipaddress.IPv6Address(match[0])
    except ValueError:
        return False
    return match[0][0] in "23" or address.is_private or address.is_link_local


def _is_ssn(match: re.Match[str]) -> bool:
    area, between, group, serial = match[1], match[2], match[3], match[4]
    if area in {"000", "666"} or area[0] == "9" or group == "00" or serial == "0000":
        return False
    if area + group + serial in _ADVERTISED:
        return False
    return between == "-" or said_before(match.string, match.start(), _SSN_WORDS)


_ipv4 = matching(_IPV4, _is_ipv4, overlapping=True)
_ipv6 = matching(_IPV6, _is_ipv6, overlapping=True)
RECOGNIZERS = (
    Recognizer(entity="EMAIL_ADDRESS", spans=_emails, score=0.95, needs=("@",), canonical=str.lower),
    Recognizer(
        entity="IP_ADDRESS", spans=matching(_IPV4, _is_ipv4, overlapping=True), score=0.7, needs=(".",), canonical=str
    ),
    Recognizer(
        entity="IP_ADDRESS",
        spans=matching(_IPV6, _is_ipv6, overlapping=True),
        score=0.8,
        needs=(":",),
        canonical=str.lower,
    ),
    Recognizer(entity="US_SSN", spans=matching(_SSN, _is_ssn, overlapping=True), score=0.8, long_number=True),
)
