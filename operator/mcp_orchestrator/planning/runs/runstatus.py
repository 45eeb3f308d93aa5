"""A run's status, put together: what `decision` and `endings` share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunCondition, RunReason, WorkflowRunStatus
from mcp_orchestrator.settings import Settings

KEPT = ("template", "servers", "resumed_packs", "attempt", "job_name", "traceparent", "resumptions", "paused_seconds",
        "cancellation")  # fmt: skip
"""What stands on record from the first admission to the end."""
START_WAKE = timedelta(seconds=10)
"""How long a pod may take before the run's message tells what keeps it."""
RAREST_LOOK = timedelta(minutes=1)
STARTING = "the run's pod starts, then works on its tasks"
"""True from the start to the end of the pod: a run that nothing keeps costs no further write."""
WORKING = "the run's tasks are under way"
"""Written only in the place of an earlier message that is over."""


def compose(
    run: WorkflowRun, verdicts: Mapping[str, Verdict], now: datetime, fields: Mapping[str, Any]
) -> WorkflowRunStatus:
    """The whole status that the operator owns: what is left out here, server-side apply removes."""
    return WorkflowRunStatus(
        observed_generation=run.metadata.generation,
        conditions=conditions.merge(run.status.conditions, verdicts, run.metadata.generation, now),
        **fields,
    )


def kept(status: WorkflowRunStatus) -> dict[str, Any]:
    """What stands in the status and stays there, with or without a slot. The progress becomes the runner's own."""
    names = KEPT if status.runner else (*KEPT, "progress")
    return {name: getattr(status, name) for name in names if name in status.model_fields_set}


def kept_running(status: WorkflowRunStatus) -> dict[str, Any]:
    """What stands in the status and stays there while the run has its slot."""
    with_slot = {"admitted_at": status.admitted_at, "kueue_queue": status.kueue_queue}
    return kept(status) | {name: value for name, value in with_slot.items() if value}


def running(message: str) -> dict[str, Verdict]:
    """The conditions of a run that has its slot."""
    return {
        RunCondition.SUCCEEDED: conditions.unknown(RunReason.RUNNING, message),
        RunCondition.FINISHED: conditions.false(RunReason.RUNNING),
        RunCondition.RECONCILING: conditions.true(RunReason.RUNNING, message),
        RunCondition.STALLED: conditions.false(RunReason.RUNNING),
        RunCondition.ADMITTED: conditions.true(RunReason.ADMITTED),
    }


def waiting(reason: RunReason, message: str) -> dict[str, Verdict]:
    """The conditions of a run that waits."""
    return {
        RunCondition.SUCCEEDED: conditions.unknown(reason, message),
        RunCondition.FINISHED: conditions.false(reason),
        RunCondition.RECONCILING: conditions.true(reason, message),
        RunCondition.STALLED: conditions.false(reason),
        RunCondition.ADMITTED: conditions.false(reason, message),
    }


def is_taken_over(status: Mapping[str, Any]) -> bool:
    """Whether the status tells the outcome of another run: this one was not executed."""
    return any(one["reason"] == RunReason.ALREADY_EXECUTED for one in status.get("conditions", ()))


def pod_awaited_since(run: WorkflowRun, job: Mapping[str, Any] | None, now: datetime) -> datetime:
    """Since when a pod of the run's present Job is awaited: it was let in, and the Job is there."""
    let_in = conditions.find(run.status.conditions, RunCondition.ADMITTED)
    made = job["metadata"].get("creationTimestamp") if job else None
    times = [let_in.last_transition_time] if let_in else []
    return max([*times, datetime.fromisoformat(made)] if made else times, default=now)


def next_look(since: datetime, now: datetime) -> datetime:
    """When to look again at a pod that does not start, awaited `since` then: soon at first, later rarely, for very many
    may wait long.
    """
    return now + min(max(START_WAKE, (now - since) / 6), RAREST_LOOK)


def timeout_seconds(run: WorkflowRun, settings: Settings) -> int:
    """How long the run may take: its own word, else its workflow's, else the operator's setting."""
    template = run.status.template
    own = run.spec.timeout_seconds or (template.spec.timeout_seconds if template else None)
    return own or settings.timeout_seconds


def human(elapsed: timedelta) -> str:
    """A duration as people write it: 41ms, 2.4s, 3m12s, 2h05m."""
    seconds = elapsed.total_seconds()
    if seconds < 1:
        return f"{int(seconds * 1000)}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds + 0.05), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"


def traceparent(uid: str) -> str:
    """The W3C trace context of a run: the same for the same run, whoever works it out."""
    digest = hashlib.sha256(uid.encode()).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"
