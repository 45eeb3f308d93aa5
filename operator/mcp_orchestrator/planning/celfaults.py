"""The complaints of cel-cpp in words for people. Called by planning.cel."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mcp_orchestrator.planning import mistakes

MAX_STEPS = 10_000
"""Rounds of all macros (map, filter, exists …) of one evaluation: cel-cpp's own bound."""
READABLE = {"params": "params.NAME", "tasks": "tasks.NAME.result"}
"""How variables are written that are read by the names in them."""

_FUNCTIONS = (
    "all", "bool", "bytes", "charAt", "contains", "double", "duration", "dyn", "endsWith", "exists", "exists_one",
    "filter", "format", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours",
    "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "has", "hasValue", "indexOf", "int", "join",
    "lastIndexOf", "lowerAscii", "map", "matches", "optMap", "or", "orValue", "quote", "replace", "reverse", "size",
    "split", "startsWith", "string", "substring", "timestamp", "trim", "type", "uint", "upperAscii",
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


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an expression can't be compiled."""

    message: str
    offset: int = 0
    """Where in the expression, counted from 0."""


def absent(report: str) -> str | None:
    """The key or index that is not there, "" where the report does not name it, None if it tells something else."""
    found = _NO_SUCH.match(report)
    return (found[1] or found[2] or "") if found else None


def faults(report: str, text: str, roots: Collection[str]) -> Iterator[Fault]:
    """Everything that the compiler's report says of the expression `text`."""
    if "recursion" in report:
        yield Fault("the expression is nested too deeply; split it over several tasks")
        return
    lines = [0, *(match.end() for match in re.finditer("\n", text))]
    seen = set()
    for line, column, words in _FAULT.findall(report) or [("1", "1", report)]:
        message = in_words(words, text, roots)
        if message in seen:
            continue
        seen.add(message)
        offset = lines[int(line) - 1] + int(column) - 1
        if unknown := _UNKNOWN.match(words):  # it points behind the name
            offset = text.rfind(_first(unknown[1]), 0, offset + len(unknown[1]))
        yield Fault(message, max(0, offset))
        if words.startswith("Syntax error"):  # the others come from reading on after it
            return


def in_words(report: str, text: str = "", roots: Collection[str] = ()) -> str:
    """One complaint of the compiler about `text`, or of an evaluation."""
    report = _STATUS.sub("", report)
    if match := _UNKNOWN.match(report):
        return _unknown(_first(match[1]), text, roots)
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


def _unknown(name: str, text: str, roots: Collection[str]) -> str:
    if re.search(rf"\b{re.escape(name)}\s*\(", text):
        if name in _FUNCTIONS:
            return f'"{name}" does not take these arguments'
        return f'there is no function "{name}"{mistakes.suggestion(name, _FUNCTIONS)}'
    for dashed in re.finditer(r"\b(params|tasks)\.(\w+(?:-\w+)+)", text):
        if name in dashed[2].split("-"):
            return f'"{name}" is unknown; a name with "-" is written {dashed[1]}["{dashed[2]}"]'
    readable = " and ".join(READABLE.get(root, root) for root in sorted(roots, key=_first_those_by_name))
    return f'"{name}" is unknown{mistakes.suggestion(name, roots) or f"; this expression reads {readable}"}'


def _first_those_by_name(root: str) -> tuple[bool, str]:
    return root not in READABLE, root
