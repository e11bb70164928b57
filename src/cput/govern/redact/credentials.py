"""Secrets: API keys by how their issuers write them, tokens in headers, JWTs, private keys, passwords in URLs.

A password in prose ("the password is ...") has no shape, and is not looked for.
"""

import re
from collections.abc import Iterator

from cput.govern.redact.recognizer import Recognizer, Span, matching

_BEFORE = r"(?<![A-Za-z0-9_])"
_KEYS = re.compile(
    _BEFORE + r"(?:"
    r"(?:sk|rk|pk)[-_][A-Za-z0-9_\-]{16,}"  # OpenAI, Anthropic, DeepSeek, Stripe, our own sk-cput-
    r"|A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|(?:LTAI|AKID|AKLT)[A-Za-z0-9]{12,}"  # Alibaba Cloud, Tencent Cloud, Volcengine
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_\-]{16,}"
    r"|xox[abeprs]-[A-Za-z0-9\-]{10,}|AIza[A-Za-z0-9_\-]{30,}|SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"
    r"|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_\-]{32,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}"
    r"|nvapi-[A-Za-z0-9_\-]{20,}|r8_[A-Za-z0-9]{20,}"
    r")"
)
_KEYS_BEGIN = (
    *("sk-", "sk_", "rk-", "rk_", "pk-", "pk_", "AKIA", "ASIA", "ABIA", "ACCA", "LTAI", "AKID", "AKLT", "ghp_", "gho_"),
    *("ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "AIza", "SG.", "hf_", "npm_", "pypi-", "gsk_", "xai-"),
    *("nvapi-", "r8_"),
)
_KEY_NAMES = ("api_key", "api-key", "apikey", "apiKey", "ApiKey", "Api-Key", "API_KEY", "API-KEY", "APIKEY")
_JWT = re.compile(_BEFORE + r"eyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){0,3}\.[A-Za-z0-9_\-]+")
_HEADER = re.compile(
    r"(?:(?<![A-Za-z])bearer\s+|authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:[a-z]{1,16}\s+)?"
    r"|api[_\-]?key[\"']?\s{0,3}[:=]\s{0,3}[\"']?)([A-Za-z0-9._~+/\-]{12,}={0,2})",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"://([^\s/\"'<>:@]{0,256}:[^\s/\"'<>]{1,256})@")
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(r"(?:[A-Za-z0-9+/=\s]|\\[nr])*")


def private_keys(text: str) -> Iterator[Span]:
    """Yield private keys in PEM (RFC 7468), the one that breaks off before its end included."""
    begin = text.find("-----BEGIN ")
    while begin >= 0:
        head = _BEGIN.match(text, begin)
        if head is None:
            begin = text.find("-----BEGIN ", begin + 1)
            continue
        further = text.find("-----BEGIN ", head.end())
        end = _END.search(text, head.end(), further if further >= 0 else len(text))
        body = _BODY.match(text, head.end())
        assert body is not None, "the pattern matches nothing as well"
        until = body.end() if end is None else end.end()
        yield begin, until
        begin = text.find("-----BEGIN ", until)


def _has_digit(match: re.Match[str]) -> bool:
    """Whether it is a key and no hyphenated words: sk-learn-compatible-estimators."""
    return any(char.isdigit() for char in match[0])


def _token_has_digit(match: re.Match[str]) -> bool:
    return any(char.isdigit() for char in match[1])


RECOGNIZERS = (
    Recognizer(entity="API_KEY", spans=matching(_KEYS, _has_digit), score=0.9, needs=_KEYS_BEGIN, canonical=str),
    Recognizer(entity="ACCESS_TOKEN", spans=matching(_JWT), score=0.9, needs=("eyJ",), canonical=str),
    Recognizer(
        entity="ACCESS_TOKEN",
        spans=matching(_HEADER, _token_has_digit, group=1),
        score=0.6,
        needs=("earer ", "EARER ", "uthorization", "UTHORIZATION", *_KEY_NAMES),
        canonical=str,
    ),
    Recognizer(entity="URL_CREDENTIALS", spans=matching(_IN_URL, group=1), score=0.9, needs=("://",), canonical=str),
)
