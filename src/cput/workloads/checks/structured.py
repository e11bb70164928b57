"""The answer is JSON that satisfies a JSON schema. References reach inside the schema only: nothing is fetched."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import jsonschema
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from cput.records import Grammar, GrammarKind
from cput.rules import FLAG, Rule, shown
from cput.workloads.checks.base import Judgement, verdict
from cput.workloads.checks.json_text import extract
from cput.workloads.item import Item


def schema_problem(schema: Any) -> str | None:
    """Return why ``schema`` cannot be used, in a sentence, or None."""
    if not isinstance(schema, dict | bool):
        return f"{shown(schema)} is not a JSON schema; allowed: an object"
    maker = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        # The protocol knows neither the format checker nor boolean schemas; every implementation takes both.
        cast("Any", maker).check_schema(schema, format_checker=maker.FORMAT_CHECKER)
    except jsonschema.SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "the top"
        return f"{shown(error.instance)} at {place} is not allowed in a JSON schema: {error.message[:200]}"
    except RecursionError:
        return "is nested too deeply; allowed: some hundred levels"
    for reference in _references(schema):
        try:
            _resolver(schema).lookup(reference)
        except (Unresolvable, ValueError) as error:
            return f"$ref {shown(reference)} leads nowhere ({type(error).__name__}); allowed: a place in it (#/...)"
    return None


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _resolver(schema: Any) -> Any:
    resource = Resource.from_contents(schema, default_specification=DRAFT202012)
    base = resource.id() or ""
    return Registry().with_resource(base, resource).resolver(base)


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """Finds the answer's JSON (whole, fenced or in prose) and validates it against ``params.schema``."""

    name: str = "json_schema"
    """Name in workload files."""
    servable: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Rule]] = {
        "schema": Rule(lambda value: isinstance(value, dict | bool), "a JSON schema (an object)"),
        "whole": FLAG,
    }

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        if item.params.get("schema") is None:
            yield "params.schema", "missing; allowed: a JSON schema (an object)"
        elif fault := schema_problem(item.params["schema"]):
            yield "params.schema", fault

    def grammar(self, item: Item, max_new_tokens: int) -> Grammar | None:  # noqa: ARG002  # a schema says its own length
        """Return the schema itself; None for one that allows everything or nothing."""
        schema = item.params["schema"]
        if not isinstance(schema, dict) or not schema:
            return None
        return Grammar(kind=GrammarKind.JSON_SCHEMA, value=json.dumps(schema))

    def judge(self, item: Item, text: str) -> Judgement:
        """Return 1 where the JSON satisfies the schema. ``whole`` allows nothing beside the JSON."""
        found = extract(text)
        if found is None or (item.params.get("whole") and not found.whole):
            return verdict(
                False, errors=["the answer is not JSON" if found is None else "there is text beside the JSON"]
            )
        try:
            errors = [_sentence(error) for error, _ in zip(self._errors(item, found.value), range(5), strict=False)]
        except (Unresolvable, RecursionError) as error:  # a schema that refers to itself without end
            errors = [f"the schema cannot be applied: {type(error).__name__}"]
        return verdict(not errors, errors=errors)

    def _errors(self, item: Item, value: Any) -> Iterator[jsonschema.ValidationError]:
        schema = item.params["schema"]
        maker = validator_for(schema, default=jsonschema.Draft202012Validator)
        validator: Validator = maker(schema, registry=Registry())  # an empty registry: no network
        return iter(validator.iter_errors(value))


def _sentence(error: jsonschema.ValidationError) -> str:
    return f"{error.json_path}: {error.message[:200]}"
