"""Where expressions stand in the JSON of a template: its strings, and what is between their braces.

Called by planning.expressions, `reading` and `checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from mcp_orchestrator.planning import mistakes, plain
from mcp_orchestrator.planning.cel import engine
from mcp_orchestrator.planning.cel.paths import Path
from mcp_orchestrator.planning.expressions import interpolation

Roots = Collection[str]
"""The names of the variables that an expression can read."""


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


def templates(value: Any) -> Iterator[str]:
    """Every string that holds an opening of an expression."""
    level = [value]
    for _ in range(plain.MAX_DEPTH + 1):
        if not level:
            return
        yield from (inner for inner in level if isinstance(inner, str) and "${{" in inner)
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
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


def bare(text: str) -> interpolation.Code:
    """The expression itself. Braces around it are not needed and do no harm."""
    stripped = text.strip()
    if stripped.startswith("${{"):
        try:
            if code := interpolation.lone(interpolation.parts(stripped)):
                return interpolation.Code(code.text, code.offset + text.index(stripped))
        except interpolation.Unclosed:
            pass
    return interpolation.Code(stripped, text.index(stripped))


def programs(text: str, roots: Roots) -> Iterator[engine.Program]:
    """The programs of a string's sound expressions."""
    try:
        pieces = interpolation.parts(text)
    except interpolation.Unclosed:
        return
    for piece in pieces:
        program = engine.compile(piece.text, roots) if isinstance(piece, interpolation.Code) else None
        if isinstance(program, engine.Program):
            yield program


def lone(text: str, roots: Roots = engine.ROOTS) -> engine.Program | None:
    """The program of a string that is one lone, sound expression."""
    try:
        code = interpolation.lone(interpolation.parts(text))
    except interpolation.Unclosed:
        return None
    program = engine.compile(code.text, roots) if code else None
    return program if isinstance(program, engine.Program) else None


def lone_path(text: str, roots: Roots) -> Path | None:
    """The path that a string consists of, where that is plain to see."""
    try:
        code = interpolation.lone(interpolation.parts(text))
    except interpolation.Unclosed:
        return None
    return engine.plain_path(code.text, roots) if code else None
