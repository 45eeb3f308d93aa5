"""plan_cleanup: which ended runs of a workflow go, which only lose their children, and when to look again.

Called by controllers.cleanup. All of it follows from the objects themselves, so that a restart changes nothing. A run
that Git or Helm owns is never deleted: it would be made anew, and run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Condition, Verdict
from mcp_orchestrator.api.retention import History
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunCondition, RunPhase, RunReason
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplateSpec
from mcp_orchestrator.planning.children.runjob import SCHEDULE_LABEL

SCHEDULED_KEPT = 10
"""How many runs of schedules are kept of each sort, where the template does not say."""
LOOK_AGAIN = timedelta(minutes=10)
"""The longest wait: clocks jump, and whoever resumes a run may be gone."""
OWNING_ANNOTATIONS: Mapping[str, str] = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "meta.helm.sh/release-name": "Helm",
}
OWNING_LABELS: Mapping[str, str] = {
    "argocd.argoproj.io/instance": "Argo CD",
    "app.kubernetes.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "app.kubernetes.io/managed-by": "Helm",
}
"""Labels that tell who would make an object anew. app.kubernetes.io/instance is what Argo CD tracks by in older setups;
managed-by tells it only with the value Helm."""


class Action(StrEnum):
    """What is done to an ended run."""

    DELETE = "Delete"
    PRUNE = "Prune"
    OBSERVE = "Observe"
    """Its spec was edited after its end: tell that this was seen, or whoever waits for that waits for ever."""


class EndedRun(NamedTuple):
    """What counts of a run that has ended. A tuple, since ten thousand of them are made for one look."""

    name: str
    uid: str
    ended_at: datetime
    succeeded: bool
    ttl_seconds: int | None = None
    """The run's own."""
    owner: str = ""
    """Who would make it anew: Argo CD, Flux or Helm."""
    scheduled: bool = False
    pruned: bool = False
    """Whether its children are gone, as its condition tells."""
    observed: bool = True
    """Whether its status tells of its present generation."""
    resumed: bool = False
    """Whether another run may still need its results, since it resumes it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and why."""

    action: Action
    run: EndedRun
    reason: RunReason | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class CleanupPlan:
    """What is to be done for the ended runs of one workflow, in order, and when to look again."""

    steps: tuple[Step, ...] = ()
    wake_at: datetime | None = None


def plan_cleanup(ended: Iterable[EndedRun], template: WorkflowTemplateSpec | None, now: datetime) -> CleanupPlan:
    """The plan for the ended runs of a workflow, as its template is now; without one, each run's own word counts.

    An end that lies in the future, since clocks differ, is not over before it has come: nothing goes too early.
    """
    runs = sorted(ended, key=lambda run: (run.ended_at, run.name))
    surplus = _surplus(runs, template.history if template else None)
    default = template.ttl_seconds_after_finished if template else None
    steps, wakes = [], []
    for run in runs:
        if not run.observed:
            steps.append(Step(Action.OBSERVE, run))
        if run.pruned:
            continue
        ttl = default if run.ttl_seconds is None else run.ttl_seconds
        due = None if ttl is None else run.ended_at + timedelta(seconds=ttl)
        expired = due is not None and due <= now
        if not expired and run.uid not in surplus:
            wakes += [due] if due else []
        elif run.resumed:
            wakes.append(now + LOOK_AGAIN)
        elif expired:
            steps.append(_step(run, RunReason.TTL_EXPIRED, f"its {ttl} s after its end are over"))
        else:
            steps.append(_step(run, RunReason.HISTORY_LIMIT, "the workflow's history has newer runs"))
    return CleanupPlan(tuple(steps), min(min(wakes), now + LOOK_AGAIN) if wakes else None)


def _step(run: EndedRun, reason: RunReason, why: str) -> Step:
    if not run.owner:
        return Step(Action.DELETE, run, reason, why)
    message = f"{why}: its Job, its pods and its large results are deleted; {run.owner} owns the run, so it stays"
    return Step(Action.PRUNE, run, reason, message)


