"""Whether an object is one that the API server would take: fields, types, bounds, rules. Called by the command line.

The same schemas and rules as in the CRDs, with one difference: an unknown field is a mistake here, and not dropped.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mcp_orchestrator.api import crds, jsonschema
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason
from mcp_orchestrator.planning import expressions, mistakes
from mcp_orchestrator.planning.expressions import Scope
from mcp_orchestrator.planning.workflows import schemas

UNKNOWN_FIELD = "UnknownField"
Schema = Mapping[str, Any]


def check(kind: crds.Kind, body: Mapping[str, Any]) -> tuple[Mistake, ...]:
    """Everything that is wrong with the object's form. Rules are tried only on an object of the right types."""
    schema, structural = _schemas(kind.name)
    found = tuple(mistake for fault in schemas.faults(schema, body) for mistake in _in_words(fault, schema))
    if any(mistake.reason != UNKNOWN_FIELD for mistake in found):
        return found
    return (*found, *_check_rules(structural, body, ""))


@functools.lru_cache
def _schemas(name: str) -> tuple[Schema, Schema]:
    """The JSON Schema of a kind, and the schema of its CRD."""
    kind = next(kind for kind in crds.EVERY_KIND if kind.name == name)
    return jsonschema.schema(kind), crds.root_schema(kind)


def _in_words(fault: schemas.Fault, schema: Schema) -> Iterator[Mistake]:
    path = mistakes.at("", *fault.path).removeprefix(".")
    if fault.keyword == "additionalProperties":
        known = _at(schema, fault.path).get("properties", {})
        for name in fault.names:
            hint = mistakes.suggestion(name, known) or f"; there are {mistakes.listing(known)}"
            where = mistakes.at(path, name).removeprefix(".")
            yield mistakes.a_mistake(where, UNKNOWN_FIELD, f"unknown field {mistakes.quoted(name)}{hint}")
    elif fault.keyword == "required":
        yield _spec(path, f"{mistakes.quoted(fault.names[0])} is missing")
    elif fault.keyword == "anyOf":  # the only choice there is
        yield _spec(path, '"name" is missing')
    elif fault.keyword == "type" and fault.names == ("string",) and fault.message[:1] not in "[{n":
        yield _spec(path, f"{fault.message}: put it in quotes")
    else:
        yield _spec(path, fault.message)


def _at(schema: Schema, path: tuple[str | int, ...]) -> Schema:
    """The part of the schema that describes what is at `path`."""
    for key in path:
        if isinstance(key, int):
            schema = schema["items"]
        else:
            schema = schema.get("properties", {}).get(key) or schema["additionalProperties"]
    return schema


def _check_rules(schema: Schema, value: Any, path: str) -> Iterator[Mistake]:
    """What JSON Schema can't say: rules in CEL, and items of a list that must differ in their keys."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            yield _spec(path, rule["message"])
    if isinstance(value, list):
        yield from _check_keys(schema.get("x-kubernetes-list-map-keys", ()), value, path)
        for index, item in enumerate(value):
            yield from _check_rules(schema.get("items", {}), item, mistakes.at(path, index))
    elif isinstance(value, dict):
        for name, inner in value.items():
            described = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if isinstance(described, Mapping):
                yield from _check_rules(described, inner, mistakes.at(path, name).removeprefix("."))


def _check_keys(keys: list[str], items: list[Any], path: str) -> Iterator[Mistake]:
    found = [tuple(item.get(key) for key in keys) for item in items] if keys else []
    for key, count in Counter(found).items():
        if count > 1:
            last = len(found) - 1 - found[::-1].index(key)
            words = " and ".join(f"{name} {mistakes.quoted(value)}" for name, value in zip(keys, key, strict=True))
            yield _spec(mistakes.at(path, last), f"{count} items have {words}: give each its own")


def _holds(rule: str, value: Any) -> bool:
    try:
        return expressions.test(rule, Scope({"self": value}))
    except expressions.ExpressionFailed:
        return True  # the rule reads what only the API server fills in


def _spec(path: str, message: str) -> Mistake:
    return mistakes.a_mistake(path, TemplateReason.INVALID_SPEC, message)
