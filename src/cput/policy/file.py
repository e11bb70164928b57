"""A policy file: what the winner of a search runs, and the evidence for it, as TOML.

[serve]
model = "smollm2-135m-instruct"
precision = "int8"
max_seqs = 32
...
[evidence]
useful_rate = 0.21
...
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from cput.errors import InputError, SetupError, unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a workload is served."""

    model: str
    """Name in the model store, or a model folder."""
    precision: str = "f16"
    """Weights: f16, int8 or int4."""
    kv_precision: str | None = None
    """KV cache: f16, bf16, u8, u4; None leaves it to the engine."""
    concurrency: int = 1
    """Calls in the batch at once."""
    prefix_cache: bool = False
    """Reuse the KV of shared prompt prefixes."""
    prompt_lookup: bool = False
    """Speculate from n-grams of the prompt."""
    attempts: int = 1
    """Most legs of a call whose answer fails the check."""
    retry_together: bool = False
    """Send the second and later legs at the same time and take the first that passes."""
    retry_temperature: float = 0.7
    """Temperature of the second and later legs."""
    abandon: bool = False
    """Hang up on answers that can't become useful."""

    @property
    def words(self) -> str:
        """The policy in a few words, for reports."""
        at_once = "one at a time" if self.concurrency == 1 else f"{self.concurrency} at once"
        return ", ".join([self.precision.upper(), at_once, *self._extras])

    @property
    def settings(self) -> str:
        """The policy in a few words where the arrivals are said apart."""
        return ", ".join([self.precision.upper(), *self._extras])

    @property
    def _extras(self) -> list[str]:
        parts = [f"KV {self.kv_precision}"] if self.kv_precision else []
        parts += ["prefix cache"] if self.prefix_cache else []
        parts += ["prompt lookup"] if self.prompt_lookup else []
        parts += ["abandons lost answers"] if self.abandon else []
        how = ", retries together" if self.retry_together else ""
        parts += [f"up to {self.attempts} attempts{how}"] if self.attempts > 1 else []
        return parts


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
    lines = ["# Written by `cput optimize`; serve or measure it with --policy.", "[serve]"]
    lines += [f"{f.name} = {_toml(value)}" for f in fields(policy) if (value := getattr(policy, f.name)) is not None]
    lines += ["", "[evidence]"]
    lines += [f"{key} = {_toml(value)}" for key, value in evidence.items() if value is not None]
    partial = path.with_suffix(path.suffix + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
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
    types = get_type_hints(Policy)
    for key, value in serve.items():
        if key not in types:
            raise unknown(f"key of [serve] in {path}", key, types)
        allowed = get_args(types[key]) or (types[key],)
        if type(value) not in allowed and not (float in allowed and type(value) is int):
            names = " or ".join(kind.__name__ for kind in allowed if kind is not type(None))
            raise InputError(f"{path}: {key} is {value!r}; allowed: {names}")
    if "model" not in serve:
        raise InputError(f'policy file {path} names no model; [serve] needs model = "..."')
    return PolicyFile(policy=Policy(**serve), evidence=table.get("evidence", {}))


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
