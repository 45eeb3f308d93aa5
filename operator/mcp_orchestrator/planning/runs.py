"""plan_run: the next step of a WorkflowRun, from its first sight to its end. Called by controllers.runs.

The order of writes makes every crash harmless: the status that admits the run, with the name of its Job, is written
before the Job; the Job's name is the same for the same attempt, so that a second creation finds the first; and what
the run did is told by the runner alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.workflowrun import RunCondition, RunPhase, RunReason, WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.planning import endings, manifests, pods, resolution, runstatus
from mcp_orchestrator.planning.plan import Event, EventType, Plan
from mcp_orchestrator.settings import Settings

START_WAKE = timedelta(seconds=10)
"""How long a pod may take before the run's message tells what keeps it."""


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """A WorkflowRun and what was seen of it."""

    run: WorkflowRun
    template: WorkflowTemplate | None = None
    servers: Mapping[str, MCPServer] | None = None
    slot: bool = False
    """Whether the admission queue gave the run a slot."""
    job: Mapping[str, Any] | None = None
    """The run's Job; None only if the API server itself said that there is none."""
    foreign_job: bool = False
    """Whether an object of somebody else's has the Job's name."""
    mistake: str = ""
    """What the API server found wrong in the Job."""
    obstacle: str = ""
    """Why the API server does not take the Job now, for example a quota."""
    pods: tuple[Mapping[str, Any], ...] = ()
    """Pods of the Job, looked at while no runner has reported."""


def plan_run(observed: ObservedRun, settings: Settings, now: datetime) -> Plan:
    """The next step of the run; nothing for one that has ended or is being deleted."""
    status = observed.run.status
    if (status.phase and status.phase.final) or observed.run.metadata.deletion_timestamp:
        return Plan()
    if status.admitted_at is None:
        return _before_admission(observed, settings, now)
    return _after_admission(observed, settings, now)


def traceparent(uid: str) -> str:
    """The W3C trace context of a run: the same for the same run, whoever works it out."""
    digest = hashlib.sha256(uid.encode()).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"


def workflow_type(run: WorkflowRun) -> str:
    """The bounded label that metrics know a run by: its template's name."""
    return run.spec.template_ref.name if run.spec.template_ref else "inline"


# --- before the run has a slot ---------------------------------------------------------------------------------------


def _before_admission(observed: ObservedRun, settings: Settings, now: datetime) -> Plan:
    found = resolution.resolve(observed.run, observed.template, observed.servers or {})
    if isinstance(found, resolution.Rejected):
        return endings.rejected(observed.run, found, now)
    if isinstance(found, resolution.Waiting):
        return _wait(observed.run, RunPhase.PENDING, found.reason, found.message, now)
    if not observed.slot:
        message = f"waiting for a slot: the cluster runs at most {settings.max_concurrent_workflows} at once"
        tasks = len(found.template.spec.tasks)
        waiting = _wait(observed.run, RunPhase.QUEUED, RunReason.CLUSTER_LIMIT, message, now, progress=f"0/{tasks}")
        return Plan(status=waiting.status, events=waiting.events, wants_slot=True)
    return _admit(observed.run, found, settings, now)


def _wait(
    run: WorkflowRun, phase: RunPhase, reason: RunReason, message: str, now: datetime, progress: str | None = None
) -> Plan:
    verdicts: dict[str, Verdict] = {
        RunCondition.SUCCEEDED: conditions.unknown(reason, message),
        RunCondition.FINISHED: conditions.false(reason),
        RunCondition.RECONCILING: conditions.true(reason, message),
        RunCondition.STALLED: conditions.false(reason),
        RunCondition.ADMITTED: conditions.false(reason, message),
    }
    message = conditions.shorten(message)
    fields = {"phase": phase, "message": message, "waiting_reason": reason}
    status = runstatus.compose(run, verdicts, now, fields | ({"progress": progress} if progress else {}))
    if status == run.status:
        return Plan()
    again = run.status.waiting_reason == reason
    # To wait is normal: servers start, and manifests come in any order.
    events = () if again or phase == RunPhase.QUEUED else (Event(reason, message, action="Admit"),)
    return Plan(status=status.wire(), events=events)


