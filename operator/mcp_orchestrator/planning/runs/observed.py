"""What was seen of a run: what `decision` and its parts go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.planning.diagnosis.scene import Scene
from mcp_orchestrator.planning.queue.admission import Pool
from mcp_orchestrator.planning.queue.concurrency import Rivals
from mcp_orchestrator.planning.runs.receipts import Found, Full
from mcp_orchestrator.planning.workflows.resolution import Surroundings


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The pool that has no place left for the run, and how many it has."""

    pool: Pool
    limit: int


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """A WorkflowRun and what was seen of it."""

    run: WorkflowRun
    around: Surroundings = field(default_factory=Surroundings)
    """What stands beside it, looked at before it is admitted."""
    rivals: Rivals | None = None
    """Other unfinished runs of its template, if the template says what becomes of those that are too many."""
    receipt: Found | Full | None = None
    """The receipt of its idempotency key, or that there is no room for one; looked at before it is first admitted."""
    slot: bool = False
    """Whether the admission queue gave the run a slot."""
    obstacle: Obstacle | None = None
    """Why the admission queue gave it none."""
    job: Mapping[str, Any] | None = None
    """The run's Job; None only if the API server itself said that there is none."""
    earlier_job: Mapping[str, Any] | None = None
    """The Job of the attempt before, of a run that Kueue lets in."""
    foreign_job: bool = False
    """Whether an object of somebody else's has the Job's name."""
    mistake: str = ""
    """What the API server found wrong in the Job."""
    refusal: str = ""
    """Why the API server does not take the Job now, for example a quota."""
    pods: tuple[Mapping[str, Any], ...] = ()
    """Pods of the Job, looked at while no runner has reported."""
    scene: Scene | None = None
    """What stands around a run that failed, looked at when a plan asks for it."""
