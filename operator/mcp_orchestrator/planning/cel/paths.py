"""Paths: a variable and the constant keys that follow it. Read from texts and trees, followed in values.

Called by `engine`, `reading` and planning.expressions.scope.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_STEP = r"""\.([A-Za-z_][A-Za-z0-9_]*)|\[(0|[1-9][0-9]{0,17})\]|\[(["'])([^"'\\\x00-\x1f\x7f\ud800-\udfff]*)\3\]"""
_STEPS = re.compile(_STEP)
_PATH = re.compile(rf"([A-Za-z_]\w*)((?:{_STEP.replace('3', '5')})*)", re.ASCII)
KEYWORDS = frozenset(
    ("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
     "namespace", "null", "package", "return", "true", "var", "void", "while")
)  # fmt: skip
"""Words that can't stand as a name in CEL, or not in every place."""


@dataclass(frozen=True, slots=True)
class Path:
    """A variable and the constant keys that follow it: tasks.now.result.items[0]."""

    root: str
    keys: tuple[str | int, ...]
    guarded: int | None = None
    """The first of the keys that may be absent without a failure, by has() or the `?` of optional values."""
    asked: bool = False
    """Whether it stands in has(): only its being there matters."""

    def __str__(self) -> str:
        return self.root + "".join(
            f".{key}"
            if isinstance(key, str) and _IDENTIFIER.fullmatch(key)
            else f'["{key}"]'
            if isinstance(key, str)
            else f"[{key}]"
            for key in self.keys
        )

    def tests(self, depth: int) -> bool:
        """Whether the expression copes with the absence of the key at `depth`."""
        return self.guarded is not None and self.guarded <= depth


class Missing(LookupError):
    """What a path leads to is not there."""

    def __init__(self, path: Path, depth: int, holder: Any) -> None:
        super().__init__(str(path))
        self.path = path
        self.depth = depth
        """Which of its keys is not there."""
        self.holder = holder
        """The value that has no such key."""


def parse(text: str) -> Path | None:
    """The path that an expression consists of, where that is plain to see without the grammar of CEL."""
    path = _PATH.fullmatch(text)
    if path is None or path[1] in KEYWORDS:
        return None
    steps = _STEPS.findall(path[2])
    if not KEYWORDS.isdisjoint([field for field, _, _, _ in steps]):
        return None
    return Path(path[1], tuple([int(index) if index else field or key for field, index, _, key in steps]))


def follow(path: Path, variables: Mapping[str, Any]) -> Any:
    """The value that the path leads to. Raises Missing."""
    value: Any = variables[path.root]
    for depth, key in enumerate(path.keys):
        if not _holds(value, key):
            raise Missing(path, depth, value)
        value = value[key]
    return value


def _holds(value: Any, key: str | int) -> bool:
    if isinstance(key, str):
        return isinstance(value, Mapping) and key in value
    return isinstance(value, list | tuple) and key < len(value)
