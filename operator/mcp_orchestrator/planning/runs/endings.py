"""How a run ends: the last status, with its diagnosis. Called by `decision`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.control import Cancellation
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunCondition, RunPhase, RunReason
from mcp_orchestrator.planning.diagnosis import failures, pods
from mcp_orchestrator.planning.diagnosis.failures import Failure
from mcp_orchestrator.planning.diagnosis.scene import Scene
from mcp_orchestrator.planning.plan import Event, EventType, Plan
from mcp_orchestrator.planning.runs import attempts, runstatus
from mcp_orchestrator.planning.runs.receipts import Spent
from mcp_orchestrator.planning.workflows.resolution import Rejected, Waiting
from mcp_orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Last:
    """A run at its end, and what was seen of it."""

    run: WorkflowRun
    now: datetime
    pods: tuple[Mapping[str, Any], ...] = ()
    scene: Scene | None = None
    """What stands around a failed run, once it was looked at."""


def rejected(run: WorkflowRun, found: Rejected, now: datetime) -> Plan:
    """End a run that can never start as it is."""
    remedy = "Create a new run with the parameters corrected."
    if found.reason != RunReason.INVALID_PARAMETER:
        remedy = "Mend the workflow, then create a new run."
    failure = Failure(found.reason, found.message, remedies=(remedy,))
    return _finish(Last(run, now), found.reason, found.message, failure)


def unready(run: WorkflowRun, found: Waiting, now: datetime) -> Plan:
    """End a run that has waited for a server as long as it may. Nothing of it ran."""
    message = f"the run has waited {found.patience_seconds} s (serverWaitSeconds): {found.message}"
    look = f"kubectl -n {run.metadata.namespace} get mcpservers -o wide"
    remedy = f"See what keeps the server ({look}), then create a new run; or raise serverWaitSeconds of the workflow."
    return _finish(Last(run, now), found.reason, message, Failure(found.reason, message, remedies=(remedy,)))


def not_executed(run: WorkflowRun, found: Spent, now: datetime) -> Plan:
    """End a run whose key was used: as the run that used it, or badly if that was another work."""
    failed_too = found.phase == RunPhase.FAILED
    failure = Failure(found.reason, found.message, remedies=(found.remedy,)) if failed_too else None
    return _end(Last(run, now), found.phase, found.reason, found.message, failure, found.outputs)


def cancelled(last: Last, order: Cancellation) -> Plan:
    """End a run that was stopped by an order."""
    reason = RunReason(order.reason) if order.reason in set(RunReason) else RunReason.CANCELLED
    return _end(last, RunPhase.CANCELLED, reason, order.message)


def has_ended(job: Mapping[str, Any]) -> bool:
    """Whether the Job has come to its end, good or bad."""
    return bool(pods.holding(job, "Failed") or pods.holding(job, "Complete"))


def reported(last: Last) -> Plan:
    """End the run as its runner reported."""
    run, runner = last.run, last.run.status.runner
    assert runner  # noqa: S101 - the caller saw the runner's outcome
    reason = RunReason(runner.reason) if runner.reason in set(RunReason) else RunReason.RUNNER_FAILED
    message = runner.message or "the runner gave no reason"
    if runner.outcome == Outcome.SUCCEEDED:
        return _finish(last, RunReason.SUCCEEDED, message)
    if runner.outcome == Outcome.CANCELLED:
        return _end(last, RunPhase.CANCELLED, reason, message)
    found: Failure | None = None
    if reason == RunReason.TIMED_OUT:
        found = failures.of_time_out(message, run.status.tasks)
    elif reason == RunReason.OUTPUT_FAILED:
        found = failures.of_outputs(message)
    elif reason != RunReason.RUNNER_FAILED:
        found = failures.of_task(run.status.tasks)
    return _finish(last, reason, message, found or failures.of_pod(None, message, run))


def abandoned(last: Last, job: Mapping[str, Any], settings: Settings) -> Plan:
    """End a run whose Job ended without a report of its runner."""
    failure, counted = pods.holding(job, "Failed") or {}, attempts.counted(last.run)
    if failure.get("reason") == "DeadlineExceeded":
        return _too_late(last, runstatus.timeout_seconds(last.run, settings))
    words = failure.get("message") or "its Job completed"
    times = f" {counted} times" if counted > 1 else ""
    return failed(last, RunReason.RUNNER_FAILED, f"the run's pod ended{times} without a report ({words})")


def _too_late(last: Last, limit_seconds: int) -> Plan:
    """The Job's deadline has passed. Its pods are gone by then as a rule, so what was told of them before counts."""
    status = last.run.status
    if status.runner:
        message = f"the run took longer than its time-out of {limit_seconds} s"
        return _finish(last, RunReason.TIMED_OUT, message, failures.of_time_out(message, status.tasks))
    message = f"the run's pod did not begin its work within the time-out of {limit_seconds} s"
    told = status.message or runstatus.STARTING
    if told != runstatus.STARTING and not pods.first_trouble(last.pods):
        message = f"{message}: {told}"
    remedy = "Mend what kept the pod, or raise timeoutSeconds of the run or of its workflow."
    return failed(last, RunReason.TIMED_OUT, message, remedy)


