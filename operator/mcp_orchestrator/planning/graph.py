"""The graph of a workflow's tasks: who waits for whom. Called by planning.checks and by the runner."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from mcp_orchestrator.api.workflowrun import TaskPhase
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplateSpec
from mcp_orchestrator.planning import expressions


@dataclass(frozen=True, slots=True)
class Graph:
    """Every task with the tasks that it waits for, both in the order of the template."""

    dependencies: Mapping[str, tuple[str, ...]]


def build(spec: WorkflowTemplateSpec) -> Graph:
    """The graph of dependsOn and of the results that arguments use.

    Names of tasks that do not exist, and expressions that can't be read, add nothing: planning.checks reports them.
    """
    place = {task.name: index for index, task in enumerate(spec.tasks)}
    dependencies = {}
    for task in spec.tasks:
        named = {*task.depends_on, *expressions.references(task.arguments).tasks}
        dependencies[task.name] = tuple(sorted(named & place.keys(), key=place.__getitem__))
    return Graph(dependencies)


def ready(graph: Graph, phases: Mapping[str, TaskPhase]) -> tuple[str, ...]:
    """The tasks that may start now: pending (or without a phase), all they wait for succeeded. In template order."""
    return tuple(
        name
        for name, dependencies in graph.dependencies.items()
        if _pending(name, phases) and all(phases.get(other) == TaskPhase.SUCCEEDED for other in dependencies)
    )


def doomed(graph: Graph, phases: Mapping[str, TaskPhase]) -> Mapping[str, str]:
    """The pending tasks that can never start, each with the dependency that stops it. In template order.

    That dependency failed, was skipped, or is itself doomed: one call finds them all.
    """
    dependents = _dependents(graph)
    ended = (TaskPhase.FAILED, TaskPhase.SKIPPED)
    queue = deque(name for name in graph.dependencies if phases.get(name) in ended)
    stopped_by: dict[str, str] = {}
    while queue:
        name = queue.popleft()
        for dependent in dependents[name]:
            if dependent not in stopped_by and _pending(dependent, phases):
                stopped_by[dependent] = name
                queue.append(dependent)
    return {name: stopped_by[name] for name in graph.dependencies if name in stopped_by}


def find_cycle(graph: Graph) -> tuple[str, ...] | None:
    """Tasks that wait for each other, as ("a", "b", "a"): a waits for b, b waits for a. None if there are none.

    Tasks without open dependencies are taken away until none is left. What stays can't ever start, and each task of it
    waits for another one of it, so that following them must lead back.
    """
    waiting = _stuck(graph)
    if not waiting:
        return None
    trail: dict[str, None] = {}
    name = next(other for other in graph.dependencies if other in waiting)
    while name not in trail:
        trail[name] = None
        name = next(other for other in graph.dependencies[name] if other in waiting)
    names = list(trail)
    return (*names[names.index(name) :], name)


def _stuck(graph: Graph) -> set[str]:
    dependents = _dependents(graph)
    open_dependencies = {name: len(dependencies) for name, dependencies in graph.dependencies.items()}
    queue = deque(name for name, count in open_dependencies.items() if count == 0)
    waiting = set(graph.dependencies)
    while queue:
        name = queue.popleft()
        waiting.remove(name)
        for dependent in dependents[name]:
            open_dependencies[dependent] -= 1
            if open_dependencies[dependent] == 0:
                queue.append(dependent)
    return waiting


def _dependents(graph: Graph) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in graph.dependencies}
    for name, dependencies in graph.dependencies.items():
        for dependency in dependencies:
            found[dependency].append(name)
    return found


def _pending(name: str, phases: Mapping[str, TaskPhase]) -> bool:
    return phases.get(name, TaskPhase.PENDING) == TaskPhase.PENDING
