"""Whether a run whose pod was lost gets another one, and what that is. Called by `decision`.

The new pod goes on from the run's record, so that nothing is done twice that must not be: see
docs/decisions/0009-going-on-from-the-record.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunnerStatus, WorkflowRunStatus
from mcp_orchestrator.planning.children import runjob
from mcp_orchestrator.planning.diagnosis import pods
from mcp_orchestrator.planning.runs import runstatus
from mcp_orchestrator.settings import Settings

PASSING = frozenset({"evicted", "removed", "exited", "failed"})
"""Troubles of a pod that another one need not have."""


def current_runner(run: WorkflowRun) -> RunnerStatus | None:
    """The runner of the run's present attempt; None while that has none."""
    runner = run.status.runner
    return runner if runner and runner.attempt >= (run.status.attempt or 1) else None


def counted(run: WorkflowRun) -> int:
    """How many pods the run had, but for those that it gave up to be suspended: that is no failure."""
    return (run.status.attempt or 1) - (run.status.resumptions or 0)


def why_again(run: WorkflowRun, job: Mapping[str, Any], seen: tuple[Mapping[str, Any], ...], settings: Settings) -> str:
    """Why the pod was lost, if another one may do better; empty if it may not, or there were enough."""
    if counted(run) >= settings.retry_attempts or _reason_of_failure(job) in ("", "DeadlineExceeded"):
        return ""
    trouble = pods.first_trouble(seen)
    if trouble and trouble.kind not in PASSING:
        return ""
    return conditions.shorten(trouble.message if trouble else "the run's pod is gone", 512)


def seconds_left(run: WorkflowRun, limit_seconds: int, now: datetime) -> int:
    """What is left of the run's time: it counts from the start of its first pod, without the time it was held."""
    return max(1, limit_seconds - int(run.status.spent_seconds(now)))


def job(run: WorkflowRun, status: WorkflowRunStatus, settings: Settings, now: datetime) -> dict[str, Any]:
    """The Job of the attempt that `status`, about to be written, begins."""
    # What earlier runners told stays in the run, for the Job names the packs that their results stand in.
    told = {field: getattr(run.status, field) for field in ("runner", "tasks")}
    started = run.model_copy(update={"status": status.model_copy(update=told)})
    limit = runstatus.timeout_seconds(started, settings)
    return runjob.run_job(
        started,
        timeout_seconds=limit,
        seconds_left=seconds_left(started, limit, now),
        traceparent=status.traceparent or runstatus.traceparent(run.metadata.uid),
        settings=settings,
    )


def _reason_of_failure(job: Mapping[str, Any]) -> str:
    """Why the Job failed; empty if it did not."""
    failed = pods.holding(job, "Failed")
    return str(failed.get("reason") or "Failed") if failed else ""
