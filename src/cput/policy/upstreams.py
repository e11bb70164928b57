"""A gateway file: the upstreams behind ``cput serve gateway.toml``, in order of preference, as TOML.

[[upstreams]]
name = "near"
url = "http://10.0.0.5:8000/v1"
first_token_s = 10

[[upstreams]]
name = "hosted"
url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"

[hedge]
most = 0.05

[cache]
ttl_s = 3600

[models."gpt-4o-mini"]
upstreams = ["near", "hosted"]
names = { near = "qwen2.5-7b-instruct" }

Keys never stand in it, only the names of the environment variables that hold them. Without ``[models]`` every model is
asked of every upstream; ``[models."*"]`` is for all that are not named.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cput.errors import InputError, unknown
from cput.policy.policy import STOPS
from cput.rules import FILLED, FLAG, NOT_NEGATIVE, POSITIVE, SHARE, TABLE, TEXTS, Rule, is_integer, is_number, shown

EVERY = "*"
"""The route of every model that has none of its own."""
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_COUNT = Rule(lambda value: is_integer(value) and value >= 1, "a whole number of 1 or more")
_QUANTILE = Rule(lambda value: is_number(value) and 0 < value < 1, "a number between 0 and 1")
_LABEL = Rule(
    lambda value: isinstance(value, str) and bool(_NAME.match(value)),
    "1 to 64 letters, digits, dots, dashes and underscores, the first a letter or a digit",
)
_BREAKER = Rule(lambda value: value is False or isinstance(value, dict), "false, or a table of failures, within_s, ...")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRule:
    """When an upstream is left alone; see ``Circuit``."""

    failures: int = 5
    """Legs that must fail."""
    within_s: float = 30.0
    """In so many seconds."""
    share: float = 0.5
    """And that share of all that ended in that time."""
    open_s: float = 15.0
    """Seconds until it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One upstream: an OpenAI-compatible endpoint, or a model on this machine."""

    name: str
    """What it is called in the ledger, in metrics and in errors."""
    url: str | None = None
    """Up to and including ``/v1``; None is the embedded engine."""
    model: str | None = None
    """The one model that is asked of it, whatever the client names; None passes the client's name on. Without ``url``
    a name in the model store, or a model folder."""
    precision: str = "f16"
    """Weights of an embedded model: f16, int8 or int4."""
    concurrency: int = 32
    """Most calls in an embedded model's batch at once."""
    api_key_env: str | None = None
    """Environment variable with its key; None sends none."""
    provider: str | None = None
    """Who bills it, as price files and genai-prices spell it; None reads it from the URL."""
    connect_s: float = 10.0
    """Most seconds to connect."""
    head_s: float | None = None
    """Most seconds from sending to the response's head; None leaves it to ``first_token_s``."""
    first_token_s: float = 300.0
    """Most seconds from sending to the first event of an answer."""
    idle_s: float = 60.0
    """Most seconds between two signs of life after that."""
    whole_s: float = 600.0
    """Most seconds from sending to the end of an answer that is not streamed, in place of the three above."""
    always_stream: bool = False
    """Ask for a stream also where the client wants a whole answer. Then a stall is noticed after ``idle_s``, its first
    token is timed, and what a client that hangs up has used is known; it costs time for every piece."""
    total_s: float | None = None
    """Most seconds for a whole answer; None is no bound."""
    attempts: int = 2
    """Most legs of a call here, before the next upstream is asked."""
    backoff_s: float = 0.25
    """The pause before the second leg is drawn from 0 to this, and doubles; see ``Retried``."""
    max_wait_s: float = 2.0
    """Whoever asks for a longer pause (``Retry-After``) is not waited for."""
    retry_share: float = 0.2
    """Most retries, as a share of the calls; see ``Budget``."""
    breaker: BreakerRule | None = field(default_factory=BreakerRule)
    """When it is left alone; None is never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeRule:
    """When the next upstream is asked too."""

    after_s: float | None = None
    """Seconds without a first piece; None takes ``quantile``."""
    quantile: float = 0.95
    """Of the times to first piece seen lately on this route."""
    most: float = 0.05
    """Most hedges, as a share of the calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """Which answers are given again; see docs/design/cache.md."""

    exact: bool = True
    """False is no cache."""
    semantic: str | None = None
    """Embedding model of the semantic cache, all-minilm-l6-v2 or wordllama-256 or one's own; None is none."""
    rate: str | None = None
    """What this machine costs, such as 0.08/h: what the embeddings are charged by. Needed with ``semantic``."""
    ttl_s: float = 86_400.0
    """Seconds that an answer may be given again."""
    max_bytes: int = 256 << 20
    """Most bytes of all answers together."""
    file: str | None = None
    """An SQLite file that survives restarts and is shared by processes; None keeps them in memory."""
    threshold: float | None = None
    """Least similarity of a semantic hit, not below the fitted one; None is the fitted one."""
    certificate: str | None = None
    """A certificate of ``cput.policy.cache.fit`` on one's own pairs; None is the one that ships."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who is asked for a model."""

    upstreams: tuple[str, ...]
    """Names in order of preference."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the model is called at an upstream, where that differs."""
    stop: str | None = None
    """The upstreams are asked in turn until an answer stands: by a check, or by its confidence. None: the next one is
    asked where one fails."""
    threshold: float | None = None
    """The confidence from which an answer stands."""
    workload: str | None = None
    """Whose check judges answers."""
    router: str | None = None
    """Folder of a fitted router, by which one upstream is chosen from the request; its engines bear their names."""
    at_least: float | None = None
    """The router takes the cheapest upstream that is expected to be this useful (0 to 1), the best where none is."""
    worth_per_usd: float | None = None
    """The router takes the most useful upstream less this much usefulness for each dollar that it costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFile:
    """What a gateway file says."""

    upstreams: Mapping[str, Upstream]
    """By name, in their order."""
    routes: Mapping[str, Route]
    """By model; ``*`` is for all others."""
    hedge: HedgeRule | None = None
    """None hedges nothing."""
    cache: CacheRule | None = None
    """None gives no answer again."""

    def route(self, model: str) -> Route | None:
        """Return who is asked for a model; None where it is not served."""
        return self.routes.get(model) or self.routes.get(EVERY)


_UPSTREAM = {
    "name": _LABEL,
    "url": FILLED,
    "model": FILLED,
    "precision": FILLED,
    "concurrency": _COUNT,
    "api_key_env": FILLED,
    "provider": FILLED,
    "connect_s": POSITIVE,
    "head_s": POSITIVE,
    "whole_s": POSITIVE,
    "always_stream": FLAG,
    "first_token_s": POSITIVE,
    "idle_s": POSITIVE,
    "total_s": POSITIVE,
    "attempts": _COUNT,
    "backoff_s": NOT_NEGATIVE,
    "max_wait_s": NOT_NEGATIVE,
    "retry_share": SHARE,
    "breaker": _BREAKER,
}
_RULE_OF_BREAKER = {"failures": _COUNT, "within_s": POSITIVE, "share": SHARE, "open_s": POSITIVE}
_HEDGE = {"after_s": NOT_NEGATIVE, "quantile": _QUANTILE, "most": SHARE}
_ROUTE = {
    "upstreams": TEXTS,
    "names": TABLE,
    "stop": FILLED,
    "threshold": SHARE,
    "workload": FILLED,
    "router": FILLED,
    "at_least": SHARE,
    "worth_per_usd": NOT_NEGATIVE,
}
_CACHE = {
    "exact": FLAG,
    "semantic": FILLED,
    "rate": FILLED,
    "ttl_s": POSITIVE,
    "max_bytes": Rule(
        lambda value: is_integer(value) and value >= 1 << 20, "a whole number of 1048576 (1 MiB) or more"
    ),
    "file": FILLED,
    "threshold": SHARE,
    "certificate": FILLED,
}
_FILE = {"upstreams": FLAG, "hedge": TABLE, "models": TABLE, "cache": TABLE}
_OF_A_URL = ("api_key_env", "provider", "connect_s", "head_s", "first_token_s", "idle_s", "whole_s", "always_stream")
_EMBEDDED = ("precision", "concurrency")


def is_gateway(path: Path) -> bool:
    """Whether a TOML file is a gateway file, by its tables; what can't be read is none."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return "serve" not in table and bool(table.keys() & _FILE.keys())


