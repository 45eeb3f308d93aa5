"""Expressions in arguments and outputs: what they read, what is wrong with them, and what they come to.

Called by planning.graph, planning.checks and the runner. A string that is one lone `${{ expression }}` has the
expression's value, of any type; in a longer text a string stands as it is and any other value as JSON. `$${{` stands
for the characters `${{`. Values are data: what a tool answered is never read as an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
import re

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason
from mcp_orchestrator.planning import cel, celtree, interpolation, mistakes, plain

TASK_KEYS = ("result",)
"""What expressions can read of a task."""
MAX_TEXT = 4 * 1024 * 1024
"""Characters of a text with its expressions filled in."""


TASK_CONTENT = ("result", "structured", "text", "images", "audio", "resources", "links", "items", "failures")
TASK_OUTCOME = ("phase", "succeeded", "failed", "skipped", "error", "attempts")


@dataclass(frozen=True, slots=True)
class Scope:
    variables: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Use:
    task: str
    key: str | None
    tested: bool


@dataclass(frozen=True, slots=True)
class References:
    parameters: tuple[str, ...]
    tasks: tuple[str, ...]
    uses: tuple[Use, ...] = ()
    roots: tuple[str, ...] = ()


class ExpressionFailed(Exception):
    """An expression has no value: it can't be read, or what it reads is not there. The message is for people."""


def _refs(programs) -> References:
    params, tasks, uses = set(), set(), []
    for program in programs:
        tested = set(re.findall(r"has\(tasks\.(\w+)\.", program.text))
        for path in program.tree.paths:
            if path.root == "params" and path.keys:
                params.add(str(path.keys[0]))
            if path.root == "tasks" and path.keys:
                tasks.add(str(path.keys[0]))
                uses.append(
                    Use(str(path.keys[0]), str(path.keys[1]) if len(path.keys) > 1 else None, path.keys[0] in tested)
                )
    return References(tuple(sorted(params)), tuple(sorted(tasks)), tuple(uses))


def references(value: Any, roots=cel.ROOTS) -> References:
    found = []
    for _, text in strings(value, ""):
        try:
            pieces = interpolation.parts(text)
        except interpolation.Unclosed:
            continue
        for piece in pieces:
            program = cel.compile(piece.text, roots) if isinstance(piece, interpolation.Code) else None
            if isinstance(program, cel.Program):
                found.append(program)
    return _refs(found)


def condition_references(text, roots=cel.ROOTS):
    program = cel.compile(text, roots)
    return _refs([program] if isinstance(program, cel.Program) else [])


def test(text, scope):
    value = compute(text, scope)
    if not isinstance(value, bool):
        raise ExpressionFailed(f"{text}: it is {plain.kind(value)}, and must be a boolean")
    return value


def compute(text, scope):
    return _value(text, scope)


def evaluate(value: Any, scope: Scope) -> Any:
    """`value` with every expression in it replaced by what it comes to, as plain JSON. Raises ExpressionFailed."""
    if plain.too_deep(value):
        raise ExpressionFailed(f"the value has more than {plain.MAX_DEPTH} levels of lists and objects")
    return replace(value, lambda text: _filled(text, scope))


def check(
    value: Any, path: str, *, parameters: Collection[str], tasks: Collection[str], roots=cel.ROOTS
) -> tuple[Mistake, ...]:
    if plain.too_deep(value):
        message = f"the value has more than {plain.MAX_DEPTH} levels of lists and objects; make it flatter"
        return (mistakes.a_mistake(path, TemplateReason.INVALID_EXPRESSION, message),)
    known = {"params": parameters, "tasks": tasks}
    return tuple(
        mistakes.a_mistake(where, TemplateReason.INVALID_EXPRESSION, message)
        for where, text in strings(value, path)
        for message in _complaints(text, known, roots)
    )


