"""How a run ends: the last status, with its diagnosis. Called by planning.runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.workflowrun import (
    Diagnosis,
    Outcome,
    RunCondition,
    RunPhase,
    RunReason,
    WorkflowRun,
)
from mcp_orchestrator.planning import diagnosis, pods, runstatus
from mcp_orchestrator.planning.plan import Event, EventType, Plan
from mcp_orchestrator.planning.resolution import Rejected
from mcp_orchestrator.settings import Settings


def rejected(run: WorkflowRun, found: Rejected, now: datetime) -> Plan:
    """End a run that can never start as it is."""
    remedy = "Create a new run with the parameters corrected."
    if found.reason != RunReason.INVALID_PARAMETER:
        remedy = "Mend the workflow, then create a new run."
    failure = Diagnosis(class_=found.reason, summary=conditions.shorten(found.message), recommendations=(remedy,))
    return _finish(run, RunPhase.FAILED, found.reason, found.message, now, failure)


def has_ended(job: Mapping[str, Any]) -> bool:
    """Whether the Job has come to its end, good or bad."""
    return bool(_job_condition(job, "Failed") or _job_condition(job, "Complete"))


def reported(run: WorkflowRun, now: datetime) -> Plan:
    """End the run as its runner reported."""
    runner, template = run.status.runner, run.status.template
    assert runner  # noqa: S101 - the caller saw the runner's outcome
    assert template  # noqa: S101 - an admitted run has it
    reason = RunReason(runner.reason) if runner.reason in set(RunReason) else RunReason.RUNNER_FAILED
    message = runner.message or "the runner gave no reason"
    if runner.outcome == Outcome.SUCCEEDED:
        return _finish(run, RunPhase.SUCCEEDED, RunReason.SUCCEEDED, message, now)
    found: Diagnosis | None = None
    if reason == RunReason.TIMED_OUT:
        found = diagnosis.of_time_out(message, run.status.tasks)
    elif reason == RunReason.OUTPUT_FAILED:
        found = diagnosis.of_outputs(message)
    elif reason != RunReason.RUNNER_FAILED:
        found = diagnosis.of_task(run.status.tasks, template)
    return _finish(run, RunPhase.FAILED, reason, message, now, found or diagnosis.of_pod(None, message))


def abandoned(
    run: WorkflowRun, job: Mapping[str, Any], seen: tuple[Mapping[str, Any], ...], settings: Settings, now: datetime
) -> Plan:
    """End a run whose Job ended without a report of its runner."""
    failure = _job_condition(job, "Failed") or {}
    if failure.get("reason") == "DeadlineExceeded":
        return _too_late(run, seen, runstatus.timeout_seconds(run, settings), now)
    words = failure.get("message") or "its Job completed"
    times = f" {run.status.attempt} times" if (run.status.attempt or 1) > 1 else ""
    return failed(run, RunReason.RUNNER_FAILED, f"the run's pod ended{times} without a report ({words})", now, seen)


def _too_late(run: WorkflowRun, seen: tuple[Mapping[str, Any], ...], limit_seconds: int, now: datetime) -> Plan:
    """The Job's deadline has passed. Its pods are gone by then as a rule, so what was told of them before counts."""
    if run.status.runner:
        message = f"the run took longer than its time-out of {limit_seconds} s"
        found = diagnosis.of_time_out(message, run.status.tasks)
        return _finish(run, RunPhase.FAILED, RunReason.TIMED_OUT, message, now, found)
    message = f"the run's pod did not begin its work within the time-out of {limit_seconds} s"
    told = run.status.message or runstatus.STARTING
    if told != runstatus.STARTING and not pods.first_trouble(seen):
        message = f"{message}: {told}"
    remedy = "Mend what kept the pod, or raise timeoutSeconds of the run or of its workflow."
    return failed(run, RunReason.TIMED_OUT, message, now, seen, remedy)


def failed(
    run: WorkflowRun,
    reason: RunReason,
    message: str,
    now: datetime,
    seen: tuple[Mapping[str, Any], ...] = (),
    remedy: str = "",
) -> Plan:
    """End a run that its runner did not end, with what its pods tell; `remedy` counts where they tell none."""
    found = diagnosis.of_pod(pods.first_trouble(seen), message, remedy)
    return _finish(run, RunPhase.FAILED, reason, found.summary, now, found)


def _finish(
    run: WorkflowRun,
    phase: RunPhase,
    reason: RunReason,
    message: str,
    now: datetime,
    failure: Diagnosis | None = None,
) -> Plan:
    succeeded = phase == RunPhase.SUCCEEDED
    message = conditions.shorten(message)
    verdicts: dict[str, Verdict] = {
        RunCondition.SUCCEEDED: conditions.true(reason, message) if succeeded else conditions.false(reason, message),
        RunCondition.FINISHED: conditions.true(reason, message),
        RunCondition.RECONCILING: conditions.false(reason),
        RunCondition.STALLED: conditions.false(reason) if succeeded else conditions.true(reason, message),
        RunCondition.ADMITTED: conditions.true(RunReason.ADMITTED)
        if run.status.admitted_at
        else conditions.false(reason, message),
    }
    start = _start(run, now)
    fields = runstatus.kept(run.status, *runstatus.RESOLVED) | {
        "phase": phase,
        "message": message,
        "completion_time": now,
    }
    if run.status.runner is None:
        fields |= runstatus.kept(run.status, "progress")
    if start:
        elapsed = max(timedelta(0), now - start)
        fields |= {
            "start_time": start,
            "duration_milliseconds": int(elapsed.total_seconds() * 1000),
            "duration": runstatus.human(elapsed),
        }
    if failure:
        fields["diagnosis"] = failure
    return Plan(
        status=runstatus.compose(run, verdicts, now, fields).wire(),
        events=tuple(_end_events(run, phase, reason, message)),
    )


def _end_events(run: WorkflowRun, phase: RunPhase, reason: RunReason, message: str) -> Iterable[Event]:
    if phase == RunPhase.SUCCEEDED:
        yield Event(reason, message, action="Finish")
        return
    for task in run.status.tasks:
        if task.phase.failed and task.error:
            note = f"{task.name}: {task.error.class_}: {task.error.message}"
            yield Event(RunReason.TASK_FAILED, note[:1024], EventType.WARNING, "Run")
    yield Event("Failed", f"{reason}: {message}"[:1024], EventType.WARNING, "Finish")


def _start(run: WorkflowRun, now: datetime) -> datetime | None:
    runner = run.status.runner
    return (runner.start_time if runner else None) or run.status.admitted_at


def _job_condition(job: Mapping[str, Any], type_: str) -> Mapping[str, Any] | None:
    return next(
        (
            condition
            for condition in job.get("status", {}).get("conditions", ())
            if condition.get("type") == type_ and condition.get("status") == "True"
        ),
        None,
    )
