"""The complaints of cel-cpp in words for people, without the values that it complains of. Called by `engine`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mcp_orchestrator.planning import mistakes
from mcp_orchestrator.planning.cel import cost, costmodels

READABLE = {"params": "params.NAME", "tasks": "tasks.NAME.result"}
"""How variables are written that are read by the names in them."""

_MACROS = (
    "all", "cel.bind", "exists", "exists_one", "existsOne", "filter", "has", "map", "math.greatest", "math.least",
    "optFlatMap", "optMap", "sortBy", "transformList",
)  # fmt: skip
FUNCTIONS = frozenset(
    (*_MACROS, *(name for name in costmodels.MODELS if "@" not in name and not name.startswith(("_", "!", "-"))))
)
"""Everything that can be called, with what stands before the dot of json.encode."""
_SPACES = frozenset(name.split(".")[0] for name in FUNCTIONS if "." in name)
_LAST_NAMES = frozenset(name.split(".")[-1] for name in FUNCTIONS)

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
_RESERVED = re.compile(r"reserved identifier: (\w+)|\.(in|true|false|null)")
_NO_SUCH = re.compile(
    r"(?:[A-Z_]+: )?(?:Key not found in map : \"?(.*?)\"?$|Index error: index=(-?\d+)|Applying SELECT to non-message)",
    re.DOTALL,
)
_PATTERN = re.compile(r"invalid regular expression: (.*?): (.*)", re.DOTALL)
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
        message, name = in_words(words, text, roots), ""
        offset = lines[int(line) - 1] + int(column) - 1
        if unknown := _UNKNOWN.match(words):
            name = unknown[1].removeprefix(".").split(".")[0]
            message = _unknown(name, text, offset, roots)
            offset = text.rfind(name, 0, offset + len(name))  # it points behind the name
        if message and message not in seen:
            seen.add(message)
            yield Fault(message, max(0, offset))
        if words.startswith("Syntax error") or name in _SPACES:  # the others come from reading on after it
            return


def in_words(report: str, text: str, roots: Collection[str] = ()) -> str:
    """One complaint of the compiler about `text`, or of its evaluation."""
    report = _STATUS.sub("", report)
    if match := _NO_OVERLOAD.match(report):
        return f'"{match[1].strip("_") or match[1]}" does not take ({match[2].replace("int64", "int")})'
    if match := _RESERVED.search(report):
        word = match[1] or match[2]
        return f'"{word}" is a word of CEL itself; as the name of a key it is written ["{word}"]'
    if match := _UNEXPECTED.match(report):
        return "the expression ends too early" if match[1] == "<EOF>" else f'unexpected "{match[1]}"'
    if _NO_SUCH.match(report):
        return _no_such(absent(report) or "", text)
    if match := _PATTERN.match(report):
        return f"invalid regular expression: {match[1]}{f': {match[2]}' if match[2] in text else ''}"
    if "Iteration budget" in report:
        return f"its macros go through more than {cost.MAX_STEPS} items; let a tool do that"
    return report.split("\n")[0].removeprefix("Syntax error: ")


def _no_such(key: str, text: str) -> str:
    if not key:
        return _NOT_AN_OBJECT
    if key not in text:  # it is a value, which may be secret
        return "it reads a key or an item that is not there"
    return f"no such item: {key}" if key.lstrip("-").isdigit() else f'no such key: "{key}"'


def _unknown(name: str, text: str, offset: int, roots: Collection[str]) -> str:
    if name in _SPACES:
        called = re.compile(rf"\b{name}\s*\.\s*(\w+)").search(text, text.rfind(name, 0, offset + len(name)))
        return _no_function(f"{name}.{called[1]}" if called else name)
    if re.search(rf"\b{re.escape(name)}\s*\(", text):
        return f'"{name}" does not take these arguments' if name in _LAST_NAMES else _no_function(name)
    for dashed in re.finditer(r"\b(params|tasks)\.(\w+(?:-\w+)+)", text):
        if name in dashed[2].split("-"):
            return f'"{name}" is unknown; a name with "-" is written {dashed[1]}["{dashed[2]}"]'
    readable = " and ".join(READABLE.get(root, root) for root in sorted(roots, key=_first_those_by_name))
    return f'"{name}" is unknown{mistakes.suggestion(name, roots) or f"; this expression reads {readable}"}'


def _no_function(name: str) -> str:
    if name in FUNCTIONS:
        return f'"{name}" does not take these arguments'
    if name.endswith("now"):
        return f'there is no function "{name}": an expression comes out the same each time; let a task tell the time'
    space = name.split(".")[0] if "." in name else ""
    hint = mistakes.suggestion(name, FUNCTIONS) or mistakes.suggestion(name, _LAST_NAMES)
    others = mistakes.listing(known for known in FUNCTIONS if space and known.startswith(f"{space}."))
    return f'there is no function "{name}"{hint or (f"; there are {others}" if others else "")}'


def _first_those_by_name(root: str) -> tuple[bool, str]:
    return root not in READABLE, root
