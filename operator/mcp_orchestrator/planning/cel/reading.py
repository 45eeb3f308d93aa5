"""What a compiled CEL expression reads, from its syntax tree. Called by `engine`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from mcp_orchestrator.planning.cel.paths import Path
from mcp_orchestrator.planning.cel.syntaxtree import Call, Constant, Literal, Loop, Name, Node, Select


@dataclass(frozen=True, slots=True)
class Tree:
    """What an expression reads."""

    paths: tuple[Path, ...]
    """Every use of a variable, as far as its keys are constant."""
    whole: Path | None
    """The path that the expression consists of, if it is nothing but one."""


def read(root: Node, variables: Collection[str]) -> Tree:
    """What the expression reads of these variables. Names that are none of them are those of types."""
    paths = tuple(dict.fromkeys(path for path in _paths(root, frozenset()) if path.root in variables))
    plain = paths[:1] == (path_of(root),) and paths[0].guarded is None
    return Tree(paths=paths, whole=paths[0] if plain else None)


def path_of(node: Node, bound: frozenset[str] = frozenset()) -> Path | None:
    """The path that an expression is, if it is one; `bound` are the variables of the macros around it."""
    match node:
        case Name(name):
            return None if name in bound or name.startswith("@") else Path(name, ())
        case Select(operand, field, asked):
            path = _longer(path_of(operand, bound), field)
            return _guarded(path, asked=True) if asked else path
        case Call("_[_]", (operand, key)):
            return _longer(path_of(operand, bound), _constant(key))  # a[b]
        case Call("_?._" | "_[?_]", (operand, key)):
            return _guarded(_longer(path_of(operand, bound), _constant(key)))  # a.?b, a[?b]
    return None


def children(node: Node, bound: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    """The expressions inside, each with the variables of macros around it."""
    match node:
        case Select(operand):
            yield operand, bound
        case Call(_, parts) | Literal(parts):
            yield from ((part, bound) for part in parts)
        case Loop(names, accumulator):
            inside = bound | names | {accumulator}
            yield from ((node.items, bound), (node.initial, bound))
            yield from ((node.condition, inside), (node.step, inside), (node.result, inside))


def _paths(node: Node, bound: frozenset[str]) -> Iterator[Path]:
    """Paths in the order of the text."""
    if path := path_of(node, bound):
        yield path
        return
    for child, names in children(node, bound):
        yield from _paths(child, names)


def _constant(key: Node) -> str | int | None:
    match key:
        case Constant(str() as field):
            return field
        case Constant(bool()):
            return None
        case Constant(int() as index) if index >= 0:
            return index
    return None


def _longer(path: Path | None, key: str | int | None) -> Path | None:
    # has(…) is no path that goes on: its value is a boolean.
    return None if path is None or key is None or path.asked else replace(path, keys=(*path.keys, key))


def _guarded(path: Path | None, *, asked: bool = False) -> Path | None:
    if path is None:
        return None
    last = len(path.keys) - 1
    return replace(path, guarded=last if path.guarded is None else path.guarded, asked=asked)
