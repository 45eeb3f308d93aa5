"""Expressions in templates: what they read, what is wrong with them, and what they come to.

Called by planning.graph, planning.checks and the runner. A string that is one lone `${{ expression }}` has the
expression's value, of any type; in a longer text a string stands as it is and any other value as JSON. `$${{` stands
for the characters `${{`. Conditions are CEL without the braces. Values are data: what a tool answered is never read as
an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason
from mcp_orchestrator.planning import cel, interpolation, mistakes, plain, scope
from mcp_orchestrator.planning.celfaults import Fault
from mcp_orchestrator.planning.paths import Path
from mcp_orchestrator.planning.scope import TASK_CONTENT as TASK_CONTENT
from mcp_orchestrator.planning.scope import TASK_OUTCOME as TASK_OUTCOME
from mcp_orchestrator.planning.scope import Absent as Absent
from mcp_orchestrator.planning.scope import ExpressionFailed as ExpressionFailed
from mcp_orchestrator.planning.scope import Scope as Scope

Roots = Collection[str]
"""The names of the variables that an expression can read."""
ROOTS = cel.ROOTS
MAX_TEXT = 4 * 1024 * 1024
"""Characters of a text with its expressions filled in."""

_TASK_KEYS = (*TASK_CONTENT, *TASK_OUTCOME)
_ACCEPTED = {"bool": ("BOOL", "DYN"), "string": ("STRING", "DYN")}
"""CEL's names of types that may turn out to be the type that is asked for."""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of tasks.TASK.KEY."""

    task: str
    key: str | None
    """None where the expression does not say which: that is a mistake."""
    tested: bool
    """Whether the expression copes with the absence of the task's content: by has(tasks.TASK.KEY), or by `?`."""

    @property
    def needs_success(self) -> bool:
        """Whether the task must have succeeded, and not only have ended."""
        return not self.tested and self.key not in TASK_OUTCOME


@dataclass(frozen=True, slots=True)
class References:
    """Names that expressions use, in order, each once."""

    parameters: tuple[str, ...]
    tasks: tuple[str, ...]
    uses: tuple[Use, ...] = ()
    roots: tuple[str, ...] = ()
    """The variables that are read at all."""


def references(value: Any, roots: Roots = ROOTS) -> References:
    """What the expressions in `value` read. What can't be read names nothing."""
    return _references(program for _, text in strings(value, "") for program in _programs(text, roots))


def condition_references(text: str, roots: Roots = ROOTS) -> References:
    """What a condition reads, or any other bare expression. What can't be read names nothing."""
    program = cel.compile(_bare(text).text, roots)
    return _references([program] if isinstance(program, cel.Program) else [])


def evaluate(value: Any, variables: Scope) -> Any:
    """`value` with every expression in it replaced by what it comes to, as plain JSON. Raises ExpressionFailed."""
    if plain.too_deep(value):
        raise ExpressionFailed(f"the value has more than {plain.MAX_DEPTH} levels of lists and objects")
    return replace(value, lambda text: _filled(text, variables))


def test(text: str, variables: Scope) -> bool:
    """Whether a condition holds: a bare expression, true or false. Raises ExpressionFailed."""
    value = compute(text, variables)
    if isinstance(value, bool):
        return value
    raise ExpressionFailed(f"{_shown(_bare(text).text)}: the value is {plain.kind(value)}, {_instead_of(value)}")


def compute(text: str, variables: Scope) -> Any:
    """The value of a bare expression, as plain JSON. Raises ExpressionFailed."""
    return _value(_bare(text).text, variables)


def check(
    value: Any, path: str, *, parameters: Collection[str], tasks: Collection[str], roots: Roots = ROOTS
) -> tuple[Mistake, ...]:
    """Everything that is wrong with the expressions in `value`, where there are these parameters and tasks."""
    if plain.too_deep(value):
        message = f"the value has more than {plain.MAX_DEPTH} levels of lists and objects; make it flatter"
        return (mistakes.a_mistake(path, TemplateReason.INVALID_EXPRESSION, message),)
    known = {"params": parameters, "tasks": tasks}
    return tuple(
        mistakes.a_mistake(where, TemplateReason.INVALID_EXPRESSION, message)
        for where, text in strings(value, path)
        for message in _complaints(text, known, roots)
    )


def check_condition(
    text: str,
    path: str,
    *,
    parameters: Collection[str],
    tasks: Collection[str],
    roots: Roots = ROOTS,
    type: Literal["bool", "string", "any"] = "bool",  # noqa: A002 - that is what CEL calls it
) -> tuple[Mistake, ...]:
    """Everything that is wrong with a bare expression, also that its value is never of the type that is asked for."""
    known = {"params": parameters, "tasks": tasks}
    code = _bare(text)
    program = cel.compile(code.text, roots)
    found = list(_program_complaints(program, code, text, known))
    if isinstance(program, cel.Program) and not found and type != "any" and program.type not in _ACCEPTED[type]:
        found.append(f"this is always of type {program.type.lower()}, and must be a {type}")
    return tuple(mistakes.a_mistake(path, TemplateReason.INVALID_EXPRESSION, message) for message in found)


def lone(text: str, roots: Roots = ROOTS) -> cel.Program | None:
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


# --- reading ---------------------------------------------------------------------------------------------------------


def _bare(text: str) -> interpolation.Code:
    """The expression itself. Braces around it are not needed and do no harm."""
    stripped = text.strip()
    if stripped.startswith("${{"):
        try:
            if code := interpolation.lone(interpolation.parts(stripped)):
                return interpolation.Code(code.text, code.offset + text.index(stripped))
        except interpolation.Unclosed:
            pass
    return interpolation.Code(stripped, text.index(stripped))


