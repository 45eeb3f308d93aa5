"""A run as the admission queue sees it. Called by planning.runs.starting and `outlook`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from mcp_orchestrator.api.resolved import ResolvedServer
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.planning.children import runjob
from mcp_orchestrator.planning.queue import admission
from mcp_orchestrator.planning.queue.admission import Candidate, Pools
from mcp_orchestrator.planning.workflows.resolution import Resolved


def candidate(run: WorkflowRun, found: Resolved) -> Candidate:
    """The run as the queue sees it."""
    workflow, metadata = found.template.spec, run.metadata
    return Candidate(
        created=metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC),
        namespace=metadata.namespace,
        name=metadata.name,
        pools=pools(run, found.servers),
        level=(run.spec.priority or workflow.priority).level,
        estimate_seconds=workflow.estimated_duration_seconds,
    )


def pools(run: WorkflowRun, servers: Iterable[ResolvedServer]) -> Pools:
    """The pools that the run has a place in, or without a slot would take one in, with the servers that it calls."""
    queue = run.status.kueue_queue if run.status.admitted_at else runjob.queue_asked_for(run)
    return admission.pools_of(
        run.metadata.namespace,
        run.spec.template_ref.name if run.spec.template_ref else "",
        [server.name for server in servers],
        queued_elsewhere=bool(queue),
    )
