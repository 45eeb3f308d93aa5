"""Where expressions stand in a text: `${{ … }}`, and `$${{` for those characters themselves. Called by expressions."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

_OPENING = re.compile(r"\$?\$\{\{")
_SIMPLE = re.compile(r"""\$\{\{\s*([^{}"'`/\s](?:[^{}"'`/\n]*[^{}"'`/\s])?)\s*\}\}""")
"""A lone expression with nothing in it that could hide its end: the most frequent kind."""
_TOKEN = re.compile(
    r"""
      (?:\b[bB]?[rR][bB]?)(?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\n]*" | '[^'\n]*' )
    | \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3}
    | (?P<unclosed>\"{3}|'{3})
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `[^`\n]*`
    | (?P<quote>["'`])
    | //[^\n]*
    | (?P<brace>[{}])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Code:
    """The CEL expression between `${{` and `}}`, without the white space around it."""

    text: str
    offset: int
    """Where it begins in the whole text, counted from 0."""


class Unclosed(ValueError):
    """A `${{`, or a quote in an expression, that never ends."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset


@functools.lru_cache(maxsize=4096)
def parts(text: str) -> tuple[str | Code, ...]:
    """The text cut into literal pieces and expressions, no piece empty. Raises Unclosed."""
    if simple := _SIMPLE.fullmatch(text):
        return (Code(simple[1], simple.start(1)),)
    return tuple(part for part in _parts(text) if part != "")


def lone(pieces: tuple[str | Code, ...]) -> Code | None:
    """The expression, if there is nothing else. The line end of a YAML block does not count."""
    if pieces and isinstance(pieces[0], Code) and pieces[1:] in ((), ("\n",)):
        return pieces[0]
    return None


def place(text: str, offset: int) -> str:
    """Words for people: `character 5`, with the line where there are several."""
    line, column = text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1
    return f"character {column}" if "\n" not in text.rstrip("\n") else f"line {line}, character {column}"


def _parts(text: str) -> Iterator[str | Code]:
    literal, position = "", 0
    while opening := _OPENING.search(text, position):
        literal += text[position : opening.start()]
        if opening.group().startswith("$$"):
            literal += "${{"
            position = opening.end()
            continue
        yield literal
        end = _end(text, opening)
        code = text[opening.end() : end]
        yield Code(code.strip(), opening.end() + len(code) - len(code.lstrip()))
        literal, position = "", end + 2
    yield literal + text[position:]


def _end(text: str, opening: re.Match[str]) -> int:
    """Where the closing `}}` stands: not one in a string literal, and not the end of map literals."""
    depth, position = 0, opening.end()
    while token := _TOKEN.search(text, position):
        position = token.end()
        if quote := token["unclosed"] or token["quote"]:
            raise Unclosed(f"{quote} is not closed", token.start())
        if token["brace"] == "{":
            depth += 1
        elif token["brace"] and depth:
            depth -= 1
        elif token["brace"] and text.startswith("}", position):
            return token.start()
    raise Unclosed('"${{" has no "}}"', opening.start())