def failed(last: Last, reason: RunReason, message: str, remedy: str = "") -> Plan:
    """End a run that its runner did not end, with what its pods tell; `remedy` counts where they tell none."""
    found = failures.of_pod(pods.first_trouble(last.pods), message, last.run, remedy)
    return _finish(last, reason, found.summary, found)


def _finish(last: Last, reason: RunReason, message: str, failure: Failure | None = None) -> Plan:
    """End the run, well unless there is a failure; before that, ask for what may explain the failure."""
    run, now = last.run, last.now
    question = failures.question(failure, run) if failure and last.scene is None else None
    if failure and last.scene and (again := failures.look_again(failure, run, last.scene, now)):
        return Plan(wake_at=again)
    phase = RunPhase.FAILED if failure else RunPhase.SUCCEEDED
    return replace(_end(last, phase, reason, message, failure), question=question)


def _end(
    last: Last,
    phase: RunPhase,
    reason: RunReason,
    message: str,
    failure: Failure | None = None,
    outputs: dict[str, Any] | None = None,
) -> Plan:
    run, now, well = last.run, last.now, phase == RunPhase.SUCCEEDED
    message = conditions.shorten(message)
    verdicts: dict[str, Verdict] = {
        RunCondition.SUCCEEDED: conditions.true(reason, message) if well else conditions.false(reason, message),
        RunCondition.FINISHED: conditions.true(reason, message),
        RunCondition.RECONCILING: conditions.false(reason),
        RunCondition.STALLED: conditions.false(reason) if well else conditions.true(reason, message),
        RunCondition.ADMITTED: conditions.true(RunReason.ADMITTED)
        if run.status.admitted_at
        else conditions.false(reason, message),
    }
    fields = runstatus.kept_running(run.status)
    fields |= {"phase": phase, "message": message, "completion_time": now, **_duration(run, now)}
    if outputs is not None:
        fields["outputs"] = outputs
    if failure:
        fields["diagnosis"] = failures.explain(failure, run, last.scene)
    events = tuple(_end_events(run, phase, reason, message, failure))
    return Plan(status=runstatus.compose(run, verdicts, now, fields).wire(), events=events)


def _duration(run: WorkflowRun, now: datetime) -> dict[str, Any]:
    runner = run.status.runner
    start = (runner.start_time if runner else None) or run.status.admitted_at
    if start is None:
        return {}
    elapsed = max(timedelta(0), now - start - timedelta(seconds=run.status.paused_seconds or 0))
    return {
        "start_time": start,
        "duration_milliseconds": int(elapsed.total_seconds() * 1000),
        "duration": runstatus.human(elapsed),
    }


def _end_events(
    run: WorkflowRun, phase: RunPhase, reason: RunReason, message: str, failure: Failure | None
) -> Iterable[Event]:
    if phase == RunPhase.SUCCEEDED:
        yield Event(reason, message, action="Finish")
        return
    for task in run.status.tasks if failure else ():
        if task.phase.failed and task.error:
            note = f"{task.name}: {task.error.class_}: {task.error.message}"
            yield Event(RunReason.TASK_FAILED, note[:1024], EventType.WARNING, "Run")
    kind = EventType.WARNING if failure else EventType.NORMAL
    yield Event(phase, f"{reason}: {message}"[:1024], kind, "Finish")
