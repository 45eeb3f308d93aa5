"""plan_run: the next step of a WorkflowRun, from its first sight to its end. Called by controllers.runs.

The order of writes makes every crash harmless: the status that admits the run, with the name of its Job, is written
before the Job; the Job's name is the same for the same attempt, so that a second creation finds the first; and what
the run did is told by the runner alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.control import Cancellation, CancelMode
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunPhase, RunReason
from mcp_orchestrator.planning.children import manifests
from mcp_orchestrator.planning.diagnosis import pods
from mcp_orchestrator.planning.plan import Event, EventType, Plan
from mcp_orchestrator.planning.runs import attempts, endings, kueue, runstatus, starting
from mcp_orchestrator.planning.runs.endings import Last
from mcp_orchestrator.planning.runs.observed import ObservedRun
from mcp_orchestrator.planning.runs.runstatus import START_WAKE
from mcp_orchestrator.settings import Settings

STOP_PATIENCE = timedelta(seconds=60)
"""How long the pods of a deleted Job are waited for: twice what the kubelet gives them to end."""


def plan_run(observed: ObservedRun, settings: Settings, now: datetime) -> Plan:
    """The next step of the run; nothing for one that has ended or is being deleted."""
    status = observed.run.status
    if (status.phase and status.phase.final) or observed.run.metadata.deletion_timestamp:
        return Plan()
    if status.admitted_at is None:
        return starting.before_admission(observed, settings, now)
    made = _after_admission(observed, settings, now)
    return replace(made, deletions=made.deletions + kueue.to_delete(observed.earlier_job))


def workflow_type(run: WorkflowRun) -> str:
    """The bounded label that metrics know a run by: its template's name."""
    return run.spec.template_ref.name if run.spec.template_ref else "inline"


def _after_admission(observed: ObservedRun, settings: Settings, now: datetime) -> Plan:
    run, last = observed.run, Last(observed.run, now, observed.pods, observed.scene)
    runner = attempts.current_runner(run)
    if observed.job and kueue.has_let_in(run, observed.job):
        return _let_in(run, observed.job, now)
    if runner and runner.outcome == Outcome.SUSPENDED:
        return starting.hold(run, now)
    if runner and runner.outcome:
        return endings.reported(last)
    order = starting.stop_order(observed)
    needless = not runner and order and not starting.has_finally_to_run(run, order)
    if order and (order.mode == CancelMode.IMMEDIATE or needless):
        return _once_stopped(observed, endings.cancelled(last, order), now)
    if run.suspended and not runner:
        return _once_stopped(observed, starting.hold(run, now), now)
    if not runner and (changed := kueue.change_of_queue(run)):
        return _once_stopped(observed, starting.give_back(run, changed, now), now)
    if observed.foreign_job:
        message = f"a Job named {run.status.job_name} exists and is not this run's"
        return endings.failed(last, RunReason.NAME_CONFLICT, message, "Delete that Job, then create the run again.")
    if observed.mistake:
        message = f"the API server refused the run's Job: {observed.mistake}"
        remedy = "Mend spec.pod of the workflow, then create a new run."
        return endings.failed(last, RunReason.INVALID_SPEC, message, remedy)
    if observed.refusal:
        return _hindered(observed, f"the run's Job can't be created: {observed.refusal}", now)
    if observed.job is None and not runner:
        return Plan(children=(attempts.job(run, run.status, settings, now),), wake_at=now + START_WAKE)
    if observed.job is None or endings.has_ended(observed.job):
        return _without_report(observed, order, settings, now)
    if run.status.kueue_queue and kueue.holds_back(observed.job):
        return _held_back(observed, order, settings, now)
    return _started(observed, order, now)


def _held_back(observed: ObservedRun, order: Cancellation | None, settings: Settings, now: datetime) -> Plan:
    """Wait for Kueue. A run that was at work, until Kueue took its pod away, leaves its Job for another."""
    run = observed.run
    if order and not starting.has_finally_to_run(run, order):
        return _once_stopped(observed, endings.cancelled(Last(run, now), order), now)
    if run.suspended:
        return _once_stopped(observed, starting.hold(run, now), now)
    if attempts.current_runner(run):
        return _again(run, kueue.TAKEN_AWAY, settings, now, resumed=True)
    since = kueue.told_since(run)
    if since and run.status.observed_generation == run.metadata.generation:
        return Plan()
    verdicts, waiting = kueue.waiting(run.status.kueue_queue or "", run.status.job_name or "", since or now)
    return Plan(status=runstatus.compose(run, verdicts, now, runstatus.kept_running(run.status) | waiting).wire())


def _let_in(run: WorkflowRun, job: Mapping[str, Any], now: datetime) -> Plan:
    """Put the end of the wait on record, before all that may have become of the run since: no time is measured right
    without it.
    """
    fields = runstatus.kept_running(run.status) | {"phase": RunPhase.RUNNING, "message": runstatus.STARTING}
    if paused := kueue.paused_seconds(run, job, now):
        fields["paused_seconds"] = paused
    status = runstatus.compose(run, runstatus.running(runstatus.STARTING), now, fields)
    return Plan(status=status.wire(), wake_at=now + START_WAKE)


