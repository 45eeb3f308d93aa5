"""Which results of an earlier run a new one may take over: those that would come out the same. Called by the runner.

A task is taken over if it succeeded there, is defined the same, reads parameters of the same values, and everything
that it waits for is taken over too. The tasks of finally always run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcp_orchestrator.api.resolved import ResolvedTemplate
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflow import Parameter
from mcp_orchestrator.api.workflowrun import WorkflowRun, WorkflowRunSpec
from mcp_orchestrator.planning.workflows import graph


def why_not(ours: WorkflowRun, theirs: WorkflowRun) -> Mapping[str, str]:
    """For every task of `ours`, why the result in `theirs` can't be taken over; an empty text where it can.

    Both runs must have been admitted. A task with items is taken over even where only some of them succeeded: the
    items' own records say which.
    """
    new, old = ours.status.template, theirs.status.template
    if new is None or old is None:
        return {}
    judge = _Judge(new, old, _Given(ours.spec, new), _Given(theirs.spec, old), theirs)
    return {task.name: judge.why_not(task.name) for task in new.spec.tasks}


class _Judge:
    def __init__(
        self, new: ResolvedTemplate, old: ResolvedTemplate, given: _Given, was_given: _Given, theirs: WorkflowRun
    ) -> None:
        self._new = new
        self._old = old
        self._tasks = {task.name: task for task in new.spec.tasks}
        self._graph = graph.build(new.spec.tasks)
        self._earlier = {task.name: task for task in old.spec.tasks}
        self._given = given
        self._was_given = was_given
        self._phases = {task.name: task.phase for task in theirs.status.tasks}
        self._verdicts: dict[str, str] = {}

    def why_not(self, name: str) -> str:
        """Why the task of this name can't be taken over. Tasks that wait for each other have been refused before."""
        if name not in self._verdicts:
            self._verdicts[name] = "it waits for itself"
            self._verdicts[name] = next(self._objections(self._tasks[name]), "")
        return self._verdicts[name]

    def _objections(self, task: Task) -> Iterator[str]:
        earlier, phase = self._earlier.get(task.name), self._phases.get(task.name)
        if earlier is None or phase is None:
            yield "there was no such task"
            return
        partly = task.for_each is not None and phase.failed
        if phase != TaskPhase.SUCCEEDED and not partly:
            yield f"it did not succeed there: {phase}"
        if task.wire() != earlier.wire():
            yield "its definition changed"
        if task.template and _inner(self._new, task) != _inner(self._old, earlier):
            yield f'the workflow "{task.template.name}" changed'
        found = graph.references(task)
        for name in sorted({name for references in found.values() for name in references.parameters}):
            if self._given.of(name) != self._was_given.of(name):
                yield f'parameter "{name}" has another value'
        for name in sorted(self._graph.nodes[task.name].waits):
            if self.why_not(name):
                yield f'task "{name}" runs again'


class _Given:
    """What a run was given for its parameters: a value, or where it stands. Secrets are never looked at."""

    def __init__(self, spec: WorkflowRunSpec, template: ResolvedTemplate) -> None:
        self._declared: Mapping[str, Parameter] = {parameter.name: parameter for parameter in template.spec.parameters}
        self._values = spec.parameters
        self._sources = {source.name: source.wire() for source in spec.parameters_from}

    def of(self, name: str) -> Any:
        """Something that is equal for equal values."""
        if name in self._sources:
            return ("from", self._sources[name])
        declared = self._declared.get(name)
        return ("value", self._values.get(name, declared.default if declared else None))


def _inner(template: ResolvedTemplate, task: Task) -> Mapping[str, str]:
    """The digests of the workflows that a task runs, and of those that theirs run."""
    known = {nested.name: nested for nested in template.nested}
    found: dict[str, str] = {}
    waiting = [task]
    while waiting:
        reference = waiting.pop().template
        if reference and reference.name in known and reference.name not in found:
            nested = known[reference.name]
            found[nested.name] = nested.digest
            waiting.extend(nested.spec.every_task)
    return found
