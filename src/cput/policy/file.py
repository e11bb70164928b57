"""A policy file: what the winner of a search runs, and the evidence for it, as TOML.

[serve]
model = "smollm2-135m-instruct"
precision = "int8"
concurrency = 64
stop = "check"

[[serve.then]]
model = "gemma-3-270m"

[evidence]
useful_rate = 0.21

``then`` are the engines that are asked, in turn, where the one before is not let stand.
"""

import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from cput.errors import InputError, SetupError, unknown
from cput.policy.guarantee.certificate import Certificate
from cput.policy.policy import ENGINES, PRECISIONS, STOPS, Policy
from cput.rules import FILLED, NOT_NEGATIVE, POSITIVE, SHARE, Rule, is_integer

_COUNT = Rule(lambda value: is_integer(value) and value >= 1, "a whole number of 1 or more")
_RANGES = {
    "model": FILLED,
    "threshold": SHARE,
    "worth_per_usd": POSITIVE,
    "retry_temperature": NOT_NEGATIVE,
    "concurrency": _COUNT,
    "attempts": _COUNT,
    "precision": Rule(lambda value: value in PRECISIONS, ", ".join(PRECISIONS)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """A policy with its evidence."""

    policy: Policy
    """What is served."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Measured figures with hardware, versions, seed, count and date."""


def save_policy(path: Path, policy: Policy, evidence: Mapping[str, Any]) -> None:
    """Write a policy file, whole or not at all; unknown values are left out.

    Raises:
        SetupError: the file can't be written there.
    """
    policy = _moved(policy, lambda place: os.path.relpath(place, path.parent))
    lines = ["# Written by `cput optimize`; serve or measure it with --policy.", "[serve]", *_settings(policy)]
    for leg in policy.then:
        lines += ["", "[[serve.then]]", *_settings(leg)]
    lines += ["", "[evidence]"]
    lines += [f"{key} = {_toml(value)}" for key, value in evidence.items() if value is not None]
    write_whole(path, "\n".join(lines) + "\n")


def certificate_path(policy: Path) -> Path:
    """Return where a policy's certificate lies."""
    return policy.with_suffix(".certificate.json")


def save_certificate(policy: Path, certificate: Certificate | None) -> None:
    """Write a policy's certificate beside it, for whoever serves the policy; None takes an earlier one's away.

    Raises:
        SetupError: it can't be written there.
    """
    if certificate is None:
        certificate_path(policy).unlink(missing_ok=True)
        return
    write_whole(certificate_path(policy), json.dumps(certificate.as_json(), indent=1) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a policy's file, or one beside it: whole or not at all.

    Raises:
        SetupError: it can't be written there.
    """
    partial = path.with_suffix(path.suffix + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise SetupError(f"policy file {path} can't be written ({error.strerror}); give another --policy") from error


def load_policy(path: Path) -> PolicyFile:
    """Read a policy file.

    Raises:
        InputError: no such file, bad TOML, an unknown key or a wrong type; names file, key and what is allowed.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"there is no policy file {path}; `cput optimize` writes one") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"policy file {path} can't be read: {error}") from error
    serve = table.get("serve")
    if not isinstance(serve, dict):
        raise InputError(f'policy file {path} has no [serve] table; it needs at least model = "..."')
    policy = _moved(_policy(path, "[serve]", serve), lambda place: str(path.parent / place))
    return PolicyFile(policy=policy, evidence=table.get("evidence", {}))


def _moved(policy: Policy, place: Callable[[str], str]) -> Policy:
    """Return the policy with other paths: in the file those of routers, recordings and students start from it."""
    legs = [
        replace(
            leg,
            router=leg.router and place(leg.router),
            recording=leg.recording and place(leg.recording),
            model=place(leg.model) if leg.engine == "classifier" else leg.model,
        )
        for leg in policy.legs
    ]
    return replace(legs[0], then=tuple(legs[1:]))


def _policy(path: Path, where: str, table: Mapping[str, Any]) -> Policy:
    """Return the policy that a table of a policy file says."""
    types = get_type_hints(Policy)
    for key, value in table.items():
        if key not in types:
            raise unknown(f"key of {where} in {path}", key, types)
        if key == "then":
            continue
        allowed = get_args(types[key]) or (types[key],)
        if type(value) not in allowed and not (float in allowed and type(value) is int):
            names = " or ".join(kind.__name__ for kind in allowed if kind is not type(None))
            raise InputError(f"{path}: {key} is {value!r}; allowed: {names}")
        if key in _RANGES and not _RANGES[key].fits(value):
            raise InputError(f"{path}: {key} of {where} is {value!r}; allowed: {_RANGES[key].allowed}")
    if "model" not in table:
        raise InputError(f'policy file {path} names no model; {where} needs model = "..."')
    engine, stop = table.get("engine", "openvino"), table.get("stop")
    if engine not in ENGINES:
        raise unknown(f"engine of {where} in {path}", engine, ENGINES)
    if (needs := ENGINES[engine]) is not None and needs not in table:
        raise InputError(f'{path}: the {engine} engine of {where} needs {needs} = "..."')
    if stop is not None and stop not in STOPS:
        raise unknown(f"stop of {where} in {path}", stop, STOPS)
    return Policy(**{**table, "then": _then(path, where, table)})


def _then(path: Path, where: str, table: Mapping[str, Any]) -> tuple[Policy, ...]:
    """Return the legs that follow; every one but the last must say what lets its answer stand."""
    listed = table.get("then", [])
    if not isinstance(listed, list) or not all(isinstance(leg, dict) and "then" not in leg for leg in listed):
        raise InputError(f"{path}: then of {where} is {listed!r:.60}; allowed: tables [[serve.then]], one an engine")
    if table.get("router") is not None and not listed:
        raise InputError(f"{path}: the router of {where} has one engine to choose from; give [[serve.then]]")
    legs = tuple(_policy(path, f"[[serve.then]] {number}", leg) for number, leg in enumerate(listed, 1))
    if legs and table.get("router") is not None:
        if not table.get("worth_per_usd"):
            raise InputError(f"{path}: the router of {where} needs worth_per_usd; allowed: a number above 0")
        return legs
    before = (table, *listed)[: len(legs)]
    for place, leg in enumerate(before):
        named = where if place == 0 else f"[[serve.then]] {place}"
        if leg.get("stop") is None and leg.get("engine") != "classifier":
            raise InputError(
                f"{path}: {named} is followed by another engine and has no stop; allowed: {_listed(STOPS)}"
            )
        if leg.get("stop") == "confidence" and leg.get("threshold") is None:
            raise InputError(f'{path}: stop = "confidence" of {named} needs a threshold; allowed: a number from 0 to 1')
    return legs


def _listed(names: Sequence[str]) -> str:
    return " or ".join(names)


def _settings(policy: Policy) -> list[str]:
    """Return the lines of a policy's own settings; of an engine elsewhere, only those that are not plain."""
    here = policy.engine == "openvino"
    named = [(f.name, getattr(policy, f.name), f.default) for f in fields(policy) if f.name != "then"]
    said = [(name, value) for name, value, plain in named if value is not None and (here or value != plain)]
    return [f"{name} = {_toml(value)}" for name, value in said if (name, value) != ("engine", "openvino")]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    text = str(value)
    escaped = "".join(_ESCAPES.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text)
    return f'"{escaped}"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
