"""What is wrong with one task of a workflow, by itself. Called by `checks`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mcp_orchestrator.api.errorclass import RETRYABLE
from mcp_orchestrator.api.task import MAX_UNITS, ForEach, OnFailure, Retry, Task
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason
from mcp_orchestrator.planning import expressions, mistakes, plain
from mcp_orchestrator.planning.expressions import Scope, interpolation
from mcp_orchestrator.planning.workflows import graph, scopes

MAX_OUTCOMES = 4
"""Tasks up to which all ways in which they may end are tried."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the task's expressions may read."""

    parameters: tuple[str, ...]
    tasks: Mapping[str, Task]
    """The tasks that it may wait for, itself among them."""
    final: bool
    """Whether it is a task of finally."""


def check(task: Task, names: Names, path: str) -> Iterator[Mistake]:
    """Everything that can be said about the task without its server."""
    yield from _check_form(task, path)
    yield from _check_dependencies(task, names, path)
    yield from _check_expressions(task, names, path)
    if task.for_each:
        yield from _check_for_each(task.for_each, f"{path}.forEach")
    if task.retry:
        yield from _check_retry(task.retry, f"{path}.retry")


def _check_form(task: Task, path: str) -> Iterator[Mistake]:
    """The API server refuses these too; a workflow may come from elsewhere."""
    if task.template is None:
        missing = [name for name, value in (("server", task.server), ("tool", task.tool)) if value is None]
        if missing:
            yield _spec(path, f"it has no {' and no '.join(missing)}: a task needs server and tool, or template")
        strange = {"parameters": bool(task.parameters)}
    else:
        strange = {
            "server": task.server is not None,
            "tool": task.tool is not None,
            "arguments": bool(task.arguments),
            "retry": task.retry is not None,
            "idempotent": task.idempotent is not None,
            "cache": task.cache is not None,
            "successWhen": task.success_when is not None,
        }
    other = "a template" if task.template is None else "a tool"
    for field, given in strange.items():
        if given:
            yield _spec(f"{path}.{field}", f"it goes with {other}, and this task has none: take one of them out")


def _check_dependencies(task: Task, names: Names, path: str) -> Iterator[Mistake]:
    for place, dependency in enumerate(task.depends_on):
        where = f"{path}.dependsOn[{place}]"
        if not scopes.is_name(dependency):
            yield from _check_condition(task, dependency, names, where)
        elif dependency == task.name:
            yield _graph(where, f'task "{dependency}" waits for itself: take it out')
        elif dependency not in names.tasks:
            hint = mistakes.suggestion(dependency, names.tasks) or f"; there are {mistakes.listing(names.tasks)}"
            yield _graph(where, f'unknown task "{dependency}"{hint}')
        elif dependency in task.depends_on[:place]:
            yield _graph(where, f'"{dependency}" stands here twice: take one out')


def _check_condition(task: Task, condition: str, names: Names, path: str) -> Iterator[Mistake]:
    """An expression of dependsOn: about how tasks ended, and one that may come true."""
    found = expressions.condition_references(condition, scopes.of_workflow(final=names.final))
    if any(use.task not in names.tasks for use in found.uses):
        return
    if not found.tasks:
        if not _faulty(condition, names):
            yield _graph(path, "it names no task: write what is about other things into when")
    elif any(use.key not in expressions.TASK_OUTCOME for use in found.uses):
        keys = mistakes.listing(expressions.TASK_OUTCOME)
        yield _graph(path, f"it may ask how tasks ended ({keys}), not for their results: write that into when")
    elif not names.final and len(found.tasks) <= MAX_OUTCOMES and not _may_hold(condition, found.tasks, names):
        ending = [name for name in found.tasks if names.tasks[name].on_failure == OnFailure.FAIL]
        hint = f"; set onFailure: Continue on {' and '.join(ending)}" if ending else ""
        yield _graph(
            path, f"it can never hold, since the run ends when a task fails{hint}" if ending else "it can never hold"
        )


def _faulty(condition: str, names: Names) -> bool:
    roots = scopes.of_workflow(final=names.final)
    return bool(expressions.check_condition(condition, "", parameters=names.parameters, tasks=names.tasks, roots=roots))


def _may_hold(condition: str, tasks: tuple[str, ...], names: Names) -> bool:
    """Whether there is a way in which the tasks may end, and the run goes on, for which the condition is true."""
    choices = [_ways(names.tasks[name]) for name in tasks]
    for ways in itertools.product(*choices):
        views = {name: scopes.outcome(way, 1) for name, way in zip(tasks, ways, strict=True)}
        try:
            if expressions.test(condition, Scope({"params": {}, "tasks": views})):
                return True
        except expressions.ExpressionFailed:
            return True  # it depends on what is not known yet
    return False


def _ways(task: Task) -> tuple[TaskPhase, ...]:
    """How the task may end without ending the run."""
    bad = (TaskPhase.FAILED, TaskPhase.INDETERMINATE) if task.on_failure == OnFailure.CONTINUE else ()
    return (TaskPhase.SUCCEEDED, TaskPhase.SKIPPED, *bad)


def _check_expressions(task: Task, names: Names, path: str) -> Iterator[Mistake]:
    for site in scopes.sites(task, final=names.final):
        where = f"{path}.{site.field}"
        known: dict[str, Any] = {"parameters": names.parameters, "tasks": tuple(names.tasks), "roots": site.roots}
        if site.kind == scopes.Kind.VALUE:
            yield from expressions.check(site.value, where, **known)
        else:
            wanted: Literal["bool", "string"] = "bool" if site.kind == scopes.Kind.BOOLEAN else "string"
            yield from expressions.check_condition(site.value, where, type=wanted, **known)
    for field, found in graph.references(task, final=names.final).items():
        if task.name in found.tasks:
            message = f'{field} of task "{task.name}" uses the task itself, which has not ended before it runs'
            yield _graph(f"{path}.{field}", message)


def _check_for_each(for_each: ForEach, path: str) -> Iterator[Mistake]:
    if fault := expressions.variable_fault(for_each.as_):
        yield _spec(f"{path}.as", fault)
    items = for_each.items
    if isinstance(items, str):
        if not _is_lone(items):
            yield _spec(f"{path}.items", "it is text: write one lone ${{ expression }}, or a list or an object")
    elif not isinstance(items, dict | list | tuple):
        yield _spec(f"{path}.items", f"it is {plain.kind(items)}, and must be a list or an object")
    elif len(items) > MAX_UNITS:
        yield _spec(f"{path}.items", f"it has {len(items)} items, and {MAX_UNITS} is the most")


def _is_lone(text: str) -> bool:
    try:
        return interpolation.lone(interpolation.parts(text)) is not None
    except interpolation.Unclosed:
        return True  # told with the other expressions


def _check_retry(retry: Retry, path: str) -> Iterator[Mistake]:
    for place, error_class in enumerate(retry.on_errors or ()):
        if error_class not in RETRYABLE:
            listed = ", ".join(RETRYABLE)
            yield _spec(f"{path}.onErrors[{place}]", f"{error_class} comes out the same every time; choose of {listed}")
    least, most = retry.backoff_seconds, retry.max_backoff_seconds
    if least is not None and most is not None and least > most:
        yield _spec(f"{path}.backoffSeconds", f"{least} is more than maxBackoffSeconds, {most}: make it smaller")


def _spec(path: str, message: str) -> Mistake:
    return mistakes.a_mistake(path, TemplateReason.INVALID_SPEC, message)


def _graph(path: str, message: str) -> Mistake:
    return mistakes.a_mistake(path, TemplateReason.INVALID_GRAPH, message)
