"""Lets macros go through the keys of an object in order. Called by `engine`.

cel-cpp goes through them in an order that differs from process to process, so that `object.map(key, …)` would give
another list each time. So the compiled expression is changed before it runs: where a macro makes a list of what might
be an object, `object` becomes `cel.bind(it, object, type(it) == map ? KEYS(it) : it)`. The changes are made in the
serialized `cel.expr.CheckedExpr`, see `syntaxtree`; all that they don't concern is copied byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcp_orchestrator.planning.cel.protowire import Field, Message, fields, message, written

KEYS, PAIRS = "maps.@keys", "maps.@pair"
"""The function of an object's keys in order; and the one that refuses an object, where its values go along."""
TEMPLATE = "cel.bind(it, dyn(null), type(it) == map ? maps.xkeys(it) : it)"
"""What is put around the items of a macro, which take the place of dyn(null). CEL can't read the name of KEYS."""

_BYTES = 2  # the wire type of messages and strings
_ANY_VALUE, _REFERENCES, _TYPES, _TREE = 2, 2, 3, 4  # fields of Any, and of CheckedExpr
_ID, _LIST = 2, 7  # of Expr
_ITEMS, _INITIAL, _SECOND = 2, 4, 8  # of Comprehension
_LIST_TYPE = 6
_NESTED: Mapping[str, Mapping[int, str]] = {
    "expression": {5: "select", 6: "call", 7: "list", 8: "struct", 9: "loop"},
    "select": {1: "expression"},
    "call": {1: "expression", 3: "expression"},
    "list": {1: "expression"},
    "struct": {2: "entry"},
    "entry": {3: "expression", 4: "expression"},
    "loop": dict.fromkeys((2, 4, 5, 6, 7), "expression"),
}
"""Where expressions stand in the messages of the tree."""


def keys(value: Mapping[Any, Any]) -> list[Any]:
    """The keys of an object in order."""
    return sorted(value, key=lambda key: (type(key).__name__, key))


def pairs(value: Mapping[Any, Any]) -> list[Any]:
    """Refuses: an object's values have no order in CEL."""
    raise ValueError("transformList takes a list; for an object, write object.map(key, … object[key] …)")


def ordered(serialized: bytes, template: bytes) -> bytes:
    """The serialized expression with macros that take objects in order; `template` is TEMPLATE, compiled."""
    checked = _only(serialized, _ANY_VALUE)
    rewriting = _Rewriting(checked, _only(template, _ANY_VALUE))
    tree = rewriting.tree()
    if not rewriting.references:
        return serialized
    changed = written(_with(checked, _TREE, tree)) + b"".join(rewriting.references)
    return written(_with(serialized, _ANY_VALUE, changed))


class _Rewriting:
    """One pass over the tree of an expression."""

    def __init__(self, checked: bytes, template: bytes) -> None:
        self._checked = checked
        self._template = template
        types = [message(entry) for entry in message(checked).get(_TYPES, ())]
        self._lists = {entry[1][0] for entry in types if _LIST_TYPE in message(entry[2][0])}
        self._next = _highest(types) + 1
        self._step = _highest([message(entry) for entry in message(template)[_TYPES]]) + 1
        self.references: list[bytes] = []
        """The references that are added, as fields of the CheckedExpr."""

    def tree(self) -> bytes:
        """The tree, changed."""
        return self._changed("expression", _only(self._checked, _TREE))

    def _changed(self, kind: str, data: bytes) -> bytes:
        nested = _NESTED[kind]
        parts: list[Field] = [
            (number, wire, self._changed(nested[number], value))
            if number in nested and isinstance(value, bytes)
            else (number, wire, value)
            for number, wire, value in fields(data)
        ]
        if kind == "loop" and self._needs_order(data):
            function = PAIRS if _SECOND in message(data) else KEYS
            items = _only(written(parts), _ITEMS)
            parts = list(_with(written(parts), _ITEMS, self._in_order(items, function)))
        return written(parts)

    def _needs_order(self, loop: bytes) -> bool:
        """Whether a list is made of items that are not surely those of a list."""
        items = message(_only(loop, _ITEMS))
        return _LIST in message(_only(loop, _INITIAL)) and items[_ID][0] not in self._lists

    def _in_order(self, items: bytes, function: str) -> bytes:
        offset, self._next = self._next, self._next + self._step
        named = self._template
        for mark in (".", "_"):
            named = named.replace(f"maps{mark}xkeys".encode(), function.replace(".", mark).encode())
        for reference in message(named)[_REFERENCES]:
            parts = [(n, wire, v + offset if isinstance(v, int) else v) for n, wire, v in fields(_bytes(reference))]
            self.references.append(written([(_REFERENCES, _BYTES, written(parts))]))
        return _moved("expression", _only(named, _TREE), offset, items)


def _moved(kind: str, data: bytes, offset: int, items: bytes) -> bytes:
    """A part of the template with other numbers of its expressions, and with the items in their place."""
    nested = _NESTED[kind]
    parts: list[Field] = []
    for number, wire, value in fields(data):
        if kind == "loop" and number == _INITIAL:
            parts.append((number, wire, items))
        elif number in nested and isinstance(value, bytes):
            parts.append((number, wire, _moved(nested[number], value, offset, items)))
        elif kind == "expression" and number == _ID and isinstance(value, int):
            parts.append((number, wire, value + offset))
        else:
            parts.append((number, wire, value))
    return written(parts)


def _with(data: bytes, number: int, value: bytes) -> Iterator[Field]:
    """The fields of a message with another value for one of them."""
    return ((n, wire, value if n == number else old) for n, wire, old in fields(data))


def _only(data: bytes, number: int) -> bytes:
    return _bytes(message(data).get(number, [b""])[0])


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)  # noqa: S101 - the callers name fields that hold messages
    return value


def _highest(entries: list[Message]) -> int:
    return max(int(entry[1][0]) for entry in entries)
