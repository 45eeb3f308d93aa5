"""Values on their way into CEL: whether it can take them, and how large they are. Called by expressions.scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_orchestrator.planning import plain
from mcp_orchestrator.planning.cel.costmodels import Size


def taken(value: Any) -> tuple[Any, Size]:
    """The value as the binding takes it, and how large it is.

    It is the value itself where that is made of nothing but Python's own types of JSON, as it mostly is. Raises
    plain.NotPlain if CEL can't take it, or would change it without a word.
    """
    found = _size(value)
    if found is None:
        value = _copied(value, plain.MAX_DEPTH)
        found = _size(value)
        assert found is not None  # noqa: S101 - that is what the copy is for
    return value, found


def _size(value: Any) -> Size | None:
    """The size of a value; None if there is something in it that has to be changed for the binding."""
    nodes, chars, longest, inner = 0, 0, 0, 0
    level = [value]
    for _ in range(plain.MAX_DEPTH + 1):
        if not level:
            length = len(value) if isinstance(value, dict | list) else 0
            return Size(nodes, chars, length, inner, longest, value if isinstance(value, int) else 0)
        nodes += len(level)
        below: list[Any] = []
        for one in level:
            kind = type(one)
            if kind is str:
                length = _text(one)
                chars += length
                longest = max(longest, length)
            elif kind is dict:
                below += one
                below += one.values()
                inner = max(inner, len(one))
            elif kind is list:
                below += one
                inner = max(inner, len(one))
            elif kind is int:
                _integer(one)
            elif kind not in (float, bool, type(None)):
                return None
        level = below
    raise plain.NotPlain(f"has more than {plain.MAX_DEPTH} levels")


def _text(value: str) -> int:
    if "\0" in value:  # the binding would cut the text off there
        raise plain.NotPlain("has the character U+0000 in it, which CEL can't take")
    return len(plain.unicode(value))


def _integer(value: int) -> None:
    if not -(2**63) <= value < 2**64:
        raise plain.NotPlain("has a number beyond 64 bits in it, which CEL can't take")


def _copied(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping | list | tuple) and depth == 0:
        raise plain.NotPlain(f"has more than {plain.MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {plain.key(key): _copied(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(inner, depth - 1) for inner in value]
    return plain.plain(value)
