"""Plain JSON values: what tools take and give. Called by expressions on both sides of CEL, and by checks."""

from __future__ import annotations

import base64
import json as encoder
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

MAX_DEPTH = 100
"""Lists and objects inside each other; JSON writers and readers refuse not much more."""


class NotPlain(ValueError):
    """A value that JSON has no form for; the message says which part of a sentence is wrong with it."""


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A copy of the value in which everything is plain JSON. Raises NotPlain.

    Bytes become base64, timestamps RFC 3339, durations seconds such as "3600s": the forms of protobuf's JSON.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return unicode(value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, dict | list | tuple):
        if depth == 0:
            raise NotPlain(f"has more than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {key(name): plain(inner, depth - 1) for name, inner in value.items()}
        return [plain(inner, depth - 1) for inner in value]
    return _converted(value)


def ordered(value: Any) -> Any:
    """The value with the keys of every object in order."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(inner) for inner in value] if isinstance(value, list) else value


def too_deep(value: Any) -> bool:
    """Whether lists and objects of a JSON value stand in each other deeper than MAX_DEPTH."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return False
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def weight(value: Any) -> int:
    """About how many characters a plain value has as JSON."""
    if isinstance(value, str):
        return len(value)
    try:
        return len(orjson.dumps(value)) if isinstance(value, dict | list) else 8
    except TypeError:  # numbers beyond 64 bits
        return len(json(value))


def text(value: Any) -> str:
    """A plain value inside a text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json(value)


def json(value: Any) -> str:
    """A plain value as JSON, in one line."""
    return encoder.dumps(value, ensure_ascii=False, separators=(",", ":"))


def kind(value: Any) -> str:
    """What JSON calls the value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case dict():
            return "an object"
        case _:
            return "a list"


def _converted(value: Any) -> str:
    match value:
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return _seconds(value)
        case _:
            raise NotPlain(f"is a {type(value).__name__.lower()}, which JSON has no form for")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise NotPlain(f"is {value}, which JSON has no form for")
    return value


def unicode(value: str) -> str:
    """The text itself, of Python's own type. Raises NotPlain if Unicode does not allow it."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotPlain("has text that is not valid Unicode") from None
    return str.__str__(value)  # a member of an enumeration is a text, and JSON has no enumerations


def key(value: Any) -> str:
    """The key itself. Raises NotPlain if an object can't have it."""
    if not isinstance(value, str):
        raise NotPlain("has keys that are not strings, as those of a JSON object are: write string(…) around them")
    return unicode(value)


def _seconds(value: timedelta) -> str:
    whole, microseconds = divmod(abs(value), timedelta(seconds=1))
    fraction = f".{microseconds.microseconds:06}".rstrip("0") if microseconds else ""
    return f"{'-' if value < timedelta(0) else ''}{whole}{fraction}s"
