"""Orders to a run, which stand in its spec: hold it, let it go on, stop it. Called by `control` and `runs`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mcp_orchestrator.api.base import CLIENT_MANAGER
from mcp_orchestrator.api.control import CancelMode
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase
from mcp_orchestrator.client.cluster import Cluster, readable
from mcp_orchestrator.client.exits import Failed
from mcp_orchestrator.cluster import resources


class Verb(StrEnum):
    """What is asked of a run."""

    SUSPEND = "suspend"
    RESUME = "resume"
    CANCEL = "cancel"
    CANCEL_NOW = "cancel --immediate"


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of an order."""

    told: str
    """For people, without the run's name."""
    spec: dict[str, Any] = field(default_factory=dict)
    """What changes in the run's spec; nothing if it is so already."""


@dataclass(frozen=True, slots=True)
class Given:
    """An order that a run has now."""

    body: dict[str, Any]
    """The run, as the API server has it."""
    told: str


def decide(run: WorkflowRun, verb: Verb) -> Step:
    """What the order changes. Raises Failed where it has no meaning (any more)."""
    name, phase = run.metadata.name, run.status.phase
    stops = verb in (Verb.CANCEL, Verb.CANCEL_NOW)
    if stops and phase == RunPhase.CANCELLED:
        return Step("is cancelled already")
    if phase and phase.final:
        raise Failed(f"{name} has ended ({phase}): nothing to {verb.split()[0]}")
    if stops:
        return _cancel(run, CancelMode.GRACEFUL if verb == Verb.CANCEL else CancelMode.IMMEDIATE)
    if run.spec.cancel or run.status.cancellation:
        raise Failed(f"{name} is being cancelled: it can't {'be suspended' if verb == Verb.SUSPEND else 'go on'}")
    if verb == Verb.SUSPEND:
        if run.spec.suspend:
            return Step("is suspended already")
        remedy = f"mcp-orchestrator resume {name} -n {run.metadata.namespace}"
        return Step(f"is being suspended; to let it go on: {remedy}", {"suspend": True})
    return Step("goes on", {"suspend": False}) if run.spec.suspend else Step("is not suspended")


def _cancel(run: WorkflowRun, mode: CancelMode) -> Step:
    if run.spec.cancel in (mode, CancelMode.IMMEDIATE):
        return Step(f"is being cancelled already ({run.spec.cancel})")
    return Step(f"is being cancelled ({mode})", {"cancel": mode})


async def give(cluster: Cluster, name: str, verb: Verb) -> Given:
    """Give the order. Raises Failed.

    Only its field is sent, and for no certain version of the run: the status of one that works changes all the time.
    """
    body = await cluster.body(name)
    step = decide(readable(body), verb)
    if step.spec:
        changes = {"spec": step.spec}
        body = await cluster.client.merge(
            resources.WORKFLOW_RUNS, name, cluster.namespace, changes, manager=CLIENT_MANAGER
        )
        # It may have ended while the order was on its way: then that is what there is to tell.
        decide(readable(body), verb)
    return Given(body, f"{name} {step.told}")
