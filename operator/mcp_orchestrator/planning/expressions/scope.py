"""What expressions can read while a workflow runs, and how it is read: only what an expression names.

Called by planning.expressions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_orchestrator.planning import mistakes, plain
from mcp_orchestrator.planning.cel import inputs, paths
from mcp_orchestrator.planning.cel.costmodels import NOTHING, Size
from mcp_orchestrator.planning.cel.paths import Path

TASK_CONTENT = ("result", "structured", "text", "images", "audio", "resources", "links", "items", "failures")
"""What a task's tool answered: there only if the task succeeded."""
TASK_OUTCOME = ("phase", "succeeded", "failed", "skipped", "error", "attempts")
"""How a task ended."""
VARIABLES = ("params", "tasks", "key", "index", "run", "result", "text", "error", "attempt")
"""Every variable there is, but for the item of a forEach task, whose name its author chooses."""
NAMED = {"params": "parameter", "tasks": "task"}
"""Variables that hold things by their names, and what these are."""
MEMBERS: Mapping[str, tuple[str, ...]] = {
    "run": ("succeeded", "failed", "reason", "message"),
    "error": ("class", "message"),
}
"""Variables whose keys are known beforehand."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What expressions can read: the value of each variable, such as params, tasks, item.

    `params` and `tasks` are mappings by name, and so is each task, whose keys are those of TASK_CONTENT and
    TASK_OUTCOME. These mappings may work out a value only when it is asked for; all values below are plain JSON.
    """

    variables: Mapping[str, Any]

    @property
    def roots(self) -> tuple[str, ...]:
        """The names of the variables."""
        return tuple(sorted(self.variables))


MAX_DATA = 8 * 2**20
"""Characters, and eight times the number of values, that one expression can read other than as a whole."""


class ExpressionFailed(Exception):
    """An expression has no value: it can't be read, or what it reads is not there. The message is for people."""


class Absent(ExpressionFailed):
    """What an expression reads is not there."""

    def __init__(self, missing: paths.Missing) -> None:
        path, depth = missing.path, missing.depth
        of_task = path.root == "tasks" and depth < 2 and (depth == 0 or path.keys[1] in TASK_CONTENT)
        self.key = path.keys[depth]
        self.depth = depth
        self.task: str | None = str(path.keys[0]) if of_task else None
        """The task whose content is not there; None where it is something else, also inside of its result."""
        super().__init__(f"{Path(path.root, path.keys[: depth + 1])}: {_why(missing)}")


def follow(path: Path, scope: Scope) -> Any:
    """The value that the path leads to. Raises Absent."""
    try:
        return paths.follow(path, scope.variables)
    except paths.Missing as missing:
        raise Absent(missing) from None


@dataclass(frozen=True, slots=True)
class Data:
    """The variables as far as the paths of an expression lead into them, as CEL takes them."""

    variables: dict[str, Any]
    sizes: dict[Path, Size]
    """Those that are known already."""

    def measure(self, path: Path) -> Size:
        """How large what the path leads to is."""
        path = Path(path.root, path.keys)
        if path not in self.sizes:
            try:
                self.sizes[path] = inputs.taken(paths.follow(path, self.variables))[1]
            except LookupError:
                self.sizes[path] = NOTHING
        return self.sizes[path]


def data(read: Iterable[Path], scope: Scope) -> Data:
    """What an expression reads. Raises ExpressionFailed.

    A large value costs time in CEL for being there, so what no path names is left out.
    """
    roots: dict[str, _Wanted] = {}
    for path in read:
        wanted = roots.setdefault(path.root, _Wanted())
        for key in path.keys:
            if isinstance(key, int):  # a list is passed on as a whole, so that its items keep their places
                break
            wanted = wanted.inner.setdefault(key, _Wanted())
        else:
            wanted.whole = wanted.whole or not path.asked
            continue
        wanted.whole = True
    pruning = _Pruning()
    found = {root: pruning.pruned(scope.variables[root], wanted, Path(root, ())) for root, wanted in roots.items()}
    return Data(found, pruning.sizes)


def checked(value: Any, name: str) -> Any:
    """A copy of the value that is plain JSON. Raises ExpressionFailed."""
    try:
        return plain.plain(value)
    except plain.NotPlain as error:
        raise ExpressionFailed(f"{name}: the value {error}") from None


@dataclass(slots=True)
class _Wanted:
    whole: bool = False
    inner: dict[str, _Wanted] = field(default_factory=dict)


@dataclass(slots=True)
class _Pruning:
    room: float = MAX_DATA
    sizes: dict[Path, Size] = field(default_factory=dict)

    def pruned(self, value: Any, wanted: _Wanted, here: Path) -> Any:
        """The part of the value that is wanted. Raises ExpressionFailed."""
        if wanted.whole:
            return self._taken(value, here)
        if isinstance(value, Mapping):
            return {
                key: self.pruned(value[key], inner, Path(here.root, (*here.keys, key)))
                for key, inner in wanted.inner.items()
                if key in value
            }
        if isinstance(value, list | tuple) or not wanted.inner:
            return []
        return "" if isinstance(value, str) else self._taken(value, here)

    def _taken(self, value: Any, here: Path) -> Any:
        try:
            found, size = inputs.taken(value)
        except plain.NotPlain as error:
            raise ExpressionFailed(f"{here}: the value {error}") from None
        self.sizes[here] = size
        self.room -= size.chars + 8 * size.nodes
        if self.room < 0:
            raise ExpressionFailed(f"{here}: the value is too large for CEL, which can take {MAX_DATA >> 20} MiB here")
        return found


def _why(missing: paths.Missing) -> str:
    path, depth, value = missing.path, missing.depth, missing.holder
    if depth == 0 and path.root in NAMED:
        return f"no such {NAMED[path.root]}; there are {mistakes.listing(value) or 'none'}"
    if depth == 1 and path.root == "tasks" and path.keys[1] in TASK_CONTENT:
        return _without(str(path.keys[1]), value)
    holder = "the result" if path.root == "tasks" and depth == 2 else str(Path(path.root, path.keys[:depth]))
    if isinstance(value, Mapping):
        return f"no such key; {holder} has {mistakes.listing(value) or 'none'}"
    if isinstance(value, list | tuple):
        return f"no such item; {holder} is a list of {len(value)}"
    return f"no such key; {holder} is {plain.kind(value)}"


def _without(key: str, task: Mapping[str, Any]) -> str:
    phase = task.get("phase")
    if phase is None or phase == "Succeeded":
        return f"the task has no {key}"
    return f"the task has no {key}, its phase is {phase}"
