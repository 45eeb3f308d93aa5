"""How the state of a run reads and looks, in one voice. Used by `queries`, `runs` and `diagnose`."""

from __future__ import annotations

from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase

_COLOURS = {RunPhase.SUCCEEDED: "green", RunPhase.FAILED: "red"}


def colour(phase: str | None) -> str:
    """The colour of a phase: green and red for what they always mean, yellow for all that is neither."""
    return _COLOURS.get(RunPhase(phase), "yellow") if phase else "yellow"


def state(run: WorkflowRun) -> str:
    """The phase, with why the run waits, and the order that it has still to follow.

    For example: Queued (ClusterLimit); Running, being suspended.
    """
    phase, reason = run.status.phase or RunPhase.PENDING, run.status.waiting_reason
    if phase.final:
        return phase
    words = f"{phase} ({reason})" if reason and reason != phase else str(phase)
    return ", ".join(part for part in (words, _followed(run)) if part)


def sentence(run: WorkflowRun) -> str:
    """What the run does now."""
    words = f"{run.metadata.name} is {state(run)}"
    # The message names the order too, for those who read it alone.
    message = (run.status.message or "").removeprefix(f"{_followed(run)}: ")
    return f"{words}: {message}" if message else words


def _followed(run: WorkflowRun) -> str:
    """The order that the run has still to follow; empty if there is none."""
    if run.cancellation:
        return "being cancelled"
    return "being suspended" if run.spec.suspend and run.status.phase == RunPhase.RUNNING else ""
