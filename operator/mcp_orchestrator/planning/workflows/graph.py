"""The graph of a workflow's tasks: who waits for whom, and who needs whose success. Called by checks and the runner.

A task waits for every task that it names: in dependsOn, and in any of its expressions. It needs the success of those
that dependsOn names, and of those whose results its expressions use, unless an expression tests whether there is one
(`has(tasks.a.result)`), or an expression of dependsOn says how the task may have ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.planning import expressions
from mcp_orchestrator.planning.expressions import References
from mcp_orchestrator.planning.workflows import scopes


@dataclass(frozen=True, slots=True)
class Node:
    """What one task waits for, each in the order of the list."""

    waits: tuple[str, ...] = ()
    """Tasks of the same list that must have ended."""
    needs: tuple[str, ...] = ()
    """Tasks that must have succeeded: of these, and for a task of finally also of the others'."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The tasks of one list, in its order."""

    nodes: Mapping[str, Node]

    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """For each task, those that wait for it."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, node in self.nodes.items():
            for other in node.waits:
                found[other].append(name)
        return {name: tuple(others) for name, others in found.items()}


def build(tasks: Iterable[Task], ended: Iterable[str] = ()) -> Graph:
    """The graph of a list of tasks; `ended` are tasks that have ended before the first of these starts.

    Names of tasks that do not exist, and expressions that can't be read, add nothing: `checks` reports them.
    """
    listed = tuple(tasks)
    earlier = tuple(ended)
    place = {name: index for index, name in enumerate((*earlier, *(task.name for task in listed)))}
    nodes = {}
    for task in listed:
        waits, needs = _named(task, final=bool(earlier))
        order = sorted(waits & place.keys(), key=place.__getitem__)
        nodes[task.name] = Node(
            waits=tuple(name for name in order if place[name] >= len(earlier)),
            needs=tuple(name for name in order if name in needs),
        )
    return Graph(nodes)


def unmet(node: Node, phases: Mapping[str, TaskPhase]) -> str | None:
    """The first task whose success is needed, and that did not succeed."""
    return next((name for name in node.needs if phases.get(name) != TaskPhase.SUCCEEDED), None)


def find_cycle(graph: Graph) -> tuple[str, ...] | None:
    """Tasks that wait for each other, as ("a", "b", "a"): a waits for b, b waits for a. None if there are none.

    Tasks without open dependencies are taken away until none is left. What stays can't ever start, and each task of it
    waits for another one of it, so that following them must lead back.
    """
    waiting = _stuck(graph)
    if not waiting:
        return None
    trail: dict[str, None] = {}
    name = next(other for other in graph.nodes if other in waiting)
    while name not in trail:
        trail[name] = None
        name = next(other for other in graph.nodes[name].waits if other in waiting)
    names = list(trail)
    return (*names[names.index(name) :], name)


def references(task: Task, *, final: bool = False) -> Mapping[str, References]:
    """What each field with expressions of the task reads, by the field's path inside the task."""
    return {
        site.field: expressions.references(site.value, site.roots)
        if site.kind == scopes.Kind.VALUE
        else expressions.condition_references(site.value, site.roots)
        for site in scopes.sites(task, final=final)
    }


def _named(task: Task, *, final: bool) -> tuple[set[str], set[str]]:
    """The tasks that a task waits for, and those whose success it needs."""
    named = {dependency for dependency in task.depends_on if scopes.is_name(dependency)}
    waits: set[str] = set(named)
    used: set[str] = set()
    released: set[str] = set()
    for field, found in references(task, final=final).items():
        waits.update(found.tasks)
        if field.startswith("dependsOn"):
            released.update(found.tasks)
        else:
            used.update(use.task for use in found.uses if use.needs_success)
    return waits, named | (used - released)


def _stuck(graph: Graph) -> set[str]:
    dependents = graph.dependents()
    open_dependencies = {name: len(node.waits) for name, node in graph.nodes.items()}
    queue = deque(name for name, count in open_dependencies.items() if count == 0)
    waiting = set(graph.nodes)
    while queue:
        name = queue.popleft()
        waiting.remove(name)
        for dependent in dependents[name]:
            open_dependencies[dependent] -= 1
            if open_dependencies[dependent] == 0:
                queue.append(dependent)
    return waiting
