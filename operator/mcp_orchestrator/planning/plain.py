"""Plain JSON values: what tools take and give. Called by expressions on both sides of CEL, and by checks."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

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
        return _unicode(value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, dict | list | tuple):
        if depth == 0:
            raise NotPlain(f"has more than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {_key(key): plain(inner, depth - 1) for key, inner in value.items()}
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


def holds_nul(value: Any) -> bool:
    """Whether a text in a plain value has the character U+0000 in it."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or holds_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(holds_nul(inner) for inner in value)


def text(value: Any) -> str:
    """A plain value inside a text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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


def _unicode(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotPlain("has text that is not valid Unicode") from None
    return value


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise NotPlain(f"has the key {key}, and keys of a JSON object are strings: write string({key})")
    return _unicode(key)


def _seconds(value: timedelta) -> str:
    whole, microseconds = divmod(abs(value), timedelta(seconds=1))
    fraction = f".{microseconds.microseconds:06}".rstrip("0") if microseconds else ""
    return f"{'-' if value < timedelta(0) else ''}{whole}{fraction}s"
