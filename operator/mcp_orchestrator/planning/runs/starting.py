"""The life of a run without a slot: held, waiting for what it needs, queued, admitted. Called by `decision`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.control import Cancellation, CancelMode
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunCondition, RunPhase, RunReason
from mcp_orchestrator.planning.children import manifests, runjob
from mcp_orchestrator.planning.plan import Event, Plan
from mcp_orchestrator.planning.queue import candidates, concurrency
from mcp_orchestrator.planning.runs import attempts, endings, kueue, receipts, runstatus
from mcp_orchestrator.planning.runs.endings import Last
from mcp_orchestrator.planning.runs.observed import ObservedRun, Obstacle
from mcp_orchestrator.planning.runs.runstatus import RAREST_LOOK, START_WAKE
from mcp_orchestrator.planning.workflows import resolution
from mcp_orchestrator.planning.workflows.resolution import Resolved, Waiting
from mcp_orchestrator.settings import Settings

UNWATCHED = frozenset(
    {RunReason.CONFIG_MAP_NOT_FOUND, RunReason.RUN_NOT_FOUND, RunReason.RUN_NOT_FINISHED, RunReason.KEY_IN_USE}
)
HELD = "held by spec.suspend: set it to false to go on"
OWNERS = {
    RunReason.CLUSTER_LIMIT: "the cluster",
    RunReason.NAMESPACE_LIMIT: "namespace {}",
    RunReason.TEMPLATE_LIMIT: "WorkflowTemplate {}",
    RunReason.SERVER_LIMIT: "MCPServer {}",
}
"""Whose limit keeps a run, by the reason that it waits for."""


def before_admission(observed: ObservedRun, settings: Settings, now: datetime) -> Plan:
    """The next step of a run without a slot. One that has run before goes on from its snapshot."""
    run = observed.run
    if spent := _by_receipt(observed, now):
        return spent
    order = stop_order(observed)
    if order and not has_finally_to_run(run, order):
        return endings.cancelled(Last(run, now), order)
    if run.suspended:
        return hold(run, now)
    begun = run.status.template is not None
    if not begun and concurrency.skipped(observed.rivals):
        return endings.cancelled(Last(run, now), _skipped(observed))
    found = resolution.readiness(run, observed.around) if begun else resolution.resolve(run, observed.around)
    if isinstance(found, resolution.Rejected):
        return endings.rejected(run, found, now)
    if isinstance(found, Waiting):
        return _wait_for(run, found, now)
    if observed.slot:
        return _readmit(run, order, settings, now) if begun else _admit(observed, found, settings, now)
    queued = Plan(candidate=candidates.candidate(run, found))
    if observed.obstacle is None:
        return queued
    fields: dict[str, Any] = {"cancellation": order} if order else {}
    if not run.status.runner:
        fields["progress"] = f"0/{len(found.template.spec.every_task)}"
    reason, message = observed.obstacle.pool.reason, _words(observed.obstacle)
    return replace(_wait(run, RunPhase.QUEUED, reason, message, now, fields), candidate=queued.candidate)


def _by_receipt(observed: ObservedRun, now: datetime) -> Plan | None:
    """What becomes of a run whose key another one has. It takes no place, so no concurrency is asked about it."""
    run = observed.run
    if run.cancellation or run.suspended:
        return None
    found = receipts.verdict(run, observed.receipt, now)
    if isinstance(found, Waiting):
        return _wait_for(run, found, now)
    return endings.not_executed(run, found, now) if found else None


def stop_order(observed: ObservedRun) -> Cancellation | None:
    """The order to stop the run: given already, or since a newer run takes its place."""
    run = observed.run
    newer = observed.rivals.replaced_by if observed.rivals else ""
    if run.cancellation or not newer:
        return run.cancellation
    message = f"WorkflowRun {newer} takes its place (concurrency.policy: Replace)"
    return Cancellation(mode=CancelMode.GRACEFUL, reason=RunReason.REPLACED, message=message)


def hold(run: WorkflowRun, now: datetime) -> Plan:
    """Hold the run without a slot."""
    return _wait(run, RunPhase.SUSPENDED, RunReason.SUSPENDED, HELD, now)


def give_back(run: WorkflowRun, why: str, now: datetime) -> Plan:
    """Take the run's slot from it: it asks for one anew, as it now is."""
    return _wait(run, RunPhase.PENDING, RunReason.QUEUE_CHANGED, why, now)


def _skipped(observed: ObservedRun) -> Cancellation:
    found = observed.rivals
    assert found  # noqa: S101 - who skips the run
    others = ", ".join(found.older[:3]) + (" …" if len(found.older) > 3 else "")
    message = f"left out (concurrency.policy: Skip): {len(found.older)} of {found.concurrency.max_runs} run: {others}"
    return Cancellation(mode=CancelMode.IMMEDIATE, reason=RunReason.SKIPPED, message=message)


