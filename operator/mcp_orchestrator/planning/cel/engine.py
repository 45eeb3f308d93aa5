"""CEL, as Google's cel-cpp has it: compiling and running. Called by planning.expressions.

Why this library: docs/decisions/0002-cel-expressions.md.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel as google  # type: ignore[import-untyped]  # the package has no py.typed marker

from mcp_orchestrator.planning.cel import cost, faults, functions, keyorder, paths, reading, syntaxtree
from mcp_orchestrator.planning.cel.costmodels import Size
from mcp_orchestrator.planning.cel.faults import Fault

ROOTS = ("params", "tasks")
"""The variables of every expression that says nothing else."""
MAX_EXPRESSION = 4096
"""Characters of one expression."""

_OBJECT = google.Type.Map(google.Type.STRING, google.Type.DYN)
_TYPES = {
    "params": _OBJECT,
    "tasks": _OBJECT,
    "run": _OBJECT,
    "error": _OBJECT,
    "text": google.Type.STRING,
    "key": google.Type.STRING,
    "index": google.Type.INT,
    "attempt": google.Type.INT,
}
"""The variables that are always of one type. All others hold any value."""
NAMES = paths.KEYWORDS | {
    "bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "optional_type", "string", "type", "uint",
}  # fmt: skip
"""What CEL keeps for itself: no variable can be called so."""
_EXTENSIONS = google.NewEnvConfigFromYaml(
    "extensions: [{name: bindings}, {name: encoders}, {name: lists}, {name: math}, {name: optional}, {name: regex}, "
    "{name: sets}, {name: strings}, {name: two-var-comprehensions}]"
)
_FAILURES = (RuntimeError, TypeError, ValueError, SystemError, OverflowError, ImportError)
"""What the binding raises, by what went wrong where in it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression."""

    text: str
    compiled: Any
    """None where the expression is nothing but a path, and that was plain to see without CEL."""
    syntax: syntaxtree.Node
    tree: reading.Tree
    type: str
    """CEL's name of the type of its value, DYN where that is known only when it runs."""
    is_small: bool = True
    """Whether its cost needs no reckoning before it runs."""


class Failed(RuntimeError):
    """The evaluation failed; the message says why."""

    def __init__(self, message: str, absent: str | None = None) -> None:
        super().__init__(message)
        self.absent = absent
        """The key or index that is not there, "" where CEL does not name it, None if it is something else."""


def compile(text: str, roots: Iterable[str] = ROOTS) -> Program | tuple[Fault, ...]:  # noqa: A001 - the name that CEL's libraries have for it
    """The program of an expression that can read the variables `roots`, or everything that is wrong with it."""
    return _compile(text, tuple(sorted(roots)))


def plain_path(text: str, roots: Collection[str]) -> paths.Path | None:
    """The path that an expression consists of, where that is plain to see and CEL has surely nothing against it."""
    if len(text) > MAX_EXPRESSION or (path := paths.parse(text)) is None or path.root not in roots:
        return None
    declared = _TYPES.get(path.root)
    sound = not path.keys or declared is None or (declared is _OBJECT and isinstance(path.keys[0], str))
    return path if sound else None


def run(program: Program, data: Mapping[str, Any], measure: cost.Measure) -> Any:
    """The value of the expression, of Python's types. Raises Failed.

    `data` holds what inputs.taken gave, and `measure` tells how large what a path leads to is.
    """
    if not program.is_small and (reason := cost.is_too_much(cost.bound(program.syntax, program.tree.paths, measure))):
        raise Failed(f"with these values, {reason}; read less of them, or let a tool do that")
    try:
        value = program.compiled.eval(data=data)
        if value.type() != google.Type.ERROR:
            return value.plain_value()
        report = value.value()
    except _FAILURES as error:
        report = str(error)
    raise Failed(faults.in_words(report, program.text), faults.absent(report))


