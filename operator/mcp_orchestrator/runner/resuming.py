"""What a pod takes over: from the run's earlier pod, or from another run as spec.resumeFrom asks. Called by `main`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mcp_orchestrator.api.reading import read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.planning.calls import reuse
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.fence import StatusWriter
from mcp_orchestrator.runner.reports.reporting import Report
from mcp_orchestrator.runner.results import recorded
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import UnitRecord

if TYPE_CHECKING:
    from mcp_orchestrator.runner.results.objects import Objects

log = logging.getLogger(__name__)


async def stored(status: WorkflowRunStatus, objects: Objects | None) -> Mapping[str, Answer]:
    """The answers that the status refers to in the object store, as far as they can be had."""
    return await objects.fetch(recorded.references(status)) if objects else {}


async def keep(known: Mapping[str, UnitRecord], report: Report) -> None:
    """Have the large results of another run stand with this one too: its own go when it does, or grow old sooner."""
    for record in known.values():
        if record.answer:
            with contextlib.suppress(CallFailed):  # then it is not on record, and known to this pod alone
                await report.keep(record.answer)


async def records(client: StatusWriter, run: WorkflowRun, objects: Objects | None) -> Mapping[str, UnitRecord]:
    """What is taken over, and for each other task why it is not. Nothing if the other run is not there any more."""
    name = run.spec.resume_from or ""
    try:
        body = await client.get(resources.WORKFLOW_RUNS, name, run.metadata.namespace)
    except errors.NotFound:
        log.warning("run %s is not there any more: all tasks run", name)
        return {}
    other = read(WorkflowRun, body)
    if not isinstance(other, WorkflowRun):
        log.warning("run %s can't be read: all tasks run", name)
        return {}
    theirs = recorded.records(other.status, await stored(other.status, objects))
    return recorded.of_reuse(theirs, reuse.why_not(run, other), name)
