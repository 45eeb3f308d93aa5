"""Why a run failed, and what to do about it, from the class of its first error. Called by planning.runs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.workflowrun import Diagnosis, Evidence, ResolvedTemplate, RunReason, TaskPhase, TaskStatus
from mcp_orchestrator.planning.pods import PodTrouble

MAX_EVIDENCE = 8
"""Failed tasks that a diagnosis tells of."""
_UNKNOWN = (
    "Find out whether {task} was carried out, for nobody knows: if it was, take the task out and resume the rest with "
    "spec.resumeFrom of a new run; if it was not, just do that.",
    "If a second call would do no harm, say so in the task: idempotent: true.",
)
_ADVICE: dict[ErrorClass, tuple[str, ...]] = {
    ErrorClass.CONNECT: (
        "Check the server: kubectl describe mcpservers.mcp-orchestrator.io {server}",
        "Check that no NetworkPolicy keeps the run's pod from the server's Service on port 8080.",
    ),
    ErrorClass.BUSY: (
        "The server refuses calls because of its rate limit: run less at once (spec.maxParallelTasks), or later.",
    ),
    ErrorClass.AUTH: (
        "Renew the key in the Secret that MCPServer {server} names, then restart its pods: "
        "kubectl rollout restart deployment {server}",
    ),
    ErrorClass.TIMEOUT: (
        "Raise the task's timeoutSeconds, or spec.timeoutSeconds of MCPServer {server}, if the call needs longer.",
        "Check the server's own log: kubectl logs deployment/{server} -c gateway",
    ),
    ErrorClass.TRANSPORT: (
        "The connection broke during the call, so the tool may have done its work: check before you run again.",
        "See whether the server's process died: kubectl logs deployment/{server} -c gateway",
    ),
    ErrorClass.SERVER_DOWN: (
        "See why the server's program does not run: kubectl logs deployment/{server} -c gateway",
        "See what the server says of itself: kubectl describe mcpservers.mcp-orchestrator.io {server}",
    ),
    ErrorClass.PROTOCOL: (
        "Check that the tool still exists and takes these arguments: kubectl get msrv {server} -o yaml",
    ),
    ErrorClass.SCHEMA: (
        "The result breaks the schema that the tool itself declares: report it to the makers of the server.",
    ),
    ErrorClass.TOOL: (
        "The tool itself reported the failure: mend the arguments of task {task}, or what the message names.",
    ),
    ErrorClass.INPUT_REQUIRED: (
        "The tool asks a person for input, which a run can't give: use another tool, or answer by an argument.",
    ),
    ErrorClass.RESULT_TOO_LARGE: ("Ask the tool for less: narrow the arguments of task {task}.",),
    ErrorClass.EXPRESSION: ("Mend the expression: kubectl get mrun -o yaml shows what each task returned.",),
    ErrorClass.RUNNER: ("See the pod's log: kubectl logs job/JOB, with the name from status.jobName.",),
}


def of_task(tasks: Iterable[TaskStatus], template: ResolvedTemplate) -> Diagnosis | None:
    """The diagnosis of the first task that failed, by its end; None if none did."""
    failed = sorted(
        (task for task in tasks if task.phase.failed and task.error),
        key=lambda task: str(task.completion_time or ""),
    )
    if not failed or not failed[0].error:
        return None
    first, error = failed[0], failed[0].error
    server = server_of(first.name, template)
    unknown = first.phase == TaskPhase.INDETERMINATE
    how = f"ended as Indeterminate ({error.class_})" if unknown else f"failed ({error.class_})"
    advice = (*(_UNKNOWN if unknown else ()), *_ADVICE.get(error.class_, ()))
    return Diagnosis(
        class_=error.class_,
        task=first.name,
        summary=conditions.shorten(f'task "{first.name}" {how}: {error.message}'),
        evidence=tuple(_evidence(task) for task in failed[:MAX_EVIDENCE]),
        recommendations=tuple(text.format(server=server, task=first.name) for text in advice),
    )


def server_of(unit: str, template: ResolvedTemplate) -> str:
    """The server that a unit of the run calls; empty if it calls none."""
    nested = {workflow.name: workflow.spec for workflow in template.nested}
    workflow, found = template.spec, ""
    # Keys of items may hold anything but their own end: review[a/b]/lint is the task lint of an item of review.
    for name in re.sub(r"\[.*?\](?=/|$)", "", unit).split("/"):
        task = next((task for task in workflow.every_task if task.name == name), None)
        if task is None:
            return ""
        found = task.server or ""
        if task.template:
            workflow = nested.get(task.template.name, workflow)
    return found


def _evidence(task: TaskStatus) -> Evidence:
    assert task.error  # noqa: S101 - the caller looked
    attempts = f" (attempt {task.attempts})" if task.attempts else ""
    words = conditions.shorten(f"{task.phase}{attempts}: {task.error.class_}: {task.error.message}", 1024)
    times = {"time": task.completion_time} if task.completion_time else {}
    return Evidence(source=f"task {task.name}"[:320], message=words, **times)


def of_outputs(message: str) -> Diagnosis:
    """The diagnosis of a run whose tasks succeeded, but whose outputs could not be worked out."""
    return Diagnosis(
        class_=ErrorClass.EXPRESSION,
        summary=conditions.shorten(message),
        recommendations=("Mend spec.outputs of the workflow: the results of all tasks stand in status.tasks.",),
    )


def of_time_out(message: str, tasks: Iterable[TaskStatus]) -> Diagnosis:
    """The diagnosis of a run that took too long, naming the task that was under way or was cut off."""
    begun = [task for task in tasks if task.start_time and task.phase != TaskPhase.SUCCEEDED]
    cut_off = [task for task in begun if task.error and task.error.class_ == ErrorClass.TIMEOUT]
    late = next(iter(cut_off or begun), None)
    return Diagnosis(
        class_=RunReason.TIMED_OUT,
        summary=conditions.shorten(message),
        recommendations=("Raise timeoutSeconds of the run or of its workflow, or do less in one run.",),
        **({"task": late.name} if late else {}),
    )


def of_pod(trouble: PodTrouble | None, message: str, remedy: str = "") -> Diagnosis:
    """The diagnosis of a run whose pod did not do its work; `remedy` counts where the trouble has none of its own."""
    advice = {
        "image": "Make the operator's image available to the nodes, or correct image.* in the chart's values.",
        "oom": "Give the runner more memory: spec.pod.resources.limits.memory of the workflow.",
        "evicted": "The node was short of resources: set spec.pod.resources.requests in the workflow.",
        "removed": "Its node was drained, or more important pods needed the room: create the run again.",
        "unschedulable": "Check spec.pod.resources, nodeSelector and tolerations of the workflow against the nodes.",
    }
    kind = trouble.kind if trouble else ""
    known = advice.get(kind, remedy)
    return Diagnosis(
        class_=ErrorClass.RUNNER,
        summary=conditions.shorten(f"{message}: {trouble.message}" if trouble else message),
        recommendations=(known,) if known else _ADVICE[ErrorClass.RUNNER],
    )
