"""What the expressions of a template read. Called by workflows.graph and others through the package."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.planning.cel import engine
from mcp_orchestrator.planning.cel.paths import Path
from mcp_orchestrator.planning.expressions import texts
from mcp_orchestrator.planning.expressions.scope import TASK_OUTCOME
from mcp_orchestrator.planning.expressions.texts import Roots


@dataclass(frozen=True, slots=True)
class Use:
    """One use of tasks.TASK.KEY."""

    task: str
    key: str | None
    """None where the expression does not say which: that is a mistake."""
    tested: bool
    """Whether the expression copes with the absence of the task's content: by has(tasks.TASK.KEY), or by `?`."""

    @property
    def needs_success(self) -> bool:
        """Whether the task must have succeeded, and not only have ended."""
        return not self.tested and self.key not in TASK_OUTCOME


@dataclass(frozen=True, slots=True)
class References:
    """Names that expressions use, in order, each once."""

    parameters: tuple[str, ...]
    tasks: tuple[str, ...]
    uses: tuple[Use, ...] = ()
    roots: tuple[str, ...] = ()
    """The variables that are read at all."""


def references(value: Any, roots: Roots = engine.ROOTS) -> References:
    """What the expressions in `value` read. What can't be read names nothing."""
    known = tuple(sorted(roots))
    return _together(_of_text(text, known) for text in texts.templates(value))


def condition_references(text: str, roots: Roots = engine.ROOTS) -> References:
    """What a condition reads, or any other bare expression. What can't be read names nothing."""
    program = engine.compile(texts.bare(text).text, roots)
    return _of_paths(program.tree.paths) if isinstance(program, engine.Program) else References((), ())


@functools.lru_cache(maxsize=4096)
def _of_text(text: str, roots: tuple[str, ...]) -> References:
    if path := texts.lone_path(text, roots):  # the most frequent kind, of which a template has hundreds
        return _of_paths((path,))
    return _together(_of_paths(program.tree.paths) for program in texts.programs(text, roots))


def _of_paths(paths: tuple[Path, ...]) -> References:
    of_tasks = [path for path in paths if path.root == "tasks" and path.keys]
    tested = {path.keys[0] for path in of_tasks if path.tests(1) and _key(path) not in TASK_OUTCOME}
    uses = dict.fromkeys([Use(str(path.keys[0]), _key(path), path.keys[0] in tested) for path in of_tasks])
    return References(
        parameters=_sorted([str(path.keys[0]) for path in paths if path.root == "params" and path.keys]),
        tasks=_sorted([use.task for use in uses]),
        uses=tuple(uses),
        roots=_sorted([path.root for path in paths]),
    )


def _sorted(names: list[str]) -> tuple[str, ...]:
    return tuple(names) if len(names) < 2 else tuple(sorted(set(names)))


def _together(parts: Iterable[References]) -> References:
    all_parts = tuple(parts)
    if len(all_parts) == 1:
        return all_parts[0]
    return References(
        parameters=_sorted([name for part in all_parts for name in part.parameters]),
        tasks=_sorted([name for part in all_parts for name in part.tasks]),
        uses=tuple(dict.fromkeys([use for part in all_parts for use in part.uses])),
        roots=_sorted([name for part in all_parts for name in part.roots]),
    )


def _key(path: Path) -> str | None:
    return str(path.keys[1]) if len(path.keys) > 1 else None
