"""What is wrong with the expressions of a template. Called by workflows.checks through the package."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason
from mcp_orchestrator.planning import mistakes, plain
from mcp_orchestrator.planning.cel import engine
from mcp_orchestrator.planning.cel.faults import Fault
from mcp_orchestrator.planning.cel.paths import Path
from mcp_orchestrator.planning.expressions import interpolation, scope, texts
from mcp_orchestrator.planning.expressions.texts import Roots

_TASK_KEYS = (*scope.TASK_CONTENT, *scope.TASK_OUTCOME)
_ACCEPTED = {"bool": ("BOOL", "DYN"), "string": ("STRING", "DYN")}
"""CEL's names of types that may turn out to be the type that is asked for."""


def check(
    value: Any, path: str, *, parameters: Collection[str], tasks: Collection[str], roots: Roots = engine.ROOTS
) -> tuple[Mistake, ...]:
    """Everything that is wrong with the expressions in `value`, where there are these parameters and tasks."""
    if plain.too_deep(value):
        message = f"the value has more than {plain.MAX_DEPTH} levels of lists and objects; make it flatter"
        return (mistakes.a_mistake(path, TemplateReason.INVALID_EXPRESSION, message),)
    known = {"params": parameters, "tasks": tasks}
    return tuple(
        mistakes.a_mistake(where, TemplateReason.INVALID_EXPRESSION, message)
        for where, text in texts.strings(value, path)
        for message in _complaints(text, known, roots)
    )


def check_condition(
    text: str,
    path: str,
    *,
    parameters: Collection[str],
    tasks: Collection[str],
    roots: Roots = engine.ROOTS,
    type: Literal["bool", "string", "any"] = "bool",  # noqa: A002 - that is what CEL calls it
) -> tuple[Mistake, ...]:
    """Everything that is wrong with a bare expression, also that its value is never of the type that is asked for."""
    known = {"params": parameters, "tasks": tasks}
    code = texts.bare(text)
    program = engine.compile(code.text, roots)
    found = list(_program_complaints(program, code, text, known))
    if isinstance(program, engine.Program) and not found and type != "any" and program.type not in _ACCEPTED[type]:
        found.append(f"this is always of type {program.type.lower()}, and must be a {type}")
    return tuple(mistakes.a_mistake(path, TemplateReason.INVALID_EXPRESSION, message) for message in found)


def variable_fault(name: str) -> str:
    """Why the item of a forEach task can't have this name, or nothing."""
    if name in scope.VARIABLES:
        return f'"{name}" is the name of another variable; choose one such as "item"'
    if name in engine.NAMES:
        return f'"{name}" is a word of CEL itself; choose another one such as "item"'
    return ""


def _complaints(text: str, known: Mapping[str, Collection[str]], roots: Roots) -> Iterator[str]:
    try:
        pieces = interpolation.parts(text)
    except interpolation.Unclosed as error:
        where = interpolation.place(text, error.offset)
        yield f'{error.what} ({where}); close it, or write "$${{{{" for the characters "${{{{"'
        return
    for piece in pieces:
        if isinstance(piece, interpolation.Code):
            yield from _program_complaints(engine.compile(piece.text, roots), piece, text, known)


def _program_complaints(
    program: engine.Program | tuple[Fault, ...],
    code: interpolation.Code,
    text: str,
    known: Mapping[str, Collection[str]],
) -> Iterator[str]:
    if isinstance(program, engine.Program):
        for path in program.tree.paths:
            yield from _unknown(path, known)
    else:
        for fault in program:
            yield f"{fault.message} ({interpolation.place(text, code.offset + fault.offset)})"


def _unknown(path: Path, known: Mapping[str, Collection[str]]) -> Iterator[str]:
    if path.root in scope.NAMED and path.keys and path.keys[0] not in known[path.root]:
        word, name, names = scope.NAMED[path.root], str(path.keys[0]), known[path.root]
        remedy = mistakes.suggestion(name, names) or f"; there are {mistakes.listing(names) or 'none'}"
        yield f'unknown {word} "{name}"{remedy}'
    elif message := incomplete(path):
        yield message
    elif path.root == "tasks" and path.keys[1] not in _TASK_KEYS:
        key = str(path.keys[1])
        hint = mistakes.suggestion(key, _TASK_KEYS) or "; write tasks.NAME.result and the key after that"
        yield f'{path}: a task has no "{key}"{hint}'
    elif path.root in scope.MEMBERS and path.keys and path.keys[0] not in scope.MEMBERS[path.root]:
        key, members = str(path.keys[0]), scope.MEMBERS[path.root]
        remedy = mistakes.suggestion(key, members) or f"; there are {mistakes.listing(members)}"
        yield f'{path}: "{path.root}" has no "{key}"{remedy}'


def incomplete(path: Path) -> str:
    """Why a path is too short, or nothing. All parameters or all that is known of a task are never one value."""
    if path.root in scope.NAMED and not path.keys:
        word = scope.NAMED[path.root]
        return f'"{path}" must be followed by the name of a {word}: {path}.NAME or {path}["NAME"]'
    if path.root == "tasks" and len(path.keys) == 1:
        return f'"{path}" must be followed by what is read of the task, such as {path}.result'
    return ""