def load_gateway(path: Path) -> GatewayFile:
    """Read a gateway file.

    Raises:
        InputError: no such file, bad TOML, an unknown key, or a value that is not allowed; names file, key and value.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"gateway file {path} can't be read: {error}") from error
    for key in table:
        if key not in _FILE:
            raise unknown(f"table in gateway file {path}", key, _FILE)
    listed = table.get("upstreams")
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise InputError(f'gateway file {path} names no upstream; it needs [[upstreams]] with name = "..." and url')
    upstreams: dict[str, Upstream] = {}
    for number, entry in enumerate(listed, 1):
        upstream = _upstream(path, number, entry)
        if upstream.name in upstreams:
            raise InputError(f"{path}: two upstreams are called '{upstream.name}'; give each its own name")
        upstreams[upstream.name] = upstream
    return GatewayFile(
        upstreams=upstreams,
        routes=_routes(path, table, upstreams),
        hedge=_hedge(path, table),
        cache=_cache(path, table),
    )


def _upstream(path: Path, number: int, entry: Mapping[str, Any]) -> Upstream:
    name = entry.get("name")
    where = f"upstream '{name}'" if isinstance(name, str) else f"upstream {number}"
    _check(path, where, entry, _UPSTREAM)
    if name is None:
        raise InputError(f'{path}: {where} has no name; give name = "..."')
    if "url" not in entry and "model" not in entry:
        raise InputError(f'{path}: {where} has no url; give url = "https://.../v1", or the model of this machine')
    foreign = _EMBEDDED if "url" in entry else _OF_A_URL
    kind = "an upstream with a url" if "url" in entry else "a model of this machine"
    for key in foreign:
        if key in entry:
            raise InputError(f"{path}: {where} has {key}, which means nothing for {kind}")
    if "url" in entry:
        _check_url(path, where, entry["url"])
    if not _VARIABLE.match(entry.get("api_key_env", "x")):
        raise InputError(
            f"{path}: api_key_env of {where} is no name of an environment variable (it is not shown, as it may be a "
            "key); put the key into a variable and give its name"
        )
    rule = entry.get("breaker", {})
    if rule is not False:
        _check(path, f"breaker of {where}", rule, _RULE_OF_BREAKER)
    return Upstream(**{**entry, "breaker": None if rule is False else BreakerRule(**rule)})


def _check_url(path: Path, where: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        fits, secret = parts.scheme in {"http", "https"} and bool(parts.hostname), parts.username or parts.password
    except ValueError:
        fits, secret = False, None
    if secret:
        raise InputError(f"{path}: the url of {where} holds a user or a password; give the key by api_key_env")
    if not fits:
        raise InputError(f"{path}: url of {where} is {shown(url)}; allowed: http:// or https:// and a host")


def _hedge(path: Path, table: Mapping[str, Any]) -> HedgeRule | None:
    if "hedge" not in table:
        return None
    given = table["hedge"]
    if not isinstance(given, dict):
        raise InputError(f"{path}: hedge is {shown(given)}; allowed: a table [hedge]")
    _check(path, "[hedge]", given, _HEDGE)
    if "after_s" in given and "quantile" in given:
        raise InputError(f"{path}: [hedge] has both after_s and quantile; give one of them")
    return HedgeRule(**given)


def _cache(path: Path, table: Mapping[str, Any]) -> CacheRule | None:
    if "cache" not in table:
        return None
    given = table["cache"]
    if not isinstance(given, dict):
        raise InputError(f"{path}: cache is {shown(given)}; allowed: a table [cache]")
    _check(path, "[cache]", given, _CACHE)
    for key in ("threshold", "certificate", "rate"):
        if key in given and "semantic" not in given:
            raise InputError(f'{path}: [cache] has {key}, which is for a semantic cache; add semantic = "MODEL"')
    if "semantic" in given and "rate" not in given:
        raise InputError(f'{path}: [cache] has semantic and no rate; give what this machine costs: rate = "0.08/h"')
    if not given.get("exact", True):
        if "semantic" in given:
            raise InputError(f"{path}: [cache] has semantic and exact = false; a semantic cache is an exact one too")
        return None
    here = {key: str(path.parent / given[key]) for key in ("file", "certificate") if key in given}
    return CacheRule(**{**given, **here})


def _routes(path: Path, table: Mapping[str, Any], upstreams: Mapping[str, Upstream]) -> Mapping[str, Route]:
    models = table.get("models", {EVERY: {}})
    if not isinstance(models, dict) or not models:
        raise InputError(f'{path}: models is {shown(models)}; allowed: tables [models."NAME"] with upstreams = [...]')
    return {model: _route(path, model, entry, upstreams) for model, entry in models.items()}


def _route(path: Path, model: str, entry: Any, upstreams: Mapping[str, Upstream]) -> Route:
    where = f'[models."{model}"]'
    if not isinstance(entry, dict):
        raise InputError(f"{path}: {where} is {shown(entry)}; allowed: a table with upstreams = [...]")
    _check(path, where, entry, _ROUTE)
    asked = tuple(entry.get("upstreams", upstreams))
    for name in asked:
        if name not in upstreams:
            raise unknown(f"upstream of {where} in {path}", name, upstreams)
    if len(set(asked)) < len(asked):
        raise InputError(f"{path}: {where} asks one of {', '.join(asked)} twice; give attempts = 2 to that upstream")
    names = entry.get("names", {})
    for name, called in names.items():
        if name not in asked:
            raise unknown(f"upstream in names of {where} in {path}", name, asked)
        if not isinstance(called, str) or not called:
            raise InputError(f"{path}: names.{name} of {where} is {shown(called)}; allowed: a model's name")
        if upstreams[name].url is None:
            raise InputError(f"{path}: names.{name} of {where} names a model, but '{name}' has one model only")
    _check_choice(f"{path}: {where}", entry)
    return Route(**{**entry, "upstreams": asked, "names": names})


def _check_choice(where: str, entry: Mapping[str, Any]) -> None:
    """Hold what chooses among a route's upstreams together: a stop rule, or a router, with what each needs."""
    stop, router = entry.get("stop"), entry.get("router")
    if stop is not None and router is not None:
        raise InputError(f"{where} has both stop and router; give one of them")
    if stop is not None and stop not in STOPS:
        raise unknown(f"stop in {where}", stop, STOPS)
    needs = {
        "threshold": stop == "confidence",
        "workload": stop == "check",
    }
    for key, wanted in needs.items():
        if wanted != (key in entry):
            said = f'needs {key} for stop = "{stop}"' if wanted else f"has {key}, which nothing in it reads"
            raise InputError(f"{where} {said}")
    dials = [key for key in ("at_least", "worth_per_usd") if key in entry]
    if router is not None and len(dials) != 1:
        raise InputError(
            f"{where} has {' and '.join(dials) or 'neither'}; a router needs at_least or worth_per_usd, one of them"
        )
    if router is None and dials:
        raise InputError(f"{where} has {dials[0]}, and no router to read it")


def _check(path: Path, where: str, entry: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    for key, value in entry.items():
        if key not in rules:
            raise unknown(f"key of {where} in {path}", key, rules)
        fits: Callable[[Any], bool] = rules[key].fits
        if not fits(value):
            raise InputError(f"{path}: {key} of {where} is {shown(value)}; allowed: {rules[key].allowed}")
