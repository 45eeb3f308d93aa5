"""CEL, as Google's cel-cpp has it: compiling, running, and its complaints in words for people. Called by expressions.

Why this library: docs/decisions/0002-cel-expressions.md.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel as google  # type: ignore[import-untyped]  # the package has no py.typed marker
from cel_expr_python.ext import ext_encoders, ext_math, ext_strings  # type: ignore[import-untyped]  # likewise

from mcp_orchestrator.planning import celtree, mistakes

ROOTS = ("params", "tasks")
MAX_EXPRESSION = 4096
"""Characters of one expression."""
MAX_STEPS = 10_000
"""Rounds of all macros (map, filter, exists …) of one evaluation: cel-cpp's own bound."""

_FUNCTIONS = (
    "all", "bool", "bytes", "charAt", "contains", "double", "duration", "dyn", "endsWith", "exists", "exists_one",
    "filter", "format", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours",
    "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "has", "indexOf", "int", "join", "lastIndexOf",
    "lowerAscii", "map", "matches", "quote", "replace", "reverse", "size", "split", "startsWith", "string",
    "substring", "timestamp", "trim", "type", "uint", "upperAscii",
)  # fmt: skip
_FAULT = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_STATUS = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_UNKNOWN = re.compile(r"undeclared reference to '(.*?)'")
_NO_OVERLOAD = re.compile(
    r"(?:No matching overloads found : |found no matching overload for ')(.*?)(?:' applied to ')?\((.*)\)"
)
_UNEXPECTED = re.compile(
    r"Syntax error: (?:(?:mismatched|extraneous) input |token recognition error at: |no viable alternative at input )"
    r"'(.*?)'(?: expecting .*)?$",
    re.DOTALL,
)
_NO_SUCH = re.compile(
    r"(?:[A-Z_]+: )?(?:Key not found in map : \"?(.*?)\"?$|Index error: index=(-?\d+)|Applying SELECT to non-message)",
    re.DOTALL,
)
_NOT_AN_OBJECT = "it reads a key of something that is not an object"
_FAILURES = (RuntimeError, TypeError, ValueError, SystemError, OverflowError)
"""What the binding raises, by what went wrong where in it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an expression can't be compiled."""

    message: str
    offset: int = 0
    """Where in the expression, counted from 0."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression."""

    text: str
    compiled: Any
    tree: celtree.Tree
    type: str
    """CEL's name of the type of its value, DYN where that is known only when it runs."""


class Failed(RuntimeError):
    """The evaluation failed; the message says why."""

    def __init__(self, report: str) -> None:
        super().__init__(_in_words(report))
        found = _NO_SUCH.match(report)
        self.absent: str | None = (found[1] or found[2] or "") if found else None
        """The key or index that is not there, "" where the report does not name it, None if it tells something else."""


@functools.lru_cache(maxsize=4096)
def compile(text: str, roots: tuple[str, ...] = ROOTS) -> Program | tuple[Fault, ...]:  # noqa: A001 - cel.compile is the name that readers expect
    """The program of an expression, or everything that is wrong with it."""
    if len(text) > MAX_EXPRESSION:
        return (Fault(f"the expression has {len(text)} characters, and {MAX_EXPRESSION} is the most"),)
    if not text:
        return (Fault("there is nothing between ${{ and }}"),)
    if not _encodable(text):
        return (Fault("the expression is not valid Unicode"),)
    try:
        compiled = _environment(roots).compile(text)
    except _FAILURES as error:
        return tuple(_faults(str(error), text))
    tree = celtree.read(compiled.serialize())
    return Program(text=text, compiled=compiled, tree=tree, type=compiled.return_type().name())


def run(program: Program, data: Mapping[str, Any]) -> Any:
    """The value of the expression, of Python's types. `data` holds plain JSON only. Raises Failed."""
    try:
        value = program.compiled.eval(data=data)
        if value.type() == google.Type.ERROR:
            raise Failed(value.value())
        return value.plain_value()
    except Failed:
        raise
    except _FAILURES as error:
        raise Failed(str(error)) from None


@functools.lru_cache(maxsize=256)
def _environment(roots: tuple[str, ...]) -> Any:
    variable = google.Type.Map(google.Type.STRING, google.Type.DYN)
    types = {
        "params": variable,
        "tasks": variable,
        "run": variable,
        "error": variable,
        "key": google.Type.STRING,
        "index": google.Type.INT,
        "attempt": google.Type.INT,
    }
    return google.NewEnv(
        variables={root: types.get(root, google.Type.DYN) for root in roots},
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath(), ext_encoders.ExtEncoders()],
    )


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _faults(report: str, text: str) -> Iterator[Fault]:
    if "recursion" in report:
        yield Fault("the expression is nested too deeply; split it over several tasks")
        return
    lines = [0, *(match.end() for match in re.finditer("\n", text))]
    seen = set()
    for line, column, words in _FAULT.findall(report) or [("1", "1", report)]:
        message = _in_words(words, text)
        if message in seen:
            continue
        seen.add(message)
        offset = lines[int(line) - 1] + int(column) - 1
        if unknown := _UNKNOWN.match(words):  # it points behind the name
            offset = text.rfind(_first(unknown[1]), 0, offset + len(unknown[1]))
        yield Fault(message, max(0, offset))
        if words.startswith("Syntax error"):  # the others come from reading on after it
            return


def _in_words(report: str, text: str = "") -> str:
    report = _STATUS.sub("", report)
    if match := _UNKNOWN.match(report):
        return _unknown(_first(match[1]), text)
    if match := _NO_OVERLOAD.match(report):
        return f'"{match[1].strip("_") or match[1]}" does not take ({match[2].replace("int64", "int")})'
    if match := _UNEXPECTED.match(report):
        return "the expression ends too early" if match[1] == "<EOF>" else f'unexpected "{match[1]}"'
    if match := _NO_SUCH.match(report):
        return f'no such key: "{match[1]}"' if match[1] else f"no such item: {match[2]}" if match[2] else _NOT_AN_OBJECT
    if "Iteration budget" in report:
        return f"its macros go through more than {MAX_STEPS} items; let a tool do that"
    return report.split("\n")[0].removeprefix("Syntax error: ")


def _first(reference: str) -> str:
    return reference.removeprefix(".").split(".")[0]


def _unknown(name: str, text: str) -> str:
    if re.search(rf"\b{re.escape(name)}\s*\(", text):
        if name in _FUNCTIONS:
            return f'"{name}" does not take these arguments'
        return f'there is no function "{name}"{mistakes.suggestion(name, _FUNCTIONS)}'
    for dashed in re.finditer(r"\b(params|tasks)\.(\w+(?:-\w+)+)", text):
        if name in dashed[2].split("-"):
            return f'"{name}" is unknown; a name with "-" is written {dashed[1]}["{dashed[2]}"]'
    remedy = "expressions read params.NAME and tasks.NAME.result"
    return f'"{name}" is unknown{mistakes.suggestion(name, ROOTS) or f"; {remedy}"}'
