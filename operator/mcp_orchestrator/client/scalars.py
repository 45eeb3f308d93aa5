"""Plain words of YAML as kubectl reads them, so that a file means here what it means to the cluster. Used by sources.

kubectl takes YAML 1.1 without its dates and its numbers to the base of 60, and turns every key into a text.
"""

from __future__ import annotations

import re

Scalar = str | bool | int | float | None

_WORDS: dict[str, bool | None] = {
    **{form: None for word in ("null",) for form in (word, word.title(), word.upper())},
    **{form: True for word in ("true", "yes", "on", "y") for form in (word, word.title(), word.upper())},
    **{form: False for word in ("false", "no", "off", "n") for form in (word, word.title(), word.upper())},
    "~": None,
    "": None,
}
_CLEAR = frozenset({"true", "false"})
_INTEGER = re.compile(r"([-+]?)(?:0[bB]([01]+)|0[xX]([0-9a-fA-F]+)|0[oO]?([0-7]+)|([1-9][0-9]*|0))")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BASES = (2, 16, 8, 10)
MAX_DIGITS = 100


class NotJson(ValueError):
    """The word stands for a value that JSON has no form for."""


def plain(text: str) -> Scalar:
    """What the word stands for. Raises NotJson."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    digits = text.replace("_", "")
    if len(digits) <= MAX_DIGITS:
        if integer := _INTEGER.fullmatch(digits):
            sign, *forms = integer.groups()
            value, base = next((form, base) for form, base in zip(forms, _BASES, strict=True) if form is not None)
            return int(value, base) * (-1 if sign == "-" else 1)
        if _FLOAT.fullmatch(digits):
            return float(digits)
    if _NOT_JSON.fullmatch(text):
        raise NotJson(f"{text} is a number that JSON has no form for")
    return text


def key(text: str) -> str | None:
    """What the word is as a key; None for null, which can't be one. Raises NotJson."""
    value = plain(text)
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def surprise(text: str) -> str | None:
    """What YAML 1.1 takes the word for, where few would guess it: `no` is false. None for any other word."""
    value = _WORDS.get(text)
    return None if value is None or text.lower() in _CLEAR else "true" if value else "false"
