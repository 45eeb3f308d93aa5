"""Serialized messages of protobuf, as far as the syntax trees of CEL need it. Called by `syntaxtree` and `keyorder`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

Message: TypeAlias = Mapping[int, list[int | bytes]]
"""Field number to values, messages and strings as bytes."""
Field: TypeAlias = tuple[int, int, int | bytes]
"""Number, wire type and value."""
_VARINT, _FIXED64, _BYTES = 0, 1, 2


def message(data: int | bytes) -> Message:
    """The fields of a message by their numbers."""
    assert isinstance(data, bytes)  # noqa: S101 - the callers name fields that hold messages
    found: dict[int, list[int | bytes]] = {}
    for number, _, value in fields(data):
        if number in found:
            found[number].append(value)
        else:
            found[number] = [value]
    return found


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message, in order."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        if tag & 7 == _VARINT:
            number, position = _varint(data, position)
            yield tag >> 3, _VARINT, number
            continue
        length, position = (8, position) if tag & 7 == _FIXED64 else _varint(data, position)
        yield tag >> 3, tag & 7, data[position : position + length]
        position += length


def written(parts: Iterable[Field]) -> bytes:
    """The message with these fields."""
    data = bytearray()
    for number, wire, value in parts:
        data += _encoded(number << 3 | wire)
        if isinstance(value, int):
            data += _encoded(value)
        else:
            data += (b"" if wire == _FIXED64 else _encoded(len(value))) + value
    return bytes(data)


def _encoded(number: int) -> bytes:
    data = bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*data, number))


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = data[position]
    position += 1
    if value < 0x80:  # nearly always
        return value, position
    value, shift = value & 0x7F, 7
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
