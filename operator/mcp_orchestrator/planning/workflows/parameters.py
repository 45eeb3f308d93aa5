"""A workflow's parameters: whether they are declared soundly, and their values in a run.

Called by `checks`, `resolution` and the runner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from mcp_orchestrator.api.workflow import Parameter
from mcp_orchestrator.api.workflowrun import ParameterSource, WorkflowRunSpec
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason
from mcp_orchestrator.planning import mistakes
from mcp_orchestrator.planning.workflows import schemas

Texts = Mapping[tuple[str, str], str | None]
"""What ConfigMaps hold under their keys, by (name, key); None where there is no such ConfigMap or key."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The values of all parameters, in the order of their declaration; complete if there are no mistakes."""

    values: Mapping[str, Any]
    mistakes: tuple[Mistake, ...]


def resolve(parameters: tuple[Parameter, ...], given: Mapping[str, Any], path: str) -> Resolved:
    """The values that a run gives, with defaults for the others. `path` is where the run gives them."""
    declared = {parameter.name: parameter for parameter in parameters}
    values = {
        name: given.get(name, parameter.default)
        for name, parameter in declared.items()
        if name in given or not parameter.required
    }
    found = [a_mistake(mistakes.at(path, name), _unknown(name, declared)) for name in given if name not in declared]
    for name, parameter in declared.items():
        if name in given:
            found.extend(unfit(parameter, given[name], mistakes.at(path, name)))
        elif parameter.required:
            found.append(a_mistake(mistakes.at(path, name), "it is missing, and has no default: give it a value"))
    return Resolved(values=values, mistakes=tuple(found))


class NotReadable(ValueError):
    """A text is not a value of the parameter; the message says why, and never quotes it."""


def from_text(parameter: Parameter | None, text: str) -> Any:
    """The value of a parameter that a Secret or a ConfigMap holds. Raises NotReadable.

    The text itself for a string, without the line end that files have; JSON for any other type. Without a type in its
    schema, a parameter takes text.
    """
    declared = (parameter.json_schema or {}).get("type", "string") if parameter else "string"
    if "string" in (declared if isinstance(declared, list) else [declared]):
        return text.removesuffix("\n").removesuffix("\r")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, character {error.colno}"
        raise NotReadable(f"it must be JSON of type {declared}, and can't be read ({where})") from None


def check_given(spec: WorkflowRunSpec, declared: tuple[Parameter, ...], texts: Texts) -> tuple[Mistake, ...]:
    """What is wrong with the parameters that a run gives, as far as the operator may know: it reads no Secret."""
    known = {parameter.name: parameter for parameter in declared}
    found, elsewhere = [], {}
    for place, source in enumerate(spec.parameters_from):
        path = f"spec.parametersFrom[{place}]"
        parameter = known.get(source.name)
        if source.name in spec.parameters:
            found.append(a_mistake(path, f'"{source.name}" stands in spec.parameters too: take it out of one of them'))
        elif parameter is None:
            found.append(a_mistake(path, _unknown(source.name, known)))
        elif source.secret_key_ref and not parameter.sensitive:
            message = f'"{source.name}" is read from a Secret: declare the parameter with sensitive: true'
            found.append(a_mistake(path, message))
        elsewhere[source.name] = source
    from_maps = {
        name: texts[key]
        for name, source in elsewhere.items()
        if (ref := source.config_map_key_ref) and (key := (ref.name, ref.key)) in texts
    }
    for name, text in from_maps.items():
        if text is not None and (parameter := known.get(name)):
            found.extend(_from_map(parameter, text, elsewhere[name]))
    here = tuple(parameter for parameter in declared if parameter.name not in elsewhere)
    inline = {name: value for name, value in spec.parameters.items() if name not in elsewhere}
    return (*found, *resolve(here, inline, "spec.parameters").mistakes)


def _from_map(parameter: Parameter, text: str, source: ParameterSource) -> Iterator[Mistake]:
    ref = source.config_map_key_ref
    path = f"spec.parametersFrom.{parameter.name} (ConfigMap {ref.name}, key {ref.key})" if ref else ""
    try:
        yield from unfit(parameter, from_text(parameter, text), path)
    except NotReadable as error:
        yield a_mistake(path, str(error))


def check_declarations(parameters: tuple[Parameter, ...], path: str) -> tuple[Mistake, ...]:
    """What is wrong with the schemas and defaults. `path` is where the parameters are declared."""
    return tuple(
        mistake
        for index, parameter in enumerate(parameters)
        for mistake in _check_declaration(parameter, mistakes.at(path, index))
    )


def _check_declaration(parameter: Parameter, path: str) -> Iterator[Mistake]:
    if parameter.json_schema is not None:
        try:
            schemas.check(parameter.json_schema)
        except schemas.Unusable as error:
            yield a_mistake(mistakes.at(path, "schema"), f"it is not a JSON Schema that can be used: {error}")
            return
    if not parameter.required:
        yield from unfit(parameter, parameter.default, mistakes.at(path, "default"))


def unfit(parameter: Parameter, value: Any, path: str) -> Iterator[Mistake]:
    """What keeps `value` from being a value of the parameter; told without the value where that is secret."""
    try:
        for fault in schemas.faults(parameter.json_schema or {}, value):
            message = fault.message_without_value if parameter.sensitive else fault.message
            yield a_mistake(mistakes.at(path, *fault.path), message)
    except schemas.Unusable as error:
        yield a_mistake(path, f"the schema of the parameter can't be used: {error}")


def _unknown(name: str, declared: Mapping[str, Parameter]) -> str:
    hint = mistakes.suggestion(name, declared)
    return f'unknown parameter "{name}"' + (hint or f"; the workflow has {mistakes.listing(declared) or 'none'}")


def a_mistake(path: str, message: str) -> Mistake:
    """A mistake about a parameter."""
    return mistakes.a_mistake(path, TemplateReason.INVALID_PARAMETER, message)
