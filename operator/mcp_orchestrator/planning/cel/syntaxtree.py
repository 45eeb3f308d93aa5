"""The syntax tree of a compiled CEL expression. Called by `engine`.

cel_expr_python gives the tree as a serialized `cel.expr.CheckedExpr`, a published protobuf message
(https://github.com/google/cel-spec, proto/cel/expr/checked.proto and syntax.proto). Reading the few fields we need is
as short as a tokenizer of CEL, and always right about strings, comments, macros and their variables.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mcp_orchestrator.planning.cel import protowire
from mcp_orchestrator.planning.cel.protowire import Message


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    value: bool | int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, or the name of a type."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """operand.field, or has(operand.field)."""

    operand: Node
    field: str
    asked: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator. What stands before the dot of a.f(b) is the first argument."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A list, a map or a message, with the expressions of its items, keys and values."""

    parts: tuple[Node, ...]
    message: str
    """Name of the message, "" for lists and maps."""


@dataclass(frozen=True, slots=True)
class Loop:
    """What the macros become: map, filter, all, exists …, and without items also bind and optMap."""

    names: frozenset[str]
    """The variables of an item."""
    accumulator: str
    items: Node
    initial: Node
    condition: Node
    step: Node
    result: Node


Node: TypeAlias = Constant | Name | Select | Call | Literal | Loop

_CHECKED, _TREE = 2, 4  # google.protobuf.Any.value, CheckedExpr.expr
_CONSTANT, _NAME, _SELECT, _CALL, _LIST, _STRUCT, _LOOP = range(3, 10)  # the kinds of Expr


def read(serialized: bytes) -> Node:
    """The tree of a serialized expression."""
    return _node(_inner(protowire.message(_bytes(protowire.message(serialized), _CHECKED)), _TREE))


def _node(expression: Message) -> Node:
    for field in expression:
        if read_kind := _KINDS.get(field):
            return read_kind(_inner(expression, field))
    return Constant(None)


def _constant(constant: Message) -> Constant:
    for field, value in constant.items():
        match field, value[0]:
            case 2, int() as number:
                return Constant(bool(number))
            case 3, int() as number:
                return Constant(number - 2**64 if number >= 2**63 else number)
            case 4, int() as number:
                return Constant(number)
            case 5, bytes() as data:
                return Constant(float(struct.unpack("<d", data)[0]))
            case 6, bytes() as data:
                return Constant(data.decode())
            case 7, bytes() as data:
                return Constant(data)
    return Constant(None)


def _name(identifier: Message) -> Name:
    return Name(_text(identifier, 1).removeprefix("."))


def _select(select: Message) -> Select:
    return Select(_node(_inner(select, 1)), _text(select, 2), asked=3 in select)


def _call(call: Message) -> Call:
    return Call(_text(call, 2), (*_nodes(call, 1), *_nodes(call, 3)))


def _list(items: Message) -> Literal:
    return Literal(_nodes(items, 1), message="")


def _struct(fields: Message) -> Literal:
    entries = (protowire.message(entry) for entry in fields.get(2, ()))
    return Literal(
        tuple(node for entry in entries for field in (3, 4) for node in _nodes(entry, field)), _text(fields, 1)
    )


def _loop(loop: Message) -> Loop:
    return Loop(
        names=frozenset(_text(loop, field) for field in (1, 8) if field in loop),
        accumulator=_text(loop, 3),
        items=_node(_inner(loop, 2)),
        initial=_node(_inner(loop, 4)),
        condition=_node(_inner(loop, 5)),
        step=_node(_inner(loop, 6)),
        result=_node(_inner(loop, 7)),
    )


_KINDS: Mapping[int, Callable[[Message], Node]] = {
    _CONSTANT: _constant,
    _NAME: _name,
    _SELECT: _select,
    _CALL: _call,
    _LIST: _list,
    _STRUCT: _struct,
    _LOOP: _loop,
}


# --- protobuf --------------------------------------------------------------------------------------------------------


def _nodes(message: Message, field: int) -> tuple[Node, ...]:
    return tuple(_node(protowire.message(data)) for data in message.get(field, ()))


def _inner(message: Message, field: int) -> Message:
    return protowire.message(_bytes(message, field))


def _text(message: Message, field: int) -> str:
    return _bytes(message, field).decode()


def _bytes(message: Message, field: int) -> bytes:
    value = message.get(field, [b""])[0]
    assert isinstance(value, bytes)  # noqa: S101 - the callers name fields that hold messages or strings
    return value