def check_condition(text, path, *, parameters, tasks, roots=cel.ROOTS, type="bool"):
    return check("${{" + text + "}}", path, parameters=parameters, tasks=tasks, roots=roots)


def lone(text: str, roots=cel.ROOTS) -> cel.Program | None:
    """The program of a string that is one lone, sound expression."""
    try:
        code = interpolation.lone(interpolation.parts(text))
    except interpolation.Unclosed:
        return None
    program = cel.compile(code.text, roots) if code else None
    return program if isinstance(program, cel.Program) else None


def strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string that may hold expressions, with its path. Keys of objects hold none."""
    level: list[tuple[str, Any]] = [(path, value)]
    for _ in range(plain.MAX_DEPTH + 1):
        if not level:
            return
        yield from ((where, inner) for where, inner in level if isinstance(inner, str))
        level = [
            (mistakes.at(where, key), inner)
            for where, outer in level
            if isinstance(outer, dict | list | tuple)
            for key, inner in (outer.items() if isinstance(outer, dict) else enumerate(outer))
        ]


def replace(value: Any, change: Callable[[str], Any]) -> Any:
    """A copy of `value` with every string that may hold expressions changed."""
    match value:
        case str():
            return change(value)
        case dict():
            return {key: replace(inner, change) for key, inner in value.items()}
        case list() | tuple():
            return [replace(inner, change) for inner in value]
        case _:
            return value


# --- checking --------------------------------------------------------------------------------------------------------


def _paths(text: str) -> Iterator[celtree.Path]:
    try:
        pieces = interpolation.parts(text)
    except interpolation.Unclosed:
        return
    for piece in pieces:
        program = cel.compile(piece.text) if isinstance(piece, interpolation.Code) else None
        if isinstance(program, cel.Program):
            yield from program.tree.paths


def _complaints(text: str, known: Mapping[str, Collection[str]], roots) -> Iterator[str]:
    try:
        pieces = interpolation.parts(text)
    except interpolation.Unclosed as error:
        where = interpolation.place(text, error.offset)
        yield f'{error.what} ({where}); close it, or write "$${{{{" for the characters "${{{{"'
        return
    for piece in pieces:
        if isinstance(piece, str):
            continue
        program = cel.compile(piece.text, roots)
        if isinstance(program, cel.Program):
            for path in program.tree.paths:
                yield from _unknown(path, known)
        else:
            yield from (
                f"{fault.message} ({interpolation.place(text, piece.offset + fault.offset)})" for fault in program
            )


def _unknown(path: celtree.Path, known: Mapping[str, Collection[str]]) -> Iterator[str]:
    if path.root not in known:
        return
    names = known[path.root]
    word = "parameter" if path.root == "params" else "task"
    if not path.keys:
        yield f'"{path}" must be followed by the name of a {word}: {path}.NAME or {path}["NAME"]'
    elif path.keys[0] not in names:
        name = str(path.keys[0])
        remedy = mistakes.suggestion(name, names) or f"; there are {mistakes.listing(names) or 'none'}"
        yield f'unknown {word} "{name}"{remedy}'
    elif path.root == "tasks" and len(path.keys) > 1 and path.keys[1] not in TASK_CONTENT + TASK_OUTCOME:
        key = str(path.keys[1])
        hint = mistakes.suggestion(key, TASK_KEYS) or "; write tasks.NAME.result and the key after that"
        yield f'{path}: a task has no "{key}"{hint}'


# --- evaluating ------------------------------------------------------------------------------------------------------


def _filled(text: str, scope: Scope) -> Any:
    try:
        pieces = interpolation.parts(text)
    except interpolation.Unclosed as error:
        raise ExpressionFailed(f"{_shown(text)}: {error.what}") from None
    if code := interpolation.lone(pieces):
        return _value(code.text, scope)
    filled, room = [], MAX_TEXT
    for piece in pieces:
        words = piece if isinstance(piece, str) else plain.text(_value(piece.text, scope))
        room -= len(words)
        if room < 0:
            raise ExpressionFailed(f"{_shown(text)}: the text would have more than {MAX_TEXT} characters")
        filled.append(words)
    return "".join(filled)


def _value(text: str, scope: Scope) -> Any:
    program = cel.compile(text, tuple(scope.variables))
    if not isinstance(program, cel.Program):
        raise ExpressionFailed(f"{_shown(text)}: {program[0].message}")
    bare = next((path for path in program.tree.paths if not path.keys and path.root in cel.ROOTS), None)
    if bare:
        raise ExpressionFailed(f'{_shown(text)}: "{bare}" must be followed by a name')
    if program.tree.whole:
        # The most frequent kind: no conversion of a large result, and its numbers and order of keys stay as they are.
        return _plain(_follow(program.tree.whole, scope), text)
    try:
        # cel-cpp keeps no order of keys; a fixed one makes the same run give the same text.
        return plain.ordered(_plain(cel.run(program, _data(program, scope)), text))
    except cel.Failed as error:
        raise _explained(error, program, scope) from None


def _data(program: cel.Program, scope: Scope) -> Mapping[str, Any]:
    """Only what the expression names: a large result costs time in CEL for being there."""
    data = {}
    for root in {p.root for p in program.tree.paths}:
        if root not in ("params", "tasks"):
            data[root] = _plain(scope.variables[root], root)
    for path in program.tree.paths:
        if path.root in ("params", "tasks"):
            there = scope.variables[path.root]
            name = path.keys[0]
            data.setdefault(path.root, {})
            if name in there:
                data[path.root][str(name)] = _plain(there[name], str(path))
    for root in ("params", "tasks"):
        data.setdefault(root, {})
    return data


def _follow(path: celtree.Path, scope: Scope) -> Any:
    value: Any = scope.variables[path.root]
    for depth, key in enumerate(path.keys):
        if not _holds(value, key):
            raise Absent(path, depth, value)
        value = value[key]
    return value


def _holds(value: Any, key: str | int) -> bool:
    if isinstance(key, str):
        return isinstance(value, Mapping) and key in value
    return isinstance(value, list | tuple) and key < len(value)


class Absent(ExpressionFailed):
    """What a path leads to is not there."""

    def __init__(self, path: celtree.Path, depth: int, value: Any) -> None:
        self.key = path.keys[depth]
        here = celtree.Path(path.root, path.keys[: depth + 1])
        holder = (
            "the result" if path.root == "tasks" and depth == 2 else str(celtree.Path(path.root, path.keys[:depth]))
        )
        if depth == 0 and path.root in cel.ROOTS:
            word = "parameter" if path.root == "params" else "finished task"
            why = f"no such {word}; there are {mistakes.listing(value) or 'none'}"
        elif isinstance(value, Mapping):
            why = f"no such key; {holder} has {mistakes.listing(value) or 'none'}"
        elif isinstance(value, list | tuple):
            why = f"no such item; {holder} is a list of {len(value)}"
        else:
            why = f"no such key; {holder} is {plain.kind(value)}"
        super().__init__(f"{here}: {why}")
        self.task = str(path.keys[0]) if path.root == "tasks" else None


def _explained(error: cel.Failed, program: cel.Program, scope: Scope) -> ExpressionFailed:
    """The failure in the words of the path that it comes from, where there is one."""
    for path in program.tree.paths if error.absent is not None else ():
        try:
            _follow(path, scope)
        except Absent as absent:
            if error.absent in ("", str(absent.key)):
                return absent
    return ExpressionFailed(f"{_shown(program.text)}: {error}")


def _plain(value: Any, text: str) -> Any:
    try:
        return plain.plain(value)
    except plain.NotPlain as error:
        raise ExpressionFailed(f"{_shown(text)}: the value {error}") from None


def _shown(text: str) -> str:
    return conditions.shorten(text, mistakes.MAX_QUOTED)
