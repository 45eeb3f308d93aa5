"""Why a run failed: its class, what was seen, and what to do about it. Called by planning.runs.endings and the CLI."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.diagnosis import Diagnosis
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.resolved import ResolvedTemplate
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import TaskPhase, TaskStatus
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunReason
from mcp_orchestrator.planning.diagnosis import advice, evidence
from mcp_orchestrator.planning.diagnosis.pods import PodTrouble
from mcp_orchestrator.planning.diagnosis.scene import Question, Scene

SERVER_CLASSES = advice.OF_SERVERS | {ErrorClass.BUSY}
"""Classes whose cause may be the server: it is looked at."""
_BREAKS = frozenset({ErrorClass.CONNECT, ErrorClass.TRANSPORT, ErrorClass.SERVER_DOWN})
"""Classes that the death of a server's container may be behind."""
NEWS_TAKE = timedelta(seconds=2)
"""How long it may take until a container's end stands in its pod's status."""
_POD_ADVICE = {
    "ImagePull": "Make the operator's image available to the nodes, or correct image.* in the chart's values.",
    "MissingReference": "Create what the message names in the run's namespace, then create the run again.",
    "OutOfMemory": "Give the runner more memory: spec.pod.resources.limits.memory of the workflow{limit}.",
    "Evicted": "The node was short of resources: set spec.pod.resources.requests in the workflow.",
    "Disrupted": "Its node was drained, or more important pods needed the room: create the run again.",
    "Unschedulable": "Check spec.pod.resources, nodeSelector and tolerations of the workflow against the nodes: "
    "kubectl describe nodes",
}
_QUEUE = "See its place in the queue, and when it may start: mcp-orchestrator queue -n {namespace}"
_SERVERS = "See why: kubectl -n {namespace} get mcpservers -o wide"
_WAITING_ADVICE = {
    "ImagePull": _POD_ADVICE["ImagePull"],
    "MissingReference": "Create what is missing in the run's namespace: its pod then starts by itself.",
    "Unschedulable": _POD_ADVICE["Unschedulable"],
    RunReason.SERVER_NOT_FOUND: _SERVERS,
    RunReason.SERVER_NOT_READY: _SERVERS,
    RunReason.CLUSTER_LIMIT: _QUEUE,
    RunReason.NAMESPACE_LIMIT: _QUEUE,
    RunReason.TEMPLATE_LIMIT: _QUEUE,
    RunReason.SERVER_LIMIT: _QUEUE,
}
"""For reasons whose message does not say what to do."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What made a run fail, before it is explained."""

    class_: str
    summary: str
    unit: TaskStatus | None = None
    """The first task that failed."""
    remedies: tuple[str, ...] = ()
    """Steps that follow from the failure alone."""
    of_pod: bool = False
    """Whether the run's own pod is the cause."""


def of_task(tasks: Iterable[TaskStatus]) -> Failure | None:
    """The failure of the first task that failed, by its end; None if none did."""
    first = next(iter(failed(tasks)), None)
    if first is None or first.error is None:
        return None
    unknown = first.phase == TaskPhase.INDETERMINATE
    how = f"ended as Indeterminate ({first.error.class_})" if unknown else f"failed ({first.error.class_})"
    return Failure(first.error.class_, f'task "{first.name}" {how}: {first.error.message}', first)


def of_outputs(message: str) -> Failure:
    """The failure of a run whose tasks succeeded, but whose outputs could not be worked out."""
    remedy = "Mend spec.outputs of the workflow: the results of all tasks stand in status.tasks."
    return Failure(ErrorClass.EXPRESSION, message, remedies=(remedy,))


def of_time_out(message: str, tasks: Iterable[TaskStatus]) -> Failure:
    """The failure of a run that took too long, naming the task that was under way or was cut off."""
    begun = [task for task in tasks if task.start_time and task.phase != TaskPhase.SUCCEEDED]
    cut_off = [task for task in begun if task.error and task.error.class_ == ErrorClass.TIMEOUT]
    remedy = "Raise timeoutSeconds of the run or of its workflow, or do less in one run."
    return Failure(RunReason.TIMED_OUT, message, next(iter(cut_off or begun), None), (remedy,))


