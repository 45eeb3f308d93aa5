"""The queue as people see it: who waits in which order, for what, and until when. Pure. Called by client.queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mcp_orchestrator.api.control import Priority
from mcp_orchestrator.api.limits import Limits
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase, RunReason
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.planning.queue import admission, candidates, forecast
from mcp_orchestrator.planning.queue.admission import CLUSTER, Candidate, Pool, Queue
from mcp_orchestrator.planning.queue.forecast import Active
from mcp_orchestrator.planning.workflows import resolution
from mcp_orchestrator.planning.workflows.resolution import Resolved, Surroundings

WAITING = (RunPhase.PENDING, RunPhase.QUEUED)
Name = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What there is, as far as it could be read. Without limits nobody can tell when a run may start."""

    runs: tuple[WorkflowRun, ...]
    templates: Mapping[Name, WorkflowTemplate] = field(default_factory=dict)
    servers: Mapping[Name, MCPServer] = field(default_factory=dict)
    limits: Limits | None = None

    def limit_of(self, pool: Pool) -> int | None:
        """The number of places in the pool; None for as many as one likes."""
        name = (pool.namespace, pool.name)
        owner = self.templates.get(name) if pool.reason == RunReason.TEMPLATE_LIMIT else self.servers.get(name)
        return admission.limit_of(pool, self.limits or Limits(), owner)


@dataclass(frozen=True, slots=True)
class Place:
    """A run that waits."""

    run: WorkflowRun
    priority: Priority
    reason: str
    """Why it waits, in one word."""
    words: str
    """The same, with figures or names."""
    position: int | None = None
    """Its place in the queue, from 1; None for a run that could not start even if there were room."""
    expected_start: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """Who waits, in order, and how many run."""

    places: tuple[Place, ...]
    running: int
    limit: int | None


def outlook(cluster: Cluster, now: datetime) -> Outlook:
    """The queue as it is now."""
    active = [run for run in cluster.runs if run.status.admitted_at and not _is_final(run)]
    taken = [_active(run) for run in active]
    used = Counter(pool for one in taken for pool in one.pools)
    waiting = [run for run in cluster.runs if run.status.phase in WAITING]
    candidates = {found: run for run in waiting if (found := _candidate(run, cluster))}
    aging = cluster.limits.aging_seconds if cluster.limits else 0
    queue = Queue(candidates)
    order = admission.order(queue, used, now, aging)
    starts = forecast.expected_starts(queue, taken, cluster.limit_of, now, aging) if cluster.limits else {}
    queued = [
        Place(candidates[one], _priority(candidates[one], cluster), *_why(one, used, cluster), place, starts.get(one))
        for place, one in enumerate(order, start=1)
    ]
    rest = sorted((run for run in waiting if run not in candidates.values()), key=_age)
    others = [Place(run, _priority(run, cluster), run.status.waiting_reason or "", _told(run)) for run in rest]
    limit = cluster.limits.max_concurrent_runs if cluster.limits else None
    return Outlook((*queued, *others), used[CLUSTER], limit)


def _is_final(run: WorkflowRun) -> bool:
    return bool(run.status.phase and run.status.phase.final)


def _age(run: WorkflowRun) -> tuple[str, str, str]:
    return (str(run.metadata.creation_timestamp), run.metadata.namespace, run.metadata.name)


def _active(run: WorkflowRun) -> Active:
    status = run.status
    estimate = status.template.spec.estimated_duration_seconds if status.template else None
    start = (status.runner.start_time if status.runner else None) or status.admitted_at
    pools = candidates.pools(run, status.servers)
    if estimate is None or start is None or status.phase == RunPhase.QUEUED:
        return Active(pools, None)
    return Active(pools, start + timedelta(seconds=estimate + (status.paused_seconds or 0)))


def _candidate(run: WorkflowRun, cluster: Cluster) -> Candidate | None:
    """The run as a candidate, if the queue is all that it waits for: one that Kueue holds back has its places."""
    if run.status.phase != RunPhase.QUEUED or run.status.admitted_at:
        return None
    if run.status.template:
        return candidates.candidate(run, Resolved(run.status.template, run.status.servers))
    namespace = run.metadata.namespace
    around = Surroundings(
        templates={name: found for (place, name), found in cluster.templates.items() if place == namespace},
        servers={name: found for (place, name), found in cluster.servers.items() if place == namespace},
    )
    found = resolution.resolve_queued(run, around)
    return candidates.candidate(run, found) if isinstance(found, Resolved) else None


def _priority(run: WorkflowRun, cluster: Cluster) -> Priority:
    reference = run.spec.template_ref
    template = cluster.templates.get((run.metadata.namespace, reference.name)) if reference else None
    workflow: Workflow | None = template.spec if template else run.spec.template
    return run.spec.priority or (workflow.priority if workflow else Priority.MEDIUM)


def _why(candidate: Candidate, used: Mapping[Pool, int], cluster: Cluster) -> tuple[str, str]:
    pool = admission.full_pool(candidate.pools, used, cluster.limit_of)
    if pool is None:
        return ("", "starts in a moment") if cluster.limits else ("Queued", "waits for its turn")
    owner = f' "{pool.name}"' if pool.reason == RunReason.SERVER_LIMIT else ""
    return pool.reason, f"{pool.reason}:{owner} {used.get(pool, 0)} of {cluster.limit_of(pool)} running"


def _told(run: WorkflowRun) -> str:
    """What the run itself says."""
    reason, message = run.status.waiting_reason or run.status.phase or RunPhase.PENDING, run.status.message or ""
    return f"{reason}: {message}" if message else str(reason)
