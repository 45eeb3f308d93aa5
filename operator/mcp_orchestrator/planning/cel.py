"""CEL, as Google's cel-cpp has it: compiling and running. Called by planning.expressions.

Why this library: docs/decisions/0002-cel-expressions.md.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel as google  # type: ignore[import-untyped]  # the package has no py.typed marker
from cel_expr_python.ext import (  # type: ignore[import-untyped]  # likewise
    ext_bindings,
    ext_encoders,
    ext_math,
    ext_optional,
    ext_strings,
)

from mcp_orchestrator.planning import celfaults, celtree, paths
from mcp_orchestrator.planning.celfaults import Fault

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
_FAILURES = (RuntimeError, TypeError, ValueError, SystemError, OverflowError)
"""What the binding raises, by what went wrong where in it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression."""

    text: str
    compiled: Any
    """None where the expression is nothing but a path, and that was plain to see without CEL."""
    tree: celtree.Tree
    type: str
    """CEL's name of the type of its value, DYN where that is known only when it runs."""


class Failed(RuntimeError):
    """The evaluation failed; the message says why."""

    def __init__(self, report: str) -> None:
        super().__init__(celfaults.in_words(report))
        self.absent = celfaults.absent(report)
        """The key or index that is not there, "" where the report does not name it, None if it tells something else."""


def compile(text: str, roots: Iterable[str] = ROOTS) -> Program | tuple[Fault, ...]:  # noqa: A001 - cel.compile is the name that readers expect
    """The program of an expression that can read the variables `roots`, or everything that is wrong with it."""
    return _compile(text, tuple(sorted(roots)))


def run(program: Program, data: Mapping[str, Any]) -> Any:
    """The value of the expression, of Python's types. `data` holds plain JSON only. Raises Failed."""
    try:
        value = program.compiled.eval(data=data)
        if value.type() == google.Type.ERROR:
            raise Failed(value.value())
        return value.plain_value()
    except Failed:
        raise
    except _FAILURES as error:
        raise Failed(str(error)) from None


@functools.lru_cache(maxsize=4096)
def _compile(text: str, roots: tuple[str, ...]) -> Program | tuple[Fault, ...]:
    if len(text) > MAX_EXPRESSION:
        return (Fault(f"the expression has {len(text)} characters, and {MAX_EXPRESSION} is the most"),)
    if not text:
        return (Fault("the expression is empty"),)
    if not _encodable(text):
        return (Fault("the expression is not valid Unicode"),)
    if (path := paths.parse(text)) and path.root in roots and _surely_compiles(path):
        tree = celtree.Tree(paths=(path,), whole=path)
        return Program(text, None, tree, "DYN" if path.keys else _TYPES.get(path.root, google.Type.DYN).name())
    try:
        compiled = _environment(roots).compile(text)
    except _FAILURES as error:
        return tuple(celfaults.faults(str(error), text, roots))
    type_name = compiled.return_type().name()
    if "optional_type" in type_name:
        return (Fault("the value may be absent, which JSON has no form for: put .orValue(…) behind it"),)
    return Program(text, compiled, celtree.read(compiled.serialize(), roots), type_name)


def _surely_compiles(path: paths.Path) -> bool:
    """Whether CEL's type checker has nothing to say about it."""
    declared = _TYPES.get(path.root)
    return not path.keys or declared is None or (declared is _OBJECT and isinstance(path.keys[0], str))


@functools.lru_cache(maxsize=64)
def _environment(roots: tuple[str, ...]) -> Any:
    return google.NewEnv(
        variables={root: _TYPES.get(root, google.Type.DYN) for root in roots},
        extensions=[
            ext_strings.ExtStrings(),
            ext_math.ExtMath(),
            ext_encoders.ExtEncoders(),
            ext_optional.ExtOptional(),
            ext_bindings.ExtBindings(),
        ],
    )


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