def of_pod(trouble: PodTrouble | None, message: str, run: WorkflowRun, remedy: str = "") -> Failure:
    """The failure of a run whose pod did not do its work; `remedy` counts where the trouble has none of its own.

    Where no pod is left to tell, or it was ended for being late, what kept it is on record as the run's waitingReason.
    """
    class_ = trouble.class_ if trouble and trouble.kind != "failed" else (run.status.waiting_reason or "")
    known = _POD_ADVICE.get(class_, "").format(limit=_limit(run)) or remedy
    log = f"See the log of the run's pod: kubectl -n {run.metadata.namespace} logs job/{run.status.job_name}"
    summary = f"{message}: {trouble.message}" if trouble else message
    return Failure(class_ or ErrorClass.RUNNER, summary, remedies=(known or log,), of_pod=True)


def while_waiting(run: WorkflowRun) -> tuple[str, ...]:
    """What to do about a run that waits, beyond what its message says."""
    step = _WAITING_ADVICE.get(run.status.waiting_reason or "")
    return (step.format(namespace=run.metadata.namespace),) if step else ()


def failed(tasks: Iterable[TaskStatus]) -> list[TaskStatus]:
    """The tasks that failed, by their ends; an item before the task that failed because of it."""
    found = (task for task in tasks if task.phase.failed and task.error)
    return sorted(found, key=lambda task: (str(task.completion_time or ""), -sum(map(task.name.count, "[/"))))


def question(failure: Failure, run: WorkflowRun) -> Question | None:
    """What should be looked at to explain the failure; None if nothing could tell more."""
    if failure.of_pod:
        return Question(pod=True)
    task = _definition(failure, run)
    if task is None or not task.server:
        return None
    late = failure.class_ == RunReason.TIMED_OUT
    return Question(server=task.server) if late or failure.class_ in SERVER_CLASSES else None


def look_again(failure: Failure, run: WorkflowRun, scene: Scene, now: datetime) -> datetime | None:
    """When to look again for the cause, if it may not be known yet: a node takes a moment to tell what ended a pod."""
    ended = failure.unit.completion_time if failure.unit else None
    if failure.class_ not in _BREAKS or ended is None or not ended <= now < ended + NEWS_TAKE:
        return None
    if scene.server is None or scene.server.server is None or evidence.deaths(scene.server, run):
        return None
    return ended + NEWS_TAKE


def explain(failure: Failure, run: WorkflowRun, scene: Scene | None = None) -> Diagnosis:
    """The diagnosis, with what was found."""
    found, unit, task = scene or Scene(), failure.unit, _definition(failure, run)
    steps = failure.remedies
    if unit and task and failure.class_ in set(ErrorClass):
        steps += advice.of_task(advice.Facts(run, unit, task, ErrorClass(failure.class_), found))
    elif unit and task and task.server:
        steps += advice.of_server(advice.Facts(run, unit, task, ErrorClass.TIMEOUT, found))
    return Diagnosis(
        class_=failure.class_,
        summary=conditions.shorten(failure.summary),
        evidence=evidence.gather(run, failed(run.status.tasks), found),
        recommendations=tuple(conditions.shorten(step, 1024) for step in steps),
        **({"task": unit.name} if unit else {}),
    )


def task_of(unit: str, template: ResolvedTemplate) -> Task | None:
    """The task that a unit of the run is, or is an item of; None if the workflow has none such."""
    nested = {workflow.name: workflow.spec for workflow in template.nested}
    workflow, found = template.spec, None
    # Keys of items may hold anything but their own end: review[a/b]/lint is the task lint of an item of review.
    for name in re.sub(r"\[.*?\](?=/|$)", "", unit).split("/"):
        found = next((task for task in workflow.every_task if task.name == name), None)
        if found is None:
            return None
        if found.template:
            workflow = nested.get(found.template.name, workflow)
    return found


def _definition(failure: Failure, run: WorkflowRun) -> Task | None:
    template = run.status.template
    return task_of(failure.unit.name, template) if failure.unit and template else None


def _limit(run: WorkflowRun) -> str:
    template = run.status.template
    resources = template.spec.pod.resources if template and template.spec.pod else None
    limit = resources.limits.get("memory") if resources else None
    return f", which is {limit} now" if limit else ""
