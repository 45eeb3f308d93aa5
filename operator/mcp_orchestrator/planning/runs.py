"""plan_run: the next step of a WorkflowRun, from its first sight to its end. Called by controllers.runs.

The order of writes makes every crash harmless: the status that admits the run, with the name of its Job, is written
before the Job; the Job's name is the same for the same attempt, so that a second creation finds the first; and what
the run did is told by the runner alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.workflowrun import RunCondition, RunPhase, RunReason, WorkflowRun
from mcp_orchestrator.planning import attempts, endings, manifests, pods, resolution, runjob, runstatus
from mcp_orchestrator.planning.endings import Last
from mcp_orchestrator.planning.plan import Event, EventType, Plan
from mcp_orchestrator.planning.resolution import Surroundings
from mcp_orchestrator.planning.scene import Scene
from mcp_orchestrator.settings import Settings

UNWATCHED = frozenset({RunReason.CONFIG_MAP_NOT_FOUND, RunReason.RUN_NOT_FOUND, RunReason.RUN_NOT_FINISHED})
START_WAKE = timedelta(seconds=10)
"""How long a pod may take before the run's message tells what keeps it."""


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """A WorkflowRun and what was seen of it."""

    run: WorkflowRun
    around: Surroundings = field(default_factory=Surroundings)
    """What stands beside it, looked at before it is admitted."""
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
    scene: Scene | None = None
    """What stands around a run that failed, looked at when a plan asks for it."""


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
    found = resolution.resolve(observed.run, observed.around)
    if isinstance(found, resolution.Rejected):
        return endings.rejected(observed.run, found, now)
    if isinstance(found, resolution.Waiting):
        waiting = _wait(observed.run, RunPhase.PENDING, found.reason, found.message, now)
        # Nobody tells of ConfigMaps and of other runs: look again.
        return replace(waiting, wake_at=now + START_WAKE) if found.reason in UNWATCHED else waiting
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
            **({"resumed_packs": found.resumed_packs} if found.resumed_packs else {}),
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
        children=(_job(admitted, settings, now),),
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


def _job(run: WorkflowRun, settings: Settings, now: datetime) -> dict[str, Any]:
    limit = runstatus.timeout_seconds(run, settings)
    return runjob.run_job(
        run,
        timeout_seconds=limit,
        seconds_left=attempts.seconds_left(run, limit, now),
        traceparent=run.status.traceparent or traceparent(run.metadata.uid),
        settings=settings,
    )


# --- after the run has its slot --------------------------------------------------------------------------------------


def _after_admission(observed: ObservedRun, settings: Settings, now: datetime) -> Plan:
    run, last = observed.run, Last(observed.run, now, observed.pods, observed.scene)
    if run.status.runner and run.status.runner.outcome:
        return endings.reported(last)
    if observed.foreign_job:
        message = f"a Job named {run.status.job_name} exists and is not this run's"
        return endings.failed(last, RunReason.NAME_CONFLICT, message, "Delete that Job, then create the run again.")
    if observed.mistake:
        message = f"the API server refused the run's Job: {observed.mistake}"
        remedy = "Mend spec.pod of the workflow, then create a new run."
        return endings.failed(last, RunReason.INVALID_SPEC, message, remedy)
    if observed.obstacle:
        return _hindered(run, f"the run's Job can't be created: {observed.obstacle}", now)
    if observed.job is None:
        if attempts.current_runner(run):
            message = f"Job {run.status.job_name} was deleted while its runner was at work"
            remedy = "See which tasks had ended (status.tasks), then create a new run."
            return endings.failed(last, RunReason.JOB_DELETED, message, remedy)
        return Plan(children=(_job(run, settings, now),), wake_at=now + START_WAKE)
    if endings.has_ended(observed.job):
        if why := attempts.why_again(run, observed.job, observed.pods, settings):
            return _again(run, why, settings, now)
        return endings.abandoned(last, observed.job, settings)
    return _started(observed, now)


