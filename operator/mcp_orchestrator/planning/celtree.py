"""What a compiled CEL expression reads, from its syntax tree. Called by planning.cel.

cel_expr_python gives the tree as a serialized `cel.expr.CheckedExpr`, a published protobuf message
(https://github.com/google/cel-spec, proto/cel/expr/checked.proto and syntax.proto). Reading the few fields we need is
as short as a tokenizer of CEL, and always right about strings, comments, macros and their variables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from mcp_orchestrator.planning.paths import Path

Message = Mapping[int, list[int | bytes]]
"""A protobuf message: field number to values, messages and strings as bytes."""

_CHECKED, _TREE = 2, 4  # google.protobuf.Any.value, CheckedExpr.expr
_CONSTANT, _IDENTIFIER, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(3, 10)  # the kinds of Expr
_INT, _STRING = 3, 6  # of Constant
_KEY, _OPTIONAL_FIELD, _OPTIONAL_KEY = "_[_]", "_?._", "_[?_]"  # functions: a[b], a.?b, a[?b]


@dataclass(frozen=True, slots=True)
class Tree:
    """What an expression reads."""

    paths: tuple[Path, ...]
    """Every use of a variable, as far as its keys are constant."""
    whole: Path | None
    """The path that the expression consists of, if it is nothing but one."""


def read(serialized: bytes, roots: Collection[str]) -> Tree:
    """The tree of a serialized expression. Names that are no roots are those of types: `type(1) == int`."""
    expression = _inner(_message(_bytes(_message(serialized), _CHECKED)), _TREE)
    nothing: frozenset[str] = frozenset()
    paths = tuple(dict.fromkeys(path for path in _paths(expression, nothing) if path.root in roots))
    plain = paths[:1] == (_path(expression, nothing),) and paths[0].guarded is None
    return Tree(paths=paths, whole=paths[0] if plain else None)


def _paths(expression: Message, bound: frozenset[str]) -> Iterator[Path]:
    """Paths in the order of the text; `bound` are the variables of macros around the expression."""
    if path := _path(expression, bound):
        yield path
        return
    for child, names in _children(expression):
        yield from _paths(child, bound | names)


def _path(expression: Message, bound: frozenset[str]) -> Path | None:
    if _IDENTIFIER in expression:
        name = _text(_inner(expression, _IDENTIFIER), 1)
        return None if name in bound or name.startswith("@") else Path(name.removeprefix("."), ())
    if _SELECT in expression:
        select = _inner(expression, _SELECT)
        path = _longer(_path(_inner(select, 1), bound), _text(select, 2))
        return _guarded(path, asked=True) if 3 in select else path  # has(…)
    if _CALL in expression:
        return _called(_inner(expression, _CALL), bound)
    return None


def _called(call: Message, bound: frozenset[str]) -> Path | None:
    function = _text(call, 2)
    if function not in (_KEY, _OPTIONAL_FIELD, _OPTIONAL_KEY) or len(call[3]) != 2:
        return None
    operand, key = (_message(argument) for argument in call[3])
    path = _longer(_path(operand, bound), _key(key))
    return path if function == _KEY else _guarded(path)


def _longer(path: Path | None, key: str | int | None) -> Path | None:
    # has(…) is no path that goes on: its value is a boolean.
    return None if path is None or key is None or path.asked else replace(path, keys=(*path.keys, key))


def _guarded(path: Path | None, *, asked: bool = False) -> Path | None:
    if path is None:
        return None
    last = len(path.keys) - 1
    return replace(path, guarded=last if path.guarded is None else path.guarded, asked=asked)


def _key(expression: Message) -> str | int | None:
    if _CONSTANT not in expression:
        return None
    constant = _inner(expression, _CONSTANT)
    if _STRING in constant:
        return _text(constant, _STRING)
    number = constant.get(_INT, [-1])[0]
    return number if isinstance(number, int) and 0 <= number < 2**63 else None


def _children(expression: Message) -> Iterator[tuple[Message, frozenset[str]]]:
    """The expressions inside, each with the variables that are bound for it."""
    nothing: frozenset[str] = frozenset()
    if _SELECT in expression:
        yield _inner(_inner(expression, _SELECT), 1), nothing
    elif _CALL in expression:
        call = _inner(expression, _CALL)
        for child in (*call.get(1, ()), *call.get(3, ())):
            yield _message(child), nothing
    elif _LIST in expression:
        for child in _inner(expression, _LIST).get(1, ()):
            yield _message(child), nothing
    elif _STRUCT in expression:
        for entry in _inner(expression, _STRUCT).get(2, ()):
            for child in (*_message(entry).get(3, ()), *_message(entry).get(4, ())):
                yield _message(child), nothing
    elif _COMPREHENSION in expression:
        loop = _inner(expression, _COMPREHENSION)
        names = frozenset(_text(loop, field) for field in (1, 3, 8) if field in loop)
        for field, bound in ((2, nothing), (4, nothing), (5, names), (6, names), (7, names)):
            for child in loop.get(field, ()):
                yield _message(child), bound


def _message(data: int | bytes) -> Message:
    """The fields of a serialized protobuf message."""
    assert isinstance(data, bytes)  # noqa: S101 - the callers name fields that hold messages
    fields: dict[int, list[int | bytes]] = {}
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        value: int | bytes
        if tag & 7 == 0:
            value, position = _varint(data, position)
        else:
            length = {1: 8, 5: 4}.get(tag & 7)
            if length is None:
                length, position = _varint(data, position)
            value, position = data[position : position + length], position + length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _bytes(message: Message, field: int) -> bytes:
    value = message.get(field, [b""])[0]
    assert isinstance(value, bytes)  # noqa: S101 - the callers name fields that hold messages or strings
    return value


def _inner(message: Message, field: int) -> Message:
    return _message(_bytes(message, field))


def _text(message: Message, field: int) -> str:
    return _bytes(message, field).decode()