@functools.lru_cache(maxsize=4096)
def _compile(text: str, roots: tuple[str, ...]) -> Program | tuple[Fault, ...]:
    if len(text) > MAX_EXPRESSION:
        return (Fault(f"the expression has {len(text)} characters, and {MAX_EXPRESSION} is the most"),)
    if not text:
        return (Fault("the expression is empty"),)
    if not _encodable(text):
        return (Fault("the expression is not valid Unicode"),)
    if path := plain_path(text, roots):
        tree = reading.Tree(paths=(path,), whole=path)
        type_ = google.Type.DYN if path.keys else _TYPES.get(path.root, google.Type.DYN)
        return Program(text, None, syntaxtree.Name(path.root), tree, type_.name())
    try:
        compiled = _environment(roots).compile(text)
    except _FAILURES as error:
        return tuple(faults.faults(str(error), text, roots))
    serialized = compiled.serialize()
    syntax = syntaxtree.read(serialized)
    small = cost.is_small(syntax)
    if reason := _refused(syntax, compiled.return_type().name(), is_small=small):
        return (Fault(reason),)
    type_name = compiled.return_type().name()
    if not small and (changed := keyorder.ordered(serialized, _template())) != serialized:
        compiled = _environment(roots).deserialize(changed)
    return Program(text, compiled, syntax, reading.read(syntax, roots), type_name, small)


def _refused(syntax: syntaxtree.Node, type_name: str, *, is_small: bool) -> str:
    """Why CEL can compile but we would never evaluate it, or nothing."""
    if "optional_type" in type_name:
        return "the value may be absent, which JSON has no form for: put .orValue(…) behind it"
    if cost.depth(syntax) > cost.MAX_MACROS:
        return f"more than {cost.MAX_MACROS} macros such as map and filter stand inside each other; use several tasks"
    if function := cost.missing(syntax):
        return f'"{function}" is not available here'
    return "" if is_small else cost.is_too_much(cost.bound(syntax, (), lambda _: Size(number=0)))


@functools.lru_cache(maxsize=64)
def _environment(roots: tuple[str, ...]) -> Any:
    return google.NewEnv(
        config=_EXTENSIONS,
        variables={root: _TYPES.get(root, google.Type.DYN) for root in roots},
        functions=_functions(),
    )


@functools.lru_cache(maxsize=1)
def _template() -> bytes:
    keys = _function(
        "maps.xkeys",
        google.Type.List(google.Type.DYN),
        [google.Type.Map(google.Type.DYN, google.Type.DYN)],
        keyorder.keys,
    )
    environment = google.NewEnv(config=_EXTENSIONS, functions=[keys])
    return bytes(environment.compile(keyorder.TEMPLATE).serialize())


@functools.lru_cache(maxsize=1)
def _functions() -> list[Any]:
    kinds = google.Type
    anything = {
        "bool": kinds.BOOL, "int": kinds.INT, "uint": kinds.UINT, "double": kinds.DOUBLE, "string": kinds.STRING,
        "bytes": kinds.BYTES, "timestamp": kinds.TIMESTAMP, "duration": kinds.DURATION, "null": kinds.NULL,
        "list": kinds.List(kinds.DYN), "map": kinds.Map(kinds.DYN, kinds.DYN),
    }  # fmt: skip
    encode = [
        google.Overload(f"json_encode_{name}", kinds.STRING, [kind], impl=functions.json_encode)
        for name, kind in anything.items()
    ]
    return [
        google.FunctionDecl("json.encode", encode),
        _function("json.decode", kinds.DYN, [kinds.STRING], functions.json_decode),
        _function(keyorder.KEYS, google.Type.List(kinds.DYN), [kinds.Map(kinds.DYN, kinds.DYN)], keyorder.keys),
        _function(keyorder.PAIRS, google.Type.List(kinds.DYN), [kinds.Map(kinds.DYN, kinds.DYN)], keyorder.pairs),
        _function("time.format", kinds.STRING, [kinds.TIMESTAMP, kinds.STRING], functions.time_format),
        _function("time.parse", kinds.TIMESTAMP, [kinds.STRING, kinds.STRING], functions.time_parse),
    ]


def _function(name: str, result: Any, parameters: list[Any], implementation: Any) -> Any:
    overload = google.Overload(name.replace(".", "_"), result, parameters, impl=implementation)
    return google.FunctionDecl(name, [overload])


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
