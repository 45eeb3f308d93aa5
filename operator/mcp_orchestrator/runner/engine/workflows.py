"""Workflows and their tasks: tool calls, items, workflows inside workflows. The middle of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import SkipReason, TaskError, TaskPhase
from mcp_orchestrator.api.workflow import MAX_DEPTH, Workflow
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason
from mcp_orchestrator.planning import expressions, wording
from mcp_orchestrator.planning.calls import caching
from mcp_orchestrator.planning.expressions import Scope
from mcp_orchestrator.planning.workflows import parameters
from mcp_orchestrator.runner.engine import fanout, outputs
from mcp_orchestrator.runner.engine.attempts import Attempts
from mcp_orchestrator.runner.engine.board import Board
from mcp_orchestrator.runner.engine.gate import Gate, Interruption, Slots
from mcp_orchestrator.runner.engine.walk import Done, Walk
from mcp_orchestrator.runner.results import values
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import Ending, UnitFailed, UnitRecord, UnitSkipped

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workflow runs: what stands before the names of its tasks, behind which gates, with which slots."""

    prefix: str
    gate: Gate
    last: Gate
    """Behind which the tasks of finally run: the run's time-out does not stop them."""
    slots: Slots
    width: int
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """How a workflow ended, and that as the failure of a task; no ending if it was stopped before."""

    ending: Ending | None = None
    failed: UnitFailed | None = None


class Engine:
    """Runs workflows with one board, and one maker of calls."""

    def __init__(self, nested: Mapping[str, Workflow], board: Board, attempts: Attempts) -> None:
        self._nested = nested
        self._board = board
        self._attempts = attempts

    async def workflow(self, spec: Workflow, params: Mapping[str, Any], place: Place) -> Result:
        """Run the tasks, work out the outputs, and run the tasks of finally."""
        spec = caching.with_default(spec)
        variables = {"params": params}
        main = self._walk(spec.tasks, variables, place)
        await main.run()
        if main.cut:
            return Result()
        result = _main_result(spec, main, place.gate)
        if not spec.finally_:
            return result
        await place.gate.opened()
        if self._board.stopping:
            return Result()
        # A hold waits for finally to end: whoever cleans up is not left in the middle of it.
        with place.gate.under_way():
            return await self._finally(spec, variables, place, main, result)

    async def _finally(
        self, spec: Workflow, variables: Mapping[str, Any], place: Place, main: Walk, result: Result
    ) -> Result:
        assert result.ending  # noqa: S101 - a workflow that was stopped does not get here
        gate, seconds = Gate(place.last), spec.finally_timeout_seconds
        late = f"the tasks of finally took longer than finallyTimeoutSeconds, {seconds} s"
        timer = asyncio.get_running_loop().call_later(seconds, gate.interrupt, _time_out(late))
        succeeded = result.ending.outcome == Outcome.SUCCEEDED
        run = {
            "succeeded": succeeded,
            "failed": not succeeded,
            "reason": str(_told(result.ending)),
            "message": result.ending.message,
        }
        last = self._walk(spec.finally_, {**variables, "run": run}, replace(place, gate=gate), main)
        try:
            await last.run()
        finally:
            timer.cancel()
        if last.cut:
            return Result()
        return (_failure(last, gate) if succeeded else None) or result

    def _walk(
        self, tasks: tuple[Task, ...], variables: Mapping[str, Any], place: Place, before: Walk | None = None
    ) -> Walk:
        async def perform(task: Task, scope: Scope) -> Done:
            return await self._task(task, scope, place)

        return Walk(tasks, variables, perform, board=self._board, gate=place.gate, prefix=place.prefix, before=before)

    async def _task(self, task: Task, scope: Scope, place: Place) -> Done:
        unit = place.prefix + task.name
        if task.for_each is None:
            return Done(await self._unit(task, unit, scope, place), {})
        try:
            collected = await self._spread(task, unit, scope, place)
        except UnitFailed as failed:
            return Done(self._board.fail(unit, failed), {})
        more = {"items": list(collected.items), "failures": collected.failures}
        return Done(self._board.succeed(unit, collected.answer, derived=True), more)

    async def _spread(self, task: Task, unit: str, scope: Scope, place: Place) -> fanout.Collected:
        assert task.for_each  # noqa: S101 - the caller looked
        self._board.begin(unit)
        name, gate = task.for_each.as_, Gate(place.gate)

        async def perform(item: fanout.Item, inner: Gate) -> UnitRecord:
            record = self._board[item.unit]
            if record.phase.failed:
                return record
            return await self._unit(task, item.unit, fanout.of_item(scope, name, item), replace(place, gate=inner))

        work = fanout.spread(task, unit, scope, perform, board=self._board, gate=gate, width=place.width)
        return await _within(task.deadline_seconds, "deadlineSeconds", gate, work)

    async def _unit(self, task: Task, unit: str, scope: Scope, place: Place) -> UnitRecord:
        """Run a tool call or a nested workflow to its end; the record of it. Raises UnitSkipped if it is not run."""
        try:
            if task.template is None:
                return await self._call(task, unit, scope, place)
            self._board.begin(unit)
            return self._board.succeed(unit, await self._inner(task, unit, scope, place), derived=True)
        except UnitFailed as failed:
            return self._board.fail(unit, failed)

    async def _call(self, task: Task, unit: str, scope: Scope, place: Place) -> UnitRecord:
        record = self._board[unit]
        if record.phase == TaskPhase.SUCCEEDED and (record.answer or not self._attempts.repeatable(task)):
            return record
        answer, use = await self._attempts.make(unit, task, scope, place.gate, place.slots)
        return self._board.succeed(unit, answer, cache=use)

    async def _inner(self, task: Task, unit: str, scope: Scope, place: Place) -> Answer:
        """Run a nested workflow; its outputs as an answer. Raises UnitFailed, UnitSkipped."""
        name = task.template.name if task.template else ""
        spec = self._nested.get(name)
        if spec is None or place.depth >= MAX_DEPTH:
            why = "is not on record" if spec is None else f"stands more than {MAX_DEPTH} levels deep"
            raise _failed(ErrorClass.RUNNER, f'the workflow "{name}" {why}')
        if why := self._board.take_in([f"{unit}/{inner.name}" for inner in spec.every_task]):
            raise _failed(ErrorClass.EXPRESSION, f'with the workflow "{name}" {why}')
        params = _parameters(task, spec, scope)
        gate = Gate(place.gate)
        width = spec.max_parallel_tasks
        inner = Place(f"{unit}/", gate, place.last, Slots(width, place.slots), width, place.depth + 1)
        limits = (task.timeout_seconds or spec.timeout_seconds, task.deadline_seconds)
        seconds = min((limit for limit in limits if limit), default=None)
        return await _within(seconds, "time-out", gate, self._outputs(spec, params, inner))

    async def _outputs(self, spec: Workflow, params: Mapping[str, Any], place: Place) -> Answer:
        result = await self.workflow(spec, params, place)
        if result.failed:
            raise result.failed
        if result.ending is None:
            raise UnitSkipped(SkipReason.RUN_STOPPED, "the run was stopped")
        found = result.ending.outputs
        for output in spec.outputs:
            if output.sensitive and output.name in found:
                self._board.conceal(found[output.name])
        return Answer.of(dict(found))


