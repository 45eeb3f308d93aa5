"""The tasks of one list, each decided the moment that all it waits for has ended. Part of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.task import OnFailure, Task
from mcp_orchestrator.api.taskstatus import RUN_ENDS, SkipReason, TaskError, TaskPhase
from mcp_orchestrator.planning import expressions, wording
from mcp_orchestrator.planning.expressions import Scope
from mcp_orchestrator.planning.workflows import graph, scopes
from mcp_orchestrator.runner.engine.board import Board, view
from mcp_orchestrator.runner.engine.gate import Gate
from mcp_orchestrator.runner.results.records import UnitFailed, UnitRecord, UnitSkipped


@dataclass(frozen=True, slots=True)
class Done:
    """How a task ended, and what expressions read of it beside what they read of any."""

    record: UnitRecord
    more: Mapping[str, Any]


Perform = Callable[[Task, Scope], Awaitable[Done]]
"""Runs one task to its end. Raises UnitSkipped if it is not run."""


class Walk:
    """A list of tasks on its way. `before` are the tasks that had ended when it began, as expressions read them."""

    def __init__(
        self,
        tasks: Iterable[Task],
        variables: Mapping[str, Any],
        perform: Perform,
        *,
        board: Board,
        gate: Gate,
        prefix: str,
        before: Walk | None = None,
    ) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._perform = perform
        self._board = board
        self._gate = gate
        self._prefix = prefix
        self.phases: dict[str, TaskPhase] = dict(before.phases) if before else {}
        self.views: dict[str, dict[str, Any]] = dict(before.views) if before else {}
        self.scope = Scope({**variables, "tasks": self.views})
        self._graph = graph.build(self._tasks.values(), tuple(self.phases))
        self._dependents = self._graph.dependents()
        self._open = {name: len(node.waits) for name, node in self._graph.nodes.items()}
        self._group = asyncio.TaskGroup()
        self.failure: UnitRecord | None = None
        """The first failure that counts: not one that was allowed, and not one that an interruption brought about."""
        self.halted = ""
        """Why tasks were not started although they could have been; empty if there were none."""
        self.cut = False
        """Whether tasks were left as they are, for another pod."""

    async def run(self) -> None:
        """Run all tasks that are to be run, until none is under way."""
        async with self._group:
            for name in [name for name, count in self._open.items() if count == 0]:
                self._decide(name)
        if not self.cut and any(name not in self.phases for name in self._tasks):
            self._break_cycle()

    def _decide(self, name: str) -> None:
        task, record = self._tasks[name], self._board[self._prefix + name]
        if record.phase.final and record.phase != TaskPhase.SUCCEEDED:
            return self._ended(task, Done(record, {}))
        try:
            # What was under way in a lost pod is brought to its end, whatever has happened since.
            if record.phase == TaskPhase.PENDING:
                self._check(task)
        except UnitSkipped as skipped:
            return self._left_out(task, skipped)
        except UnitFailed as failed:
            return self._ended(task, Done(self._board.fail(record.name, failed), {}))
        self._group.create_task(self._work(task), name=record.name)
        return None

    async def _work(self, task: Task) -> None:
        try:
            if self._gate.held:
                await self._gate.opened()
                self._check_gate(task)
            done = await self._perform(task, self.scope)
        except UnitSkipped as skipped:
            return self._left_out(task, skipped)
        return self._ended(task, done)

    def _check(self, task: Task) -> None:
        """Whether the task is to be run, now that all it waits for has ended. Raises UnitSkipped, UnitFailed."""
        if stopped := self._gate.interruption:
            raise UnitSkipped(stopped.skip_reason, stopped.message)
        if other := graph.unmet(self._graph.nodes[task.name], self.phases):
            verb = {TaskPhase.SKIPPED: "was skipped", TaskPhase.FAILED: "failed"}.get(
                self.phases[other], "ended as Indeterminate"
            )
            raise UnitSkipped(SkipReason.DEPENDENCY_NOT_MET, f'it needs task "{other}", which {verb}')
        self._check_gate(task)
        for place, dependency in enumerate(task.depends_on):
            if not scopes.is_name(dependency) and not self._holds(f"dependsOn[{place}]", dependency):
                raise UnitSkipped(SkipReason.DEPENDENCY_NOT_MET, f"dependsOn is false: {dependency}")
        if task.when is not None and not self._holds("when", task.when):
            raise UnitSkipped(SkipReason.WHEN_FALSE, f"when is false: {task.when}")

    def _check_gate(self, task: Task) -> None:
        """Whether anything new may start. Raises UnitSkipped."""
        closing = self._gate.closing
        if closing and self._board[self._prefix + task.name].phase == TaskPhase.PENDING:
            raise UnitSkipped(closing.reason, closing.message)

    def _holds(self, field: str, condition: str) -> bool:
        try:
            return expressions.test(condition, self.scope)
        except expressions.ExpressionFailed as error:
            message = wording.fit(f"{field}: {error}")
            raise UnitFailed(TaskError(class_=ErrorClass.EXPRESSION, message=message)) from error

    def _left_out(self, task: Task, skipped: UnitSkipped) -> None:
        if skipped.reason in RUN_ENDS:
            self.halted = self.halted or skipped.message
            if self._board.stopping:
                self.cut = True
                return
        self._ended(task, Done(self._board.skip(self._prefix + task.name, skipped), {}))

    def _ended(self, task: Task, done: Done) -> None:
        """Take note, and decide whatever waited for this task only."""
        record = done.record
        self.phases[task.name] = record.phase
        self.views[task.name] = {**view(record), **done.more}
        if record.phase.failed and task.on_failure == OnFailure.FAIL and not self._gate.interruption:
            self.failure = self.failure or record
            self._gate.close(SkipReason.RUN_FAILED, f'the run stopped after task "{record.name}" failed')
        for name in self._dependents[task.name]:
            self._open[name] -= 1
            if self._open[name] == 0:
                self._decide(name)

    def _break_cycle(self) -> None:
        """End tasks that wait for each other. Admission refuses such a workflow; a local run may come without one."""
        cycle = " → ".join(graph.find_cycle(self._graph) or ())
        error = TaskError(class_=ErrorClass.EXPRESSION, message=f"these tasks wait for each other: {cycle}")
        for name in self._tasks:
            if name not in self.phases:
                record = self._board.fail(self._prefix + name, UnitFailed(error))
                self.phases[name] = record.phase
                self.failure = self.failure or record
