"""Runs whose pods Kueue lets in: their Jobs are made suspended, and Kueue says when they run and when they must stop.

Called by `decision` and `starting`. To lose its pod to Kueue is no failure of a run: it goes on by another
attempt, which waits in the queue again, and the Job before is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase, RunReason
from mcp_orchestrator.planning.children import manifests, runjob
from mcp_orchestrator.planning.runs import endings, runstatus

TAKEN_AWAY = "Kueue took the run's pod away"


def holds_back(job: Mapping[str, Any]) -> bool:
    """Whether the Job may have no pod now."""
    return bool(job.get("spec", {}).get("suspend"))


def told_since(run: WorkflowRun) -> datetime | None:
    """Since when the run says that it waits for Kueue; None if it does not."""
    status = run.status
    return status.waiting_since if status.waiting_reason == RunReason.KUEUE_QUEUE else None


def has_let_in(run: WorkflowRun, job: Mapping[str, Any]) -> bool:
    """Whether Kueue has let in the Job of a run that still says that it waits for that."""
    return told_since(run) is not None and not holds_back(job)


def change_of_queue(run: WorkflowRun) -> str:
    """How the queue was changed of a run that waits for Kueue; empty if it was not."""
    before, now = run.status.kueue_queue, runjob.queue_asked_for(run)
    if before == now or not told_since(run):
        return ""
    return f"the label {runjob.QUEUE_LABEL} was changed from {before} to {now or 'none'}: the run asks for a slot anew"


def waiting(queue: str, job: str, since: datetime) -> tuple[dict[str, Verdict], dict[str, Any]]:
    """How a run stands that waits for Kueue: the verdicts of its conditions, and fields of its status."""
    reason = RunReason.KUEUE_QUEUE
    message = f"waits for Kueue in the queue {queue}: kubectl describe job {job} tells how it stands"
    fields = {"phase": RunPhase.QUEUED, "message": message, "waiting_reason": reason, "waiting_since": since}
    return runstatus.waiting(reason, message), fields


def begun(queue: str, job: str, words: str, now: datetime) -> tuple[dict[str, Verdict], dict[str, Any]]:
    """How a run stands whose Job is about to be made, likewise; `words` are for one that is no matter of Kueue's."""
    if queue:
        return waiting(queue, job, now)
    return runstatus.running(words), {"phase": RunPhase.RUNNING, "message": runstatus.STARTING}


def paused_seconds(run: WorkflowRun, job: Mapping[str, Any], now: datetime) -> int:
    """How long the run has been paused by now, whose Job has just been let in; before its first start nothing counts.

    The Job controller tells when the Job was let in. Until it does, that is now.
    """
    before, since = run.status.paused_seconds or 0, run.status.waiting_since
    if run.status.runner is None or since is None:
        return before
    suspended = (one for one in job.get("status", {}).get("conditions", ()) if one["type"] == "Suspended")
    told = next((one["lastTransitionTime"] for one in suspended if one["status"] == "False"), None)
    let_in = datetime.fromisoformat(told) if told else now
    # The condition may be of an earlier time that it was let in.
    return before + int(max(timedelta(0), (let_in if let_in >= since else now) - since).total_seconds())


def earlier_job(run: WorkflowRun) -> str:
    """Name of the Job of the attempt before; empty if there is none, or if it is not Kueue's."""
    attempt = run.status.attempt or 1
    if attempt == 1 or not run.status.kueue_queue:
        return ""
    return manifests.job_name(run.metadata.name, run.metadata.uid, attempt - 1)


def to_delete(earlier: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], ...]:
    """The Job of the attempt before, unless it has come to an end: Kueue would let it in again."""
    if earlier is None or endings.has_ended(earlier) or "deletionTimestamp" in earlier["metadata"]:
        return ()
    return (earlier,)
