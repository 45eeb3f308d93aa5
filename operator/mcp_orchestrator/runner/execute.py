"""The engine: walks a workflow's graph, each task starting as soon as it can. Called by `main`, and by local runs.

It knows neither Kubernetes nor MCP: tools are called through a ToolCaller, and a Reporter is told what happens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from mcp_orchestrator import settings
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.workflowrun import Outcome, RunReason, TaskError, TaskPhase
from mcp_orchestrator.api.workflowtemplate import Task, WorkflowTemplateSpec
from mcp_orchestrator.planning import expressions, graph
from mcp_orchestrator.runner import outputs, values, wording
from mcp_orchestrator.runner.calls import Call, CallFailed, ToolCaller

log = logging.getLogger(__name__)

LEAVE_SECONDS = 5.0
"""How long cancelled calls may take to say goodbye to their servers."""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What is known of one task. `result` means something only if the task succeeded."""

    name: str
    phase: TaskPhase = TaskPhase.PENDING
    start_time: datetime | None = None
    completion_time: datetime | None = None
    duration_milliseconds: int | None = None
    result: Any = None
    error: TaskError | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run ended. There are `outputs` only if it succeeded."""

    outcome: Outcome
    reason: RunReason
    message: str
    outputs: Mapping[str, Any] = field(default_factory=dict)


class Reporter(Protocol):
    """Is told of every change of a task, at once and in order."""

    def update(self, record: TaskRecord) -> None:
        """Take note; must not block and must not fail."""


async def execute(
    workflow: WorkflowTemplateSpec,
    params: Mapping[str, Any],
    caller: ToolCaller,
    report: Reporter,
    *,
    timeout_seconds: float,
    clock: Callable[[], datetime] = settings.clock,
    stop: asyncio.Future[str] | None = None,
) -> Ending:
    """Run the workflow to its end and tell how it went; raises nothing for what tasks do.

    After the first failure no task starts any more, and those under way may finish. When `timeout_seconds` are over, or
    when `stop` is set to the reason in words, tasks under way are cancelled and the others skipped.
    """
    walk = _Walk(workflow, params, caller, report, clock)
    try:
        await walk.run(timeout_seconds, stop)
    finally:
        await walk.cancel()
    return walk.ending()


@dataclass(frozen=True, slots=True)
class _Interruption:
    """Why the run was stopped from outside, and what that is for a task under way."""

    reason: RunReason
    message: str
    error_class: ErrorClass


class _Walk:
    def __init__(
        self,
        workflow: WorkflowTemplateSpec,
        params: Mapping[str, Any],
        caller: ToolCaller,
        report: Reporter,
        clock: Callable[[], datetime],
    ) -> None:
        self._workflow = workflow
        self._params = params
        self._caller = caller
        self._report = report
        self._clock = clock
        self._tasks = {task.name: task for task in workflow.tasks}
        self._graph = graph.build(workflow)
        self._records = {name: TaskRecord(name) for name in self._tasks}
        self._results: dict[str, dict[str, Any]] = {}
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._began: dict[str, float] = {}
        self._failure: TaskRecord | None = None
        self._interruption: _Interruption | None = None

    async def run(self, timeout_seconds: float, stop: asyncio.Future[str] | None) -> None:
        """Start tasks and wait for them until all have ended, or the run is interrupted."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            if stop is not None and stop.done() and self._has_open_tasks():
                return await self._interrupt(_stopped(stop.result()))
            self._start_ready()
            if not self._running:
                return None
            waited: set[asyncio.Future[Any]] = {*self._running.values(), *([stop] if stop else ())}
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            done, _ = await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self._collect()
            if not done:
                return await self._interrupt(_late(timeout_seconds))

    async def cancel(self) -> None:
        """Cancel what is under way and wait a little; what ends by itself before that counts as it ended."""
        for task in self._running.values():
            task.cancel()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=LEAVE_SECONDS)
            self._collect()

    def ending(self) -> Ending:
        """How it all ended. The first failure of a task counts more than what came after it."""
        if self._failure and self._failure.error:
            words = f'task "{self._failure.name}" failed: {self._failure.error.class_}: {self._failure.error.message}'
            return Ending(Outcome.FAILED, RunReason.TASK_FAILED, wording.fit(words))
        if self._interruption:
            return Ending(Outcome.FAILED, self._interruption.reason, wording.fit(self._interruption.message))
        if self._has_open_tasks():
            # Admission refuses such a workflow; a local run may come without one.
            words = f"tasks wait for each other: {', '.join(graph.find_cycle(self._graph) or ())}"
            self._skip_rest(lambda _: words)
            return Ending(Outcome.FAILED, RunReason.TEMPLATE_INVALID, wording.fit(words))
        try:
            found = outputs.evaluate(self._workflow, self._scope())
        except outputs.OutputFailed as error:
            return Ending(Outcome.FAILED, RunReason.OUTPUT_FAILED, wording.fit(str(error)))
        count = len(self._tasks)
        return Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, f"{count} task{'s'[: count > 1]} succeeded", found)

    def _start_ready(self) -> None:
        if self._failure or self._interruption:
            return
        for name in graph.ready(self._graph, {name: record.phase for name, record in self._records.items()}):
            if len(self._running) >= self._workflow.max_parallel_tasks:
                return
            self._began[name] = asyncio.get_running_loop().time()
            self._note(replace(self._records[name], phase=TaskPhase.RUNNING, start_time=self._clock()))
            self._running[name] = asyncio.create_task(self._work(self._tasks[name]), name=name)

    async def _work(self, task: Task) -> Any:
        try:
            arguments = values.plain(expressions.evaluate(task.arguments, self._scope()))
        except (expressions.ExpressionFailed, values.Unusable) as error:
            raise CallFailed(ErrorClass.EXPRESSION, f"arguments: {error}", never_sent=True) from error
        return await self._caller.call(Call(task.name, task.server, task.tool, arguments, task.timeout_seconds))

    def _scope(self) -> expressions.Scope:
        return expressions.Scope({"params": self._params, "tasks": self._results})

    def _collect(self) -> None:
        """Record the tasks that have ended, in the workflow's order so that the same run always tells the same."""
        for name in [name for name in self._tasks if name in self._running and self._running[name].done()]:
            task = self._running.pop(name)
            if task.cancelled():
                self._fail(name, self._cancelled())
            elif error := task.exception():
                self._fail(name, _told(name, error))
            else:
                self._results[name] = {"result": task.result()}
                self._end(name, TaskPhase.SUCCEEDED, result=task.result())

    def _end(self, name: str, phase: TaskPhase, *, result: Any = None, error: TaskError | None = None) -> TaskRecord:
        elapsed = asyncio.get_running_loop().time() - self._began[name]
        record = replace(
            self._records[name],
            phase=phase,
            completion_time=self._clock(),
            duration_milliseconds=round(elapsed * 1000),
            result=result,
            error=error,
        )
        self._note(record)
        return record

    def _fail(self, name: str, error: TaskError) -> None:
        record = self._end(name, TaskPhase.FAILED, error=error)
        if self._failure or self._interruption:
            return
        self._failure = record
        phases = {name: record.phase for name, record in self._records.items()}
        stopped_by = graph.doomed(self._graph, phases)
        self._skip_rest(lambda other: _why_skipped(name, stopped_by.get(other)))

    def _skip_rest(self, why: Callable[[str], str]) -> None:
        for name, record in self._records.items():
            if record.phase == TaskPhase.PENDING:
                error = TaskError(class_=ErrorClass.CANCELLED, message=wording.fit(why(name)))
                self._note(replace(record, phase=TaskPhase.SKIPPED, error=error))

    async def _interrupt(self, interruption: _Interruption) -> None:
        self._interruption = interruption
        await self.cancel()
        for name in tuple(self._running):
            # Its call does not end in spite of being cancelled: the process will end it.
            del self._running[name]
            self._fail(name, self._cancelled())
        self._skip_rest(lambda _: interruption.message)

    def _cancelled(self) -> TaskError:
        if self._interruption is None:
            return TaskError(class_=ErrorClass.CANCELLED, message="the call was cancelled")
        return TaskError(class_=self._interruption.error_class, message=wording.fit(self._interruption.message))

    def _has_open_tasks(self) -> bool:
        return not all(record.phase.final for record in self._records.values())

    def _note(self, record: TaskRecord) -> None:
        self._records[record.name] = record
        self._report.update(record)


def _stopped(message: str) -> _Interruption:
    return _Interruption(RunReason.RUNNER_FAILED, message, ErrorClass.CANCELLED)


def _late(timeout_seconds: float) -> _Interruption:
    message = f"the run took longer than its time-out of {timeout_seconds:g} s"
    return _Interruption(RunReason.TIMED_OUT, message, ErrorClass.TIMEOUT)


def _told(name: str, error: BaseException) -> TaskError:
    if isinstance(error, CallFailed):
        return TaskError(class_=error.error_class, message=error.message)
    log.error("the call of task %s failed in a way that it must not", name, exc_info=error)
    message = wording.one_line(f"the runner itself failed: {type(error).__name__}: {error}")
    return TaskError(class_=ErrorClass.RUNNER, message=message)


def _why_skipped(failed: str, stopped_by: str | None) -> str:
    if stopped_by is None:
        return f'the run stopped after task "{failed}" failed'
    return f'it needs task "{stopped_by}", which {"failed" if stopped_by == failed else "was skipped"}'