def _again(run: WorkflowRun, why: str, settings: Settings, now: datetime) -> Plan:
    """Give the run a new Job, by whose name the new pod is known to take the place of the old one."""
    attempt = (run.status.attempt or 1) + 1
    name = manifests.job_name(run.metadata.name, run.metadata.uid, attempt)
    fields = runstatus.kept(run.status, *runstatus.RESOLVED, *(() if run.status.runner else ("progress",)))
    fields |= {"phase": RunPhase.RUNNING, "message": runstatus.STARTING, "attempt": attempt, "job_name": name}
    status = runstatus.compose(run, _running(RunReason.RUNNING, runstatus.STARTING), now, fields)
    # What earlier runners told stays in the run, for the Job names the packs that their results stand in.
    told = {field: getattr(run.status, field) for field in ("runner", "tasks")}
    interrupted = run.model_copy(update={"status": status.model_copy(update=told)})
    note = f"{why}; attempt {attempt} of {settings.retry_attempts} goes on from what is recorded, as Job {name}"
    return Plan(
        status=status.wire(),
        children=(_job(interrupted, settings, now),),
        events=(Event(RunReason.INTERRUPTED, note[:1024], EventType.WARNING, "Run"),),
        wake_at=now + START_WAKE,
    )


def _started(observed: ObservedRun, now: datetime) -> Plan:
    """Nothing to do while the runner works; while there is none, tell what keeps its pod."""
    run = observed.run
    if attempts.current_runner(run):
        if run.status.message in (runstatus.STARTING, runstatus.WORKING):
            return Plan()
        return Plan(status=_told(run, runstatus.WORKING, now))
    found = pods.first_trouble(observed.pods)
    if found:
        return _hindered(run, found.message, now, found.class_)
    late = run.status.admitted_at is not None and now - run.status.admitted_at >= START_WAKE
    if late and (missing := _unmounted(run, observed.pods)):
        return _hindered(run, missing, now, "MissingReference")
    # A Job whose time is over loses its pods first: what was told of them is worth more than that they are gone.
    if late and not observed.pods and not run.status.waiting_reason:
        name = run.status.job_name
        return _hindered(run, f"Job {name} has no pod yet: kubectl describe job {name} tells why", now)
    return Plan(wake_at=now + START_WAKE)


def _unmounted(run: WorkflowRun, seen: tuple[Mapping[str, Any], ...]) -> str:
    """What a pod may wait for that is neither placed in vain nor started: what the run's parameters are read from."""
    if not run.spec.parameters_from or not any(_is_being_created(pod) for pod in seen):
        return ""
    named = [
        f"{kind} {ref.name} with the key {ref.key}"
        for source in run.spec.parameters_from
        for kind, ref in (("Secret", source.secret_key_ref), ("ConfigMap", source.config_map_key_ref))
        if ref
    ]
    return f"the run's pod waits for what spec.parametersFrom names: {', '.join(named)}; create what is missing"


def _is_being_created(pod: Mapping[str, Any]) -> bool:
    status = pod.get("status", {})
    waiting = [container.get("state", {}).get("waiting", {}) for container in status.get("containerStatuses", ())]
    return status.get("phase") == "Pending" and any(state.get("reason") == "ContainerCreating" for state in waiting)


def _hindered(run: WorkflowRun, message: str, now: datetime, reason: str = "") -> Plan:
    """Tell, once, what keeps the run from starting, and look again soon."""
    message = conditions.shorten(message)
    if run.status.message == message:
        return Plan(wake_at=now + START_WAKE)
    event = Event("PodNotStarting", message, EventType.WARNING, "Run")
    return Plan(status=_told(run, message, now, reason), events=(event,), wake_at=now + START_WAKE)


def _told(run: WorkflowRun, message: str, now: datetime, reason: str = "") -> Mapping[str, Any]:
    fields = runstatus.kept(run.status, *runstatus.RESOLVED, *(() if run.status.runner else ("progress",)))
    told = {"phase": RunPhase.RUNNING, "message": message} | ({"waiting_reason": reason} if reason else {})
    return runstatus.compose(run, _running(RunReason.RUNNING, message), now, fields | told).wire()
