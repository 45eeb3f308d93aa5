"""The units that a run takes over from another one, as spec.resumeFrom asks. Called by `main`."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mcp_orchestrator.api.reading import read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.planning import reuse
from mcp_orchestrator.runner import recorded
from mcp_orchestrator.runner.fence import StatusWriter
from mcp_orchestrator.runner.records import UnitRecord

log = logging.getLogger(__name__)


async def records(client: StatusWriter, run: WorkflowRun) -> Mapping[str, UnitRecord]:
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
    return recorded.of_reuse(recorded.records(other.status), reuse.why_not(run, other), name)
