"""Where a task has expressions, and which names each of them reads. Called by `graph` and `checks`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mcp_orchestrator.api.base import TASK_NAME
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import TaskPhase

Roots = tuple[str, ...]

WORKFLOW: Roots = ("params", "tasks")
"""What every expression of a workflow reads."""
FINALLY: Roots = (*WORKFLOW, "run")
OF_RESULT: Roots = ("result", "text")
OF_ERROR: Roots = ("error", "attempt")
OF_ITEM: Roots = ("key", "index")

_NAME = re.compile(TASK_NAME)


class Kind(StrEnum):
    """What an expression must come to."""

    VALUE = "any value, in ${{ }}"
    BOOLEAN = "bool"
    TEXT = "string"


@dataclass(frozen=True, slots=True)
class Site:
    """A field of a task that holds expressions."""

    field: str
    """Its path inside the task, such as forEach.items."""
    value: Any
    kind: Kind
    roots: Roots


def outcome(phase: TaskPhase, attempts: int) -> dict[str, Any]:
    """How a task ended, as expressions read it."""
    return {
        "phase": str(phase),
        "succeeded": phase == TaskPhase.SUCCEEDED,
        "failed": phase.failed,
        "skipped": phase == TaskPhase.SKIPPED,
        "attempts": attempts,
    }


def is_name(dependency: str) -> bool:
    """Whether an entry of dependsOn is a task's name; else it is an expression."""
    return _NAME.match(dependency) is not None


def of_workflow(*, final: bool) -> Roots:
    """The names that every expression of a task reads; `final` for the tasks of finally."""
    return FINALLY if final else WORKFLOW


def of_call(task: Task, *, final: bool) -> Roots:
    """The names that the arguments of a task read: those of its item too, if it has a forEach."""
    return of_workflow(final=final) + ((task.for_each.as_, *OF_ITEM) if task.for_each else ())


def sites(task: Task, *, final: bool = False) -> Iterator[Site]:
    """Every field of the task that holds expressions, in the order in which they are worked out."""
    outer, inner = of_workflow(final=final), of_call(task, final=final)
    for place, dependency in enumerate(task.depends_on):
        if not is_name(dependency):
            yield Site(f"dependsOn[{place}]", dependency, Kind.BOOLEAN, outer)
    if task.when is not None:
        yield Site("when", task.when, Kind.BOOLEAN, outer)
    if task.for_each:
        yield Site("forEach.items", task.for_each.items, Kind.VALUE, outer)
        if task.for_each.key is not None:
            yield Site("forEach.key", task.for_each.key, Kind.TEXT, inner)
    if task.arguments:
        yield Site("arguments", task.arguments, Kind.VALUE, inner)
    if task.parameters:
        yield Site("parameters", task.parameters, Kind.VALUE, inner)
    if task.success_when is not None:
        yield Site("successWhen", task.success_when, Kind.BOOLEAN, inner + OF_RESULT)
    if task.retry and task.retry.when is not None:
        yield Site("retry.when", task.retry.when, Kind.BOOLEAN, inner + OF_ERROR)
