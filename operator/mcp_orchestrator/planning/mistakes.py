"""Mistakes, put into words: paths, suggestions, lists of names. Used by the modules that check workflows and runs."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.workflowtemplate import Mistake

MAX_PATH = 512
MAX_MESSAGE = 2048
MAX_LISTED = 10
MAX_QUOTED = 80
_WORD = re.compile(r"[A-Za-z_][\w-]*")


def a_mistake(path: str, reason: str, message: str) -> Mistake:
    """The mistake at `path`, within the API's bounds."""
    return Mistake(
        path=conditions.shorten(path, MAX_PATH), reason=reason, message=conditions.shorten(message, MAX_MESSAGE)
    )


def at(path: str, *keys: str | int) -> str:
    """The path of what is inside: `at("spec.tasks[2]", "arguments", "query")` is spec.tasks[2].arguments.query."""
    for key in keys:
        if isinstance(key, int):
            path += f"[{key}]"
        else:
            path += f".{key}" if _WORD.fullmatch(key) else f"[{quoted(key)}]"
    return path


def quoted(value: object) -> str:
    """`value` as JSON, cut where it is long."""
    if isinstance(value, str):
        return conditions.shorten(f'"{value}"', MAX_QUOTED)
    return conditions.shorten(json.dumps(value, default=repr, ensure_ascii=False, separators=(",", ":")), MAX_QUOTED)


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean "topic"?`, or nothing where no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def listing(names: Iterable[str]) -> str:
    """The names in order, the first of them where there are many."""
    known = sorted(names)
    more = len(known) - MAX_LISTED
    return ", ".join(known[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
