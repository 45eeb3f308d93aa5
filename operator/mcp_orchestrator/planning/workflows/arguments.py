"""A task's arguments against the schema of its tool, as far as they are known before the run. Called by checks.

An expression's value is not known, so an example takes its place: of the type that the expression surely has, or null.
What the schema says about the example counts only where it would say it about any value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.api.mcpserverstatus import Tool
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflow import Parameter
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason
from mcp_orchestrator.planning import expressions, mistakes
from mcp_orchestrator.planning.expressions import interpolation
from mcp_orchestrator.planning.workflows import schemas

_EXAMPLES: Mapping[str, Any] = {
    "string": "",
    "integer": 0,
    "number": 0,
    "boolean": False,
    "array": [],
    "object": {},
    "null": None,
}
_CEL_TYPES = {
    "BOOL": "boolean",
    "BYTES": "string",
    "DOUBLE": "number",
    "DURATION": "string",
    "INT": "integer",
    "LIST": "array",
    "MAP": "object",
    "NULL": "null",
    "STRING": "string",
    "TIMESTAMP": "string",
    "UINT": "integer",
}
_OF_SHAPE = frozenset(
    {
        "additionalProperties",
        "maxItems",
        "maxProperties",
        "minItems",
        "minProperties",
        "propertyNames",
        "required",
        "type",
    }
)
"""Keywords that look at the names and the number of what is inside, never at the values."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """The arguments with examples, and for each example its type; "" where the value may be of any type."""

    value: Any
    examples: Mapping[Path, str]


def check(
    task: Task, tool: Tool, parameters: Mapping[str, Parameter], path: str, *, final: bool = False
) -> tuple[Mistake, ...]:
    """What the tool will surely refuse. `path` is that of the arguments."""
    if tool.input_schema is None:
        return ()
    examples: dict[Path, str] = {}
    known = _Known(_exemplified(task.arguments, (), parameters, examples), examples)
    try:
        faults = schemas.faults(tool.input_schema, known.value)
    except schemas.Unusable:  # the server's own mistake, and the server's own check tells what it takes
        return ()
    return tuple(
        mistakes.a_mistake(mistakes.at(path, *inner), TemplateReason.INVALID_ARGUMENT, message)
        for fault in faults
        if _is_certain(fault, known)
        for inner, message in _in_words(fault, known, task, tool.input_schema)
    )


def _exemplified(value: Any, path: Path, parameters: Mapping[str, Parameter], examples: dict[Path, str]) -> Any:
    match value:
        case str():
            pieces = interpolation.parts(value)
            if all(isinstance(piece, str) for piece in pieces):
                return "".join(str(piece) for piece in pieces)
            examples[path] = _type(value, parameters) if interpolation.lone(pieces) else "string"
            return _EXAMPLES.get(examples[path])
        case dict():
            return {key: _exemplified(inner, (*path, key), parameters, examples) for key, inner in value.items()}
        case list() | tuple():
            return [_exemplified(inner, (*path, index), parameters, examples) for index, inner in enumerate(value)]
        case _:
            return value


def _type(text: str, parameters: Mapping[str, Parameter]) -> str:
    """The JSON type that a lone expression's value surely has, or ""."""
    program = expressions.lone(text)
    if program is None:
        return ""
    whole = program.tree.whole
    if whole and whole.root == "params" and len(whole.keys) == 1 and whole.keys[0] in parameters:
        declared = (parameters[str(whole.keys[0])].json_schema or {}).get("type")
        return declared if isinstance(declared, str) and declared in _EXAMPLES else ""
    return _CEL_TYPES.get(program.type.split("<")[0], "")


def _is_certain(fault: schemas.Fault, known: _Known) -> bool:
    """Whether the fault stays whatever the expressions come to."""
    if not known.examples:
        return True
    if fault.conditional:
        return False
    if fault.keyword == "falseSchema":  # it takes no value at all
        return True
    if fault.path in known.examples:
        return fault.keyword == "type" and known.examples[fault.path] != ""
    return fault.keyword in _OF_SHAPE or not _holds_examples(fault.path, known)


def _holds_examples(path: Path, known: _Known) -> bool:
    return any(inner[: len(path)] == path for inner in known.examples)


def _in_words(fault: schemas.Fault, known: _Known, task: Task, schema: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    tool = f'tool "{task.tool}" of MCPServer "{task.server}"'
    properties = schema.get("properties") if not fault.path else None
    names: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    if fault.keyword == "additionalProperties":
        for name in fault.names:
            remedy = mistakes.suggestion(name, names) or f"; it takes {mistakes.listing(names) or 'none'}"
            yield (*fault.path, name), f"{tool} does not take this argument{remedy}"
    elif fault.keyword == "required":
        missing = fault.names[0]
        strange = [name for name in task.arguments if name not in names] if names else []
        hint = mistakes.suggestion(missing, strange).replace("did you mean", "is it meant by")
        yield fault.path, f'"{missing}" is missing, and {tool} needs it{hint}'
    elif fault.keyword == "falseSchema":
        yield fault.path, f"{tool} does not take {'this' if fault.path else 'these arguments'}"
    elif fault.path in known.examples:
        yield (
            fault.path,
            f"this is always of type {known.examples[fault.path]}, but {tool} takes {_either(fault.names)}",
        )
    else:
        message = fault.message_without_value if _holds_examples(fault.path, known) else fault.message
        yield fault.path, f"{message}, as {tool} asks"


def _either(types: tuple[str, ...]) -> str:
    return " or ".join(types)
