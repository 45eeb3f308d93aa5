"""A run's status, put together: what planning.runs and planning.endings share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.workflowrun import WorkflowRun, WorkflowRunStatus
from mcp_orchestrator.settings import Settings

RESOLVED = ("template", "servers", "resumed_packs", "attempt", "job_name", "admitted_at", "traceparent")
"""What admission puts on record, and what stays there to the end."""
STARTING = "the run's pod is starting"
WORKING = "the run's tasks are under way"
"""Written only in the place of an earlier trouble of the pod: a write for each run would be a high price."""


def compose(
    run: WorkflowRun, verdicts: Mapping[str, Verdict], now: datetime, fields: Mapping[str, Any]
) -> WorkflowRunStatus:
    """The whole status that the operator owns: what is left out here, server-side apply removes."""
    return WorkflowRunStatus(
        observed_generation=run.metadata.generation,
        conditions=conditions.merge(run.status.conditions, verdicts, run.metadata.generation, now),
        **fields,
    )


def kept(status: WorkflowRunStatus, *names: str) -> dict[str, Any]:
    """What stands in the status and stays there."""
    return {name: getattr(status, name) for name in names if name in status.model_fields_set}


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