def _once_stopped(observed: ObservedRun, then: Plan, now: datetime) -> Plan:
    """What is planned for the run once its Job is gone; until then, see that it goes."""
    job = observed.job
    if job is None or endings.has_ended(job):
        return then
    deleted = job["metadata"].get("deletionTimestamp")
    if deleted and now - datetime.fromisoformat(deleted) >= STOP_PATIENCE:
        return then
    return Plan(deletions=() if deleted else (job,), wake_at=now + START_WAKE)


def _without_report(observed: ObservedRun, order: Cancellation | None, settings: Settings, now: datetime) -> Plan:
    """The run's Job is over, or gone, and its runner did not say how it went."""
    run, job, last = observed.run, observed.job, Last(observed.run, now, observed.pods, observed.scene)
    if run.suspended:
        return starting.hold(run, now)
    why = attempts.why_again(run, job, observed.pods, settings) if job else ""
    template = run.status.template
    if order and not (why and template and template.spec.finally_):
        return endings.cancelled(last, order)
    if why:
        return _again(run, why, settings, now)
    if job:
        return endings.abandoned(last, job, settings)
    message = f"Job {run.status.job_name} was deleted while its runner was at work"
    remedy = "See which tasks had ended (status.tasks), then create a new run."
    return endings.failed(last, RunReason.JOB_DELETED, message, remedy)


def _again(run: WorkflowRun, why: str, settings: Settings, now: datetime, *, resumed: bool = False) -> Plan:
    """Give the run a new Job, by whose name the new pod is known to take the place of the old one.

    One that is `resumed` has lost no pod by a failure, and so does not come nearer to its last attempt.
    """
    attempt = (run.status.attempt or 1) + 1
    name = manifests.job_name(run.metadata.name, run.metadata.uid, attempt)
    verdicts, begun = kueue.begun(run.status.kueue_queue or "", name, runstatus.STARTING, now)
    fields = runstatus.kept_running(run.status) | begun | {"attempt": attempt, "job_name": name}
    if resumed:
        fields["resumptions"] = (run.status.resumptions or 0) + 1
    status = runstatus.compose(run, verdicts, now, fields)
    which = "the run" if resumed else f"attempt {attempts.counted(run) + 1} of {settings.retry_attempts}"
    note = f"{why}; {which} goes on from what is recorded, as Job {name}"
    return Plan(
        status=status.wire(),
        children=(attempts.job(run, status, settings, now),),
        events=(Event(RunReason.INTERRUPTED, note[:1024], EventType.WARNING, "Run"),),
        wake_at=now + START_WAKE,
    )


def _started(observed: ObservedRun, order: Cancellation | None, now: datetime) -> Plan:
    """Nothing to do while the runner works but to tell what was ordered; while there is none, what keeps its pod."""
    run = observed.run
    if attempts.current_runner(run):
        return _at_work(run, order, now)
    found = pods.first_trouble(observed.pods)
    if found:
        return _hindered(observed, found.message, now, found.class_)
    since = runstatus.pod_awaited_since(run, observed.job, now)
    late = now - since >= START_WAKE
    if late and (missing := _unmounted(run, observed.pods)):
        return _hindered(observed, missing, now, "MissingReference")
    # A Job whose time is over loses its pods first: what was told of them is worth more than that they are gone.
    if late and not observed.pods and not run.status.waiting_reason:
        name = run.status.job_name
        return _hindered(observed, f"Job {name} has no pod yet: kubectl describe job {name} tells why", now)
    return Plan(wake_at=runstatus.next_look(since, now))


def _at_work(run: WorkflowRun, order: Cancellation | None, now: datetime) -> Plan:
    message = runstatus.WORKING
    if order:
        message = f"being cancelled: {order.message}"
    elif run.suspended:
        message = "being suspended: tasks under way go on to their end, and no others start"
    seen = run.status.observed_generation == run.metadata.generation
    # That a pod starts is not followed by a word that it has started: a write for each run would be a high price.
    told = run.status.message in ({message, runstatus.STARTING} if message == runstatus.WORKING else {message})
    if seen and told and order == run.cancellation:
        return Plan()
    return Plan(status=_told(run, message, now, order=order))


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


def _hindered(observed: ObservedRun, message: str, now: datetime, reason: str = "") -> Plan:
    """Tell, once, what keeps the run from starting, and look again soon."""
    run, message = observed.run, conditions.shorten(message)
    again = runstatus.next_look(runstatus.pod_awaited_since(run, observed.job, now), now)
    if run.status.message == message:
        return Plan(wake_at=again)
    event = Event("PodNotStarting", message, EventType.WARNING, "Run")
    return Plan(status=_told(run, message, now, reason), events=(event,), wake_at=again)


def _told(
    run: WorkflowRun, message: str, now: datetime, reason: str = "", order: Cancellation | None = None
) -> Mapping[str, Any]:
    fields = runstatus.kept_running(run.status) | {"phase": RunPhase.RUNNING, "message": message}
    if reason:
        fields["waiting_reason"] = reason
    if order and not run.spec.cancel:
        fields["cancellation"] = order
    return runstatus.compose(run, runstatus.running(message), now, fields).wire()
