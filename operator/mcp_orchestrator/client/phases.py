"""How the state of a run reads and looks, in one voice. Used by `queries`, `runs` and `diagnose`."""

from __future__ import annotations

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.workflowrun import RunCondition, RunPhase, RunReason, WorkflowRun

_COLOURS = {RunPhase.SUCCEEDED: "green", RunPhase.FAILED: "red"}


def colour(phase: str | None) -> str:
    """The colour of a phase: green and red for what they always mean, yellow for all that is neither."""
    return _COLOURS.get(RunPhase(phase), "yellow") if phase else "yellow"


def state(run: WorkflowRun) -> str:
    """The phase, with why the run waits, who cancelled it, and the order that it has still to follow.

    For example: Queued (ClusterLimit); Running, being suspended; Cancelled by spec.cancel (Graceful).
    """
    status, phase = run.status, run.status.phase or RunPhase.PENDING
    if phase == RunPhase.CANCELLED:
        return f"{phase} {cancelled_by(run)}"
    if phase.final:
        return phase
    reason = status.waiting_reason
    words = f"{phase} ({reason})" if reason and reason != phase else str(phase)
    if run.spec.cancel or status.cancellation:
        return f"{words}, being cancelled {cancelled_by(run)}"
    return f"{words}, being suspended" if run.spec.suspend and phase == RunPhase.RUNNING else words


def cancelled_by(run: WorkflowRun) -> str:
    """Whose order stopped the run: a person's, or the operator's own."""
    succeeded = conditions.find(run.status.conditions, RunCondition.SUCCEEDED)
    # Of a run that has ended, its condition tells which of two orders it was.
    ended = succeeded.reason if succeeded and run.status.phase == RunPhase.CANCELLED else ""
    if run.spec.cancel and ended in ("", RunReason.CANCELLED):
        return f"by spec.cancel ({run.spec.cancel})"
    given = run.status.cancellation
    return f"by the operator ({ended or (given.reason if given else RunReason.CANCELLED)})"


def sentence(run: WorkflowRun) -> str:
    """What the run does now."""
    words = f"{run.metadata.name} is {state(run)}"
    return f"{words}: {run.status.message}" if run.status.message else words