def has_finally_to_run(run: WorkflowRun, order: Cancellation) -> bool:
    """Whether the run must get a slot once more before it ends: something of it ran, and its finally did not."""
    template = run.status.template
    return bool(order.mode == CancelMode.GRACEFUL and run.status.runner and template and template.spec.finally_)


# --- waiting ---------------------------------------------------------------------------------------------------------


def _wait_for(run: WorkflowRun, found: Waiting, now: datetime) -> Plan:
    """Wait for what may come, and for a server only so long."""
    waiting = _wait(run, RunPhase.PENDING, found.reason, found.message, now)
    if found.reason in UNWATCHED:
        # Nobody tells of ConfigMaps, of other runs and of their receipts: look again.
        return replace(waiting, wake_at=now + START_WAKE)
    if found.reason == RunReason.RECEIPT_LIMIT:
        # Nor of these, and very many runs may wait for the same.
        return replace(waiting, wake_at=now + RAREST_LOOK)
    if found.patience_seconds is None:
        return waiting
    patience = timedelta(seconds=found.patience_seconds)
    since = _since(run, found.reason, now)
    if now - since >= patience:
        return endings.unready(run, found, now)
    return replace(waiting, wake_at=since + patience)


def _since(run: WorkflowRun, reason: RunReason, now: datetime) -> datetime:
    """Since when the run waits for that reason."""
    status = run.status
    return status.waiting_since if status.waiting_since and status.waiting_reason == reason else now


def _words(obstacle: Obstacle) -> str:
    owner = OWNERS[obstacle.pool.reason].format(obstacle.pool.name or obstacle.pool.namespace)
    if not obstacle.limit:
        return f"waits: {owner} has its limit of runs set to 0"
    return f"waits for a slot: {owner} has its limit of {obstacle.limit} at once"


def _wait(
    run: WorkflowRun,
    phase: RunPhase,
    reason: RunReason,
    message: str,
    now: datetime,
    more: dict[str, Any] | None = None,
) -> Plan:
    """Tell why the run waits. In the queue only a change of the reason is worth a write: slots move all the time."""
    status, generation = run.status, run.metadata.generation
    message = conditions.shorten(message)
    same = (status.phase, status.waiting_reason, status.observed_generation) == (phase, reason, generation)
    if same and (phase == RunPhase.QUEUED or status.message == message):
        return Plan()
    fields = runstatus.kept(status) | (more or {})
    fields |= {"phase": phase, "message": message, "waiting_reason": reason, "waiting_since": _since(run, reason, now)}
    composed = runstatus.compose(run, runstatus.waiting(reason, message), now, fields)
    # To wait is normal: servers start, and manifests come in any order.
    again = status.waiting_reason == reason
    events = () if again or phase == RunPhase.QUEUED else (Event(reason, message, action="Admit"),)
    return Plan(status=composed.wire(), events=events)


# --- the slot --------------------------------------------------------------------------------------------------------


def _admit(observed: ObservedRun, found: Resolved, settings: Settings, now: datetime) -> Plan:
    run = observed.run
    fields: dict[str, Any] = {
        "template": found.template,
        "servers": found.servers,
        "traceparent": runstatus.traceparent(run.metadata.uid),
        "progress": f"0/{len(found.template.spec.every_task)}",
        **({"resumed_packs": found.resumed_packs} if found.resumed_packs else {}),
    }
    started = _start(run, fields, "The run starts", settings, now)
    return replace(started, receipt=receipts.claim(run, observed.receipt, now))


def _readmit(run: WorkflowRun, order: Cancellation | None, settings: Settings, now: datetime) -> Plan:
    """Let the run go on after it was suspended. A pause since its first runner began does not count as its time."""
    status = run.status
    lost = conditions.find(status.conditions, RunCondition.ADMITTED) if status.runner else None
    paused = max(timedelta(0), now - lost.last_transition_time) if lost else timedelta(0)
    fields = runstatus.kept(status) | ({"cancellation": order} if order else {})
    fields |= {
        "resumptions": (status.resumptions or 0) + 1,
        "paused_seconds": (status.paused_seconds or 0) + int(paused.total_seconds()),
    }
    return _start(run, fields, "The run goes on", settings, now)


def _start(run: WorkflowRun, fields: dict[str, Any], words: str, settings: Settings, now: datetime) -> Plan:
    attempt = (run.status.attempt or 0) + 1
    name = manifests.job_name(run.metadata.name, run.metadata.uid, attempt)
    queue = runjob.queue_asked_for(run)
    verdicts, begun = kueue.begun(queue, name, "the run has its slot", now)
    fields |= begun | {"attempt": attempt, "job_name": name, "admitted_at": now}
    if queue:
        fields["kueue_queue"] = queue
    status = runstatus.compose(run, verdicts, now, fields)
    return Plan(
        status=status.wire(),
        children=(attempts.job(run, status, settings, now),),
        events=(Event(RunReason.ADMITTED, f"{words} as Job {name}", action="Admit"),),
        wake_at=now + START_WAKE,
    )