def _surplus(runs: Iterable[EndedRun], history: History | None) -> frozenset[str]:
    """UIDs of the runs beyond what the history keeps; `runs` are in the order of their ends."""
    limits = {True: history.succeeded if history else None, False: history.failed if history else None}
    found: list[str] = []
    for succeeded, limit in limits.items():
        counted = [run.uid for run in runs if run.succeeded == succeeded and (limit is not None or run.scheduled)]
        kept = SCHEDULED_KEPT if limit is None else limit
        found += counted[: max(0, len(counted) - kept)]
    return frozenset(found)


def conditions_after(run: WorkflowRun, step: Step, now: datetime) -> tuple[Condition, ...]:
    """The conditions of an ended run after a step: as they were, seen at its present generation."""
    generation = run.metadata.generation
    kept = tuple(one.model_copy(update={"observed_generation": generation}) for one in run.status.conditions)
    if step.action != Action.PRUNE or step.reason is None:
        return kept
    pruned: dict[str, Verdict] = {RunCondition.CHILDREN_PRUNED: conditions.true(step.reason, step.message)}
    others = tuple(one for one in kept if one.type != RunCondition.CHILDREN_PRUNED)
    return (*others, *conditions.merge(run.status.conditions, pruned, generation, now))


# --- from objects -----------------------------------------------------------------------------------------------------


def ended_run(record: Mapping[str, Any], *, resumed: bool) -> EndedRun | None:
    """The ended run in an object, or in its outline; None if it does not tell when it ended."""
    metadata, spec, status = record["metadata"], record["spec"], record["status"]
    if "completionTime" not in status:
        return None
    return EndedRun(
        name=metadata["name"],
        uid=metadata["uid"],
        ended_at=datetime.fromisoformat(status["completionTime"]),
        succeeded=status["phase"] == RunPhase.SUCCEEDED,
        ttl_seconds=spec.get("ttlSecondsAfterFinished"),
        owner=next((owner for _, _, owner in _marks(metadata)), "")
        if "labels" in metadata or "annotations" in metadata
        else "",
        scheduled=SCHEDULE_LABEL in metadata.get("labels", ()),
        pruned="conditions" in status and is_pruned(status),
        observed=metadata.get("generation", 0) <= status.get("observedGeneration", 0),
        resumed=resumed,
    )


def is_pruned(status: Mapping[str, Any]) -> bool:
    """Whether the run's children are gone, as its condition tells."""
    pruned = (RunCondition.CHILDREN_PRUNED, "True")
    return any((one["type"], one["status"]) == pruned for one in status.get("conditions", ()))


def outline(body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What must be kept of an ended run beside its name, its end and its phase. Of most runs that is nothing."""
    metadata, spec, status = body["metadata"], body.get("spec", {}), body.get("status", {})
    kept: dict[str, dict[str, Any]] = {"metadata": {}, "spec": {}, "status": {}}
    for field, key, _ in _marks(metadata):
        kept["metadata"].setdefault(field, {})[key] = metadata[field][key]
    if SCHEDULE_LABEL in (metadata.get("labels") or {}):
        kept["metadata"].setdefault("labels", {})[SCHEDULE_LABEL] = ""
    if metadata.get("generation", 0) > status.get("observedGeneration", 0):
        kept["metadata"]["generation"] = metadata["generation"]
    kept["spec"] = {name: spec[name] for name in ("ttlSecondsAfterFinished", "resumeFrom") if name in spec}
    if is_pruned(status):
        kept["status"]["conditions"] = [{"type": RunCondition.CHILDREN_PRUNED, "status": "True"}]
    return kept


def _marks(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What tells who owns an object: annotations or labels, the key, and the owner."""
    for field, known in (("annotations", OWNING_ANNOTATIONS), ("labels", OWNING_LABELS)):
        for key, value in (metadata.get(field) or {}).items():
            if key in known and (key != "app.kubernetes.io/managed-by" or value == "Helm"):
                yield field, key, known[key]
