"""JSON Schema: whether a schema is sound, and what is wrong with a value. Called by parameters and arguments.

Nothing is ever fetched: a reference to another document makes a schema unusable.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson

from mcp_orchestrator.planning import mistakes, plain

_MASK = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for the value in the messages of jsonschema_rs, which would show all of a large one."""


class Unusable(ValueError):
    """The schema can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a value."""

    path: tuple[str | int, ...]
    """Where in the value."""
    keyword: str
    """The keyword of the schema that the value does not fit. A choice between types only counts as `type`."""
    message: str
    message_without_value: str
    names: tuple[str, ...] = ()
    """The types that would fit (type), the property that is missing (required), or those that are too many."""
    conditional: bool = False
    """Whether the rule holds under a condition only (if, then, else), which looks at other parts of the value."""


def check(schema: Mapping[str, Any]) -> None:
    """Raises Unusable if `schema` is not JSON Schema, or refers to another document."""
    _validator(_serialized(schema))


def faults(schema: Mapping[str, Any], value: Any) -> tuple[Fault, ...]:
    """Everything that is wrong with `value`. Raises Unusable if that can't be told."""
    if plain.too_deep(value):
        return (_refused("depth", f"it has more than {plain.MAX_DEPTH} levels of lists and objects"),)
    validator = _validator(_serialized(schema))
    try:
        return tuple(_fault(error) for error in validator.iter_errors(value))
    except jsonschema_rs.ValidationError as error:
        raise Unusable(error.message) from None
    except ValueError as error:
        return (_refused("json", f"it is not valid JSON: {error}"),)


@functools.lru_cache(maxsize=1024)
def _validator(schema: bytes) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(orjson.loads(schema), offline=True, validate_formats=True, mask=_MASK)
    except (jsonschema_rs.ReferencingError, jsonschema_rs.ValidationError) as error:
        where = mistakes.at("", *getattr(error, "instance_path", ())).removeprefix(".")
        words = error.message.replace(_MASK, mistakes.quoted(getattr(error, "instance", None)))
        if "retrieving it failed" in words:
            words = (
                f"{words.split(' is not present')[0]} is another document, and nothing is fetched; put it under $defs"
            )
        raise Unusable(f"{where}: {words}" if where else words) from None
    except ValueError as error:
        raise Unusable(str(error)) from None


def _serialized(schema: Mapping[str, Any]) -> bytes:
    if plain.too_deep(schema):
        raise Unusable(f"it has more than {plain.MAX_DEPTH} levels")
    try:
        return orjson.dumps(schema)
    except orjson.JSONEncodeError as error:
        raise Unusable(str(error)) from None


def _fault(error: jsonschema_rs.ValidationError) -> Fault:
    keyword, message = error.kind.name, error.message
    names: tuple[str, ...] = ()
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Type(types=wanted):
            names = tuple(wanted)
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            names = (name,)
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=unexpected):
            names = tuple(unexpected)
        case (
            jsonschema_rs.ValidationErrorKind.AnyOf(context=branches)
            | jsonschema_rs.ValidationErrorKind.OneOfNotValid(context=branches)
        ) if types := _types(error, branches):
            keyword, names = "type", types
            message = f"{_MASK} is not of type {' or '.join(mistakes.quoted(name) for name in types)}"
    return Fault(
        path=tuple(error.instance_path),
        keyword=keyword,
        message=message.replace(_MASK, mistakes.quoted(error.instance)),
        message_without_value=message.replace(_MASK, "it"),
        names=names,
        conditional=not {"then", "else"}.isdisjoint(error.schema_path),
    )


def _refused(keyword: str, message: str) -> Fault:
    return Fault(path=(), keyword=keyword, message=message, message_without_value=message)


def _types(
    choice: jsonschema_rs.ValidationError, branches: list[list[jsonschema_rs.ValidationError]]
) -> tuple[str, ...]:
    """The types of a choice whose branches all ask for another type than the value's; empty for any other choice."""
    found: list[str] = []
    for errors in branches:
        kind = errors[0].kind if len(errors) == 1 and errors[0].instance_path == choice.instance_path else None
        if not isinstance(kind, jsonschema_rs.ValidationErrorKind.Type):
            return ()
        found += kind.types
    return tuple(found)