def _admit(run: WorkflowRun, found: resolution.Resolved, settings: Settings, now: datetime) -> Plan:
    name = manifests.job_name(run.metadata.name, run.metadata.uid, attempt=1)
    tasks = len(found.template.spec.tasks)
    status = runstatus.compose(
        run,
        _running(RunReason.ADMITTED, "the run has its slot"),
        now,
        {
            "phase": RunPhase.RUNNING,
            "message": runstatus.STARTING,
            "template": found.template,
            "servers": found.servers,
            "attempt": 1,
            "job_name": name,
            "admitted_at": now,
            "progress": f"0/{tasks}",
            "traceparent": traceparent(run.metadata.uid),
        },
    )
    admitted = run.model_copy(update={"status": status})
    return Plan(
        status=status.wire(),
        children=(_job(admitted, settings),),
        events=(Event(RunReason.ADMITTED, f"The run starts as Job {name}", action="Admit"),),
        wake_at=now + START_WAKE,
        uses_slot=True,
    )


def _running(reason: RunReason, message: str) -> dict[str, Verdict]:
    return {
        RunCondition.SUCCEEDED: conditions.unknown(RunReason.RUNNING, message),
        RunCondition.FINISHED: conditions.false(RunReason.RUNNING),
        RunCondition.RECONCILING: conditions.true(RunReason.RUNNING, message),
        RunCondition.STALLED: conditions.false(RunReason.RUNNING),
        RunCondition.ADMITTED: conditions.true(RunReason.ADMITTED),
    }


def _job(run: WorkflowRun, settings: Settings) -> dict[str, Any]:
    status = run.status
    assert status.template  # noqa: S101 - an admitted run has both
    assert status.job_name  # noqa: S101 - likewise
    return manifests.run_job(
        metadata=run.metadata,
        template=status.template,
        name=status.job_name,
        timeout_seconds=runstatus.timeout_seconds(run, settings),
        traceparent=status.traceparent or traceparent(run.metadata.uid),
        settings=settings,
    )


# --- after the run has its slot --------------------------------------------------------------------------------------


def _after_admission(observed: ObservedRun, settings: Settings, now: datetime) -> Plan:
    run = observed.run
    if run.status.runner and run.status.runner.outcome:
        return endings.reported(run, now)
    if observed.foreign_job:
        message = f"a Job named {run.status.job_name} exists and is not this run's"
        return endings.failed(
            run, RunReason.NAME_CONFLICT, message, now, remedy="Delete that Job, then create the run again."
        )
    if observed.mistake:
        message = f"the API server refused the run's Job: {observed.mistake}"
        remedy = "Mend spec.pod of the workflow, then create a new run."
        return endings.failed(run, RunReason.INVALID_SPEC, message, now, remedy=remedy)
    if observed.obstacle:
        return _hindered(run, f"the run's Job can't be created: {observed.obstacle}", now)
    if observed.job is None:
        if run.status.runner:
            message = f"Job {run.status.job_name} was deleted while its runner was at work"
            remedy = "See which tasks had ended (status.tasks), then create a new run."
            return endings.failed(run, RunReason.JOB_DELETED, message, now, remedy=remedy)
        return Plan(children=(_job(run, settings),), wake_at=now + START_WAKE)
    if endings.has_ended(observed.job):
        return endings.abandoned(run, observed.job, observed.pods, settings, now)
    return _started(observed, now)


def _started(observed: ObservedRun, now: datetime) -> Plan:
    """Nothing to do while the runner works; while there is none, tell what keeps its pod."""
    run = observed.run
    if run.status.runner:
        if run.status.message in (runstatus.STARTING, runstatus.WORKING):
            return Plan()
        return Plan(status=_told(run, runstatus.WORKING, now))
    found = pods.first_trouble(observed.pods)
    if found:
        return _hindered(run, found.message, now)
    late = run.status.admitted_at is not None and now - run.status.admitted_at >= START_WAKE
    if late and not observed.pods:
        name = run.status.job_name
        return _hindered(run, f"Job {name} has no pod yet: kubectl describe job {name} tells why", now)
    return Plan(wake_at=now + START_WAKE)


def _hindered(run: WorkflowRun, message: str, now: datetime) -> Plan:
    """Tell, once, what keeps the run from starting, and look again soon."""
    message = conditions.shorten(message)
    if run.status.message == message:
        return Plan(wake_at=now + START_WAKE)
    event = Event("PodNotStarting", message, EventType.WARNING, "Run")
    return Plan(status=_told(run, message, now), events=(event,), wake_at=now + START_WAKE)


def _told(run: WorkflowRun, message: str, now: datetime) -> Mapping[str, Any]:
    fields = runstatus.kept(run.status, *runstatus.RESOLVED, *(() if run.status.runner else ("progress",)))
    told = {"phase": RunPhase.RUNNING, "message": message}
    return runstatus.compose(run, _running(RunReason.RUNNING, message), now, fields | told).wire()
