"""What the expressions of a template read. Called by planning.graph and others through planning.expressions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.planning import cel, expressiontexts
from mcp_orchestrator.planning.expressiontexts import Roots
from mcp_orchestrator.planning.paths import Path
from mcp_orchestrator.planning.scope import TASK_OUTCOME


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


def references(value: Any, roots: Roots = cel.ROOTS) -> References:
    """What the expressions in `value` read. What can't be read names nothing."""
    return _references(
        program for _, text in expressiontexts.strings(value, "") for program in expressiontexts.programs(text, roots)
    )


def condition_references(text: str, roots: Roots = cel.ROOTS) -> References:
    """What a condition reads, or any other bare expression. What can't be read names nothing."""
    program = cel.compile(expressiontexts.bare(text).text, roots)
    return _references([program] if isinstance(program, cel.Program) else [])


def _references(programs: Iterable[cel.Program]) -> References:
    parameters: set[str] = set()
    uses: dict[Use, None] = {}
    roots: set[str] = set()
    for program in programs:
        paths = program.tree.paths
        roots.update(path.root for path in paths)
        parameters.update(str(path.keys[0]) for path in paths if path.root == "params" and path.keys)
        of_tasks = [path for path in paths if path.root == "tasks" and path.keys]
        tested = {path.keys[0] for path in of_tasks if path.tests(1) and _key(path) not in TASK_OUTCOME}
        uses.update(dict.fromkeys(Use(str(path.keys[0]), _key(path), path.keys[0] in tested) for path in of_tasks))
    return References(
        parameters=tuple(sorted(parameters)),
        tasks=tuple(sorted({use.task for use in uses})),
        uses=tuple(uses),
        roots=tuple(sorted(roots)),
    )


def _key(path: Path) -> str | None:
    return str(path.keys[1]) if len(path.keys) > 1 else None
