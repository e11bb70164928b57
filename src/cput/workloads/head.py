"""The TOML head of a workload: who made it, how answers are drawn and judged, what must be kept.

name = "ifeval"                      # the folder's name where not given
description = "..."                  licence = "Apache-2.0"            source = "https://..."
system_prompt = "..."                chat = true                       # false: prompts are raw text
[quality]   check, threshold, params                [quality.floor]   useful_rate, share_of_baseline
[slo]       ttft_s, tpot_s, e2e_s                   [sampling]        as records.Sampling
[answer]    choices, grammar ("choice", "regex", "json_schema", "ebnf"), value
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cput import rules as r
from cput.records import Grammar, GrammarKind, Sampling
from cput.rules import shown
from cput.workloads import fields as f
from cput.workloads.checks.structured import schema_problem
from cput.workloads.problems import Problems, Where
from cput.workloads.toml_lines import line_numbers
from cput.workloads.workload import Floor, Slo

_HEAD: Mapping[str, r.Rule] = {
    "name": r.Rule(
        lambda value: isinstance(value, str) and bool(re.fullmatch(r"[\w.-]+", value)), "letters, digits, . _ -"
    ),
    "description": r.TEXT,
    "licence": r.FILLED,
    "source": r.FILLED,
    "system_prompt": r.FILLED,
    "chat": r.FLAG,
    "quality": r.TABLE,
    "slo": r.TABLE,
    "sampling": r.TABLE,
    "answer": r.TABLE,
    "items": r.ITEMS,
}
_QUALITY: Mapping[str, r.Rule] = {"check": r.FILLED, "threshold": r.SHARE, "params": r.TABLE, "floor": r.TABLE}
_FLOOR: Mapping[str, r.Rule] = {"useful_rate": r.SHARE, "share_of_baseline": r.SHARE}
_SLO: Mapping[str, r.Rule] = dict.fromkeys(("ttft_s", "tpot_s", "e2e_s"), r.POSITIVE)
_SAMPLING: Mapping[str, r.Rule] = {
    "max_new_tokens": r.COUNT,
    "temperature": r.NOT_NEGATIVE,
    "top_p": r.Rule(lambda value: r.is_number(value) and 0 < value <= 1, "a number above 0 and up to 1"),
    "top_k": r.AT_LEAST_1,
    "seed": r.COUNT,
    "stop": r.TEXT_OR_TEXTS,
    "repetition_penalty": r.POSITIVE,
    "presence_penalty": r.NUMBER,
    "frequency_penalty": r.NUMBER,
    "logprobs": r.FLAG,
    "echo": r.FLAG,
}
_ANSWER: Mapping[str, r.Rule] = {"choices": r.TEXTS, "grammar": r.one_of(*GrammarKind), "value": r.FILLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the head says, checked; defaults where it is silent or wrong."""

    file: str
    """Name of the file it was read from, for messages."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The parsed TOML, for the digest."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Line of each dotted key."""
    top: Mapping[str, Any] = field(default_factory=dict)
    """name, description, licence, source, system_prompt, chat, items: the allowed ones that are given."""
    check: str | None = None
    """Default check."""
    threshold: float | None = None
    """Value from which an answer passes."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Default check parameters."""
    floor: Floor | None = None
    """Quality floor."""
    slo: Slo = field(default_factory=Slo)
    """Latency limits."""
    sampling: Sampling = field(default_factory=Sampling)
    """How answers are drawn."""
    choices: tuple[str, ...] = ()
    """Default choices."""

    @property
    def chat(self) -> bool:
        """False where prompts are raw text."""
        return bool(self.top.get("chat", True))

    def where(self, name: str) -> Where:
        """Return file and line of a dotted key, or of the table it should stand in."""
        while name not in self.lines and "." in name:
            name = name.rpartition(".")[0]
        return Where(self.file, self.lines.get(name))


def parse_toml(text: str, file: str, problems: Problems) -> tuple[dict[str, Any], Mapping[str, int]]:
    """Return the TOML tables and the line of every key; empty, and a problem, where it is malformed."""
    try:
        return tomllib.loads(text), line_numbers(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        number = int(place[1]) if place else text.count("\n") + 1
        reason = re.sub(r"\s*\(at [^)]*\)$", "", str(error))
        line = text.split("\n")[number - 1] if number <= text.count("\n") + 1 else ""
        problems.add(Where(file, number), None, f"malformed TOML: {reason}; found {shown(line.strip())}")
    except RecursionError:
        problems.add(Where(file), None, "malformed TOML: nested too deeply; allowed: some hundred levels")
    return {}, {}


def read_head(raw: Mapping[str, Any], file: str, lines: Mapping[str, int], problems: Problems) -> Head:
    """Return the head; name every unknown key and wrong value in ``problems``."""
    place = Head(file=file, lines=lines)

    def table(value: Mapping[str, Any], name: str, rules: Mapping[str, r.Rule], prefix: str = "") -> dict[str, Any]:
        return f.take(value.get(name, {}), rules, problems, place.where, f"{prefix}{name}.")

    top = f.take(raw, _HEAD, problems, place.where)
    quality = table(top, "quality", _QUALITY)
    floor = table(quality, "floor", _FLOOR, "quality.")
    answer = table(top, "answer", _ANSWER)
    sampling = table(top, "sampling", _SAMPLING)
    if "stop" in sampling:
        stop = sampling["stop"]
        sampling["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    if not top.get("chat", True) and "system_prompt" in top:
        problems.add(
            place.where("system_prompt"), "system_prompt", "not allowed with chat = false: raw text has no turns"
        )
    grammar = _grammar(answer, place, problems)
    return Head(
        file=file,
        raw=raw,
        lines=lines,
        top=top,
        check=quality.get("check"),
        threshold=quality.get("threshold"),
        params=quality.get("params", {}),
        floor=Floor(**floor) if floor else None,
        slo=Slo(**table(top, "slo", _SLO)),
        sampling=Sampling(**sampling, grammar=grammar),
        choices=tuple(answer.get("choices", ())),
    )


def _grammar(answer: Mapping[str, Any], place: Head, problems: Problems) -> Grammar | None:
    if "grammar" not in answer:
        if "value" in answer:
            problems.add(place.where("answer.value"), "answer.value", "says what grammar? Set answer.grammar as well")
        return None
    kind = GrammarKind(answer["grammar"])
    name = "choices" if kind is GrammarKind.CHOICE else "value"
    if name not in answer:
        problems.add(place.where("answer.grammar"), f"answer.{name}", f"missing; grammar {shown(kind.value)} needs it")
        return None
    value = answer[name]
    fault = _grammar_fault(kind, value)
    if fault:
        problems.add(place.where(f"answer.{name}"), f"answer.{name}", fault)
    return Grammar(kind=kind, value=tuple(value) if kind is GrammarKind.CHOICE else value)


def _grammar_fault(kind: GrammarKind, value: Any) -> str | None:
    if kind is GrammarKind.REGEX:
        try:
            re.compile(value)
        except (re.error, RecursionError, OverflowError) as error:
            return f"{shown(value)} is not a regular expression: {error}"
    if kind is GrammarKind.JSON_SCHEMA:
        try:
            return schema_problem(json.loads(value))
        except (ValueError, RecursionError) as error:
            return f"{shown(value)} is not a JSON schema as JSON text: {error}"
    return None