def _main_result(spec: Workflow, main: Walk, gate: Gate) -> Result:
    if failed := _failure(main, gate):
        return failed
    try:
        found = outputs.evaluate(spec, main.scope)
    except outputs.OutputFailed as error:
        ending = Ending(Outcome.FAILED, RunReason.OUTPUT_FAILED, wording.fit(str(error)))
        return Result(ending, _failed(ErrorClass.EXPRESSION, str(error)))
    return Result(Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, _summary(main), found))


def _failure(walk: Walk, gate: Gate) -> Result | None:
    """How tasks failed; None if they did not. The first failure counts more than what came after it."""
    if (record := walk.failure) and record.error:
        unknown = record.phase == TaskPhase.INDETERMINATE
        words = f"{record.error.class_}: {record.error.message}"
        how = "ended as Indeterminate" if unknown else "failed"
        reason = RunReason.TASK_INDETERMINATE if unknown else RunReason.TASK_FAILED
        ending = Ending(Outcome.FAILED, reason, wording.fit(f'task "{record.name}" {how}: {words}'))
        inner = wording.fit(f'task "{record.name}": {record.error.message}')
        return Result(ending, UnitFailed(TaskError(class_=record.error.class_, message=inner), record.phase))
    if stopped := gate.interruption:
        ending = Ending(stopped.outcome, stopped.reason, wording.fit(stopped.message))
        error = TaskError(class_=stopped.error_class, message=wording.fit(stopped.message))
        return Result(ending, UnitFailed(error, interrupted=True))
    if walk.halted:
        # Another task of the run failed, outside of this workflow.
        ending = Ending(Outcome.FAILED, RunReason.TASK_FAILED, wording.fit(walk.halted))
        error = TaskError(class_=ErrorClass.CANCELLED, message=wording.fit(walk.halted))
        return Result(ending, UnitFailed(error, interrupted=True))
    return None


def _told(ending: Ending) -> RunReason:
    """The reason that finally reads: all runs that somebody stopped are Cancelled, whatever that was for."""
    return RunReason.CANCELLED if ending.outcome == Outcome.CANCELLED else ending.reason


def _summary(walk: Walk) -> str:
    """How many tasks succeeded, and what became of the others."""
    phases = list(walk.phases.values())
    good, skipped = phases.count(TaskPhase.SUCCEEDED), phases.count(TaskPhase.SKIPPED)
    bad = len(phases) - good - skipped
    if good == len(phases):
        return f"{good} task{'s'[: good > 1]} succeeded"
    others = [f"{skipped} {'was' if skipped == 1 else 'were'} skipped"] if skipped else []
    others += [f"{bad} failed, which the workflow allows"] if bad else []
    return f"{good} of {len(phases)} tasks succeeded, {' and '.join(others)}"


def _parameters(task: Task, spec: Workflow, scope: Scope) -> Mapping[str, Any]:
    try:
        given = values.plain(expressions.evaluate(task.parameters, scope))
    except (expressions.ExpressionFailed, values.Unusable) as error:
        raise _failed(ErrorClass.EXPRESSION, f"parameters: {error}") from error
    resolved = parameters.resolve(spec.parameters, given, "parameters")
    if resolved.mistakes:
        raise _failed(ErrorClass.EXPRESSION, "; ".join(map(str, resolved.mistakes)))
    return resolved.values


async def _within(seconds: float | None, limit: str, gate: Gate, work: Coroutine[Any, Any, T]) -> T:
    """The result of work behind the gate, which is interrupted after so many seconds."""
    if seconds is None:
        return await work
    late = _time_out(f"it took longer than its {limit}, {seconds:g} s")
    timer = asyncio.get_running_loop().call_later(seconds, gate.interrupt, late)
    try:
        return await work
    except UnitFailed as failed:
        if failed.interrupted and gate.interruption is late:
            raise UnitFailed(failed.error, failed.phase) from failed
        raise
    finally:
        timer.cancel()


def _time_out(message: str) -> Interruption:
    return Interruption(RunReason.TIMED_OUT, message, ErrorClass.TIMEOUT)


def _failed(error_class: ErrorClass, message: str) -> UnitFailed:
    return UnitFailed(TaskError(class_=error_class, message=wording.fit(message)))