def _programs(text: str, roots: Roots) -> Iterator[cel.Program]:
    try:
        pieces = interpolation.parts(text)
    except interpolation.Unclosed:
        return
    for piece in pieces:
        program = cel.compile(piece.text, roots) if isinstance(piece, interpolation.Code) else None
        if isinstance(program, cel.Program):
            yield program


def _references(programs: Iterable[cel.Program]) -> References:
    parameters: set[str] = set()
    uses: dict[Use, None] = {}
    roots: set[str] = set()
    for program in programs:
        paths = program.tree.paths
        roots.update(path.root for path in paths)
        parameters.update(str(path.keys[0]) for path in paths if path.root == "params" and path.keys)
        of_tasks = [path for path in paths if path.root == "tasks" and path.keys]
        tested = {path.keys[0] for path in of_tasks if path.tests(1) and _key(path) not in TASK_OUTCOME}
        uses.update(dict.fromkeys(Use(str(path.keys[0]), _key(path), path.keys[0] in tested) for path in of_tasks))
    return References(
        parameters=tuple(sorted(parameters)),
        tasks=tuple(sorted({use.task for use in uses})),
        uses=tuple(uses),
        roots=tuple(sorted(roots)),
    )


def _key(path: Path) -> str | None:
    return str(path.keys[1]) if len(path.keys) > 1 else None


# --- checking --------------------------------------------------------------------------------------------------------


def _complaints(text: str, known: Mapping[str, Collection[str]], roots: Roots) -> Iterator[str]:
    try:
        pieces = interpolation.parts(text)
    except interpolation.Unclosed as error:
        where = interpolation.place(text, error.offset)
        yield f'{error.what} ({where}); close it, or write "$${{{{" for the characters "${{{{"'
        return
    for piece in pieces:
        if isinstance(piece, interpolation.Code):
            yield from _program_complaints(cel.compile(piece.text, roots), piece, text, known)


def _program_complaints(
    program: cel.Program | tuple[Fault, ...], code: interpolation.Code, text: str, known: Mapping[str, Collection[str]]
) -> Iterator[str]:
    if isinstance(program, cel.Program):
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
    elif message := _incomplete(path):
        yield message
    elif path.root == "tasks" and path.keys[1] not in _TASK_KEYS:
        key = str(path.keys[1])
        hint = mistakes.suggestion(key, _TASK_KEYS) or "; write tasks.NAME.result and the key after that"
        yield f'{path}: a task has no "{key}"{hint}'
    elif path.root in scope.MEMBERS and path.keys and path.keys[0] not in scope.MEMBERS[path.root]:
        key, members = str(path.keys[0]), scope.MEMBERS[path.root]
        remedy = mistakes.suggestion(key, members) or f"; there are {mistakes.listing(members)}"
        yield f'{path}: "{path.root}" has no "{key}"{remedy}'


def _incomplete(path: Path) -> str:
    """Why a path is too short, or nothing. All parameters or all that is known of a task are never one value."""
    if path.root in scope.NAMED and not path.keys:
        word = scope.NAMED[path.root]
        return f'"{path}" must be followed by the name of a {word}: {path}.NAME or {path}["NAME"]'
    if path.root == "tasks" and len(path.keys) == 1:
        return f'"{path}" must be followed by what is read of the task, such as {path}.result'
    return ""


# --- evaluating ------------------------------------------------------------------------------------------------------


def _filled(text: str, variables: Scope) -> Any:
    try:
        pieces = interpolation.parts(text)
    except interpolation.Unclosed as error:
        raise ExpressionFailed(f"{_shown(text)}: {error.what}") from None
    if code := interpolation.lone(pieces):
        return _value(code.text, variables)
    filled, room = [], MAX_TEXT
    for piece in pieces:
        words = piece if isinstance(piece, str) else plain.text(_value(piece.text, variables))
        room -= len(words)
        if room < 0:
            raise ExpressionFailed(f"{_shown(text)}: the text would have more than {MAX_TEXT} characters")
        filled.append(words)
    return "".join(filled)


def _value(text: str, variables: Scope) -> Any:
    program = cel.compile(text, variables.roots)
    if not isinstance(program, cel.Program):
        raise ExpressionFailed(f"{_shown(text) or '${{ }}'}: {program[0].message}")
    for path in program.tree.paths:
        if message := _incomplete(path):
            raise ExpressionFailed(f"{_shown(text)}: {message}")
    if program.tree.whole:
        # The most frequent kind: no conversion of a large result, and its numbers and order of keys stay as they are.
        return scope.checked(scope.follow(program.tree.whole, variables), _shown(text))
    try:
        value = cel.run(program, scope.data(program.tree.paths, variables))
    except cel.Failed as error:
        raise _explained(error, program, variables) from None
    # cel-cpp keeps no order of keys; a fixed one makes the same run give the same text.
    return plain.ordered(scope.checked(value, _shown(text)))


def _explained(error: cel.Failed, program: cel.Program, variables: Scope) -> ExpressionFailed:
    """The failure in the words of the path that it comes from, where there is one."""
    for path in program.tree.paths if error.absent is not None else ():
        try:
            scope.follow(path, variables)
        except Absent as absent:
            if error.absent in ("", str(absent.key)) and not path.tests(absent.depth):
                return absent
    return ExpressionFailed(f"{_shown(program.text)}: {error}")


def _instead_of(value: Any) -> str:
    match value:
        case str():
            remedy = 'compare it, as in … == "yes"'
        case int() | float():
            remedy = "compare it, as in … > 0"
        case None:
            remedy = "compare it, as in … != null"
        case _:
            remedy = "ask for its size, as in size(…) > 0"
    return f"and a condition must be true or false: {remedy}"


def _shown(text: str) -> str:
    return conditions.shorten(text, mistakes.MAX_QUOTED)
