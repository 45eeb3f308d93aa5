"""What is known of runs on a cluster: `list`, `get`, `results` and `logs`."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from mcp_orchestrator import settings
from mcp_orchestrator.api.taskstatus import TaskStatus
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase
from mcp_orchestrator.client import given, loglines, phases
from mcp_orchestrator.client.cluster import Access, Cluster, opened, readable
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.client.progress import table
from mcp_orchestrator.client.runs import EXITS, show_data, show_end
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.cluster import errors, resources, scenes
from mcp_orchestrator.planning.children import runjob
from mcp_orchestrator.runner.results import packing

HEADS = ("RUN", "TEMPLATE", "PHASE", "PROGRESS", "WAITING", "DURATION", "MESSAGE")

# --- list, get --------------------------------------------------------------------------------------------------------


def show_list(access: Access, output: str, template: str) -> Exit:
    """The runs of the namespace, the newest first. Raises Failed."""

    async def work() -> tuple[str, list[dict[str, Any]]]:
        async with opened(access) as cluster:
            found = await cluster.client.list_all(resources.WORKFLOW_RUNS, cluster.namespace, convert=dict)
            return cluster.namespace, found.items

    namespace, bodies = asyncio.run(work())
    runs = [body for body in bodies if not template or _template(body) == template]
    runs.sort(key=lambda body: (str(body["metadata"]["creationTimestamp"]), body["metadata"]["name"]), reverse=True)
    terminal = Terminal.of()
    if output != "text":
        show_data({"apiVersion": "v1", "kind": "List", "items": runs}, output, terminal)
        return Exit.OK
    if not runs:
        terminal.line(f"There are no runs{f' of {template}' if template else ''} in namespace {namespace}.")
        return Exit.OK
    rows = [HEADS, *map(_row, runs)]
    for row, cells in zip(rows, terminal.aligned(rows), strict=True):
        if row is not HEADS:
            cells[2] = terminal.paint(cells[2], phases.colour(row[2]))
        terminal.line("  ".join(cells).rstrip())
    return Exit.OK


def _row(body: dict[str, Any]) -> tuple[str, ...]:
    status = body.get("status", {})
    message, *more = str(status.get("message", "")).splitlines() or [""]
    known = (status.get(name, "") for name in ("phase", "progress", "waitingReason", "duration"))
    return (body["metadata"]["name"], _template(body) or "-", *known, f"{message} …" if more else message)


def _template(body: dict[str, Any]) -> str:
    return str(body.get("spec", {}).get("templateRef", {}).get("name", ""))


def show(name: str, access: Access, output: str) -> Exit:
    """One run, with its tasks. Raises Failed."""

    async def work() -> dict[str, Any]:
        async with opened(access) as cluster:
            return await cluster.body(name)

    body, terminal = asyncio.run(work()), Terminal.of()
    if output != "text":
        show_data(body, output, terminal)
        return Exit.OK
    run = readable(body)
    status = run.status
    ended = status.phase is not None and status.phase.final
    if not ended:
        head, _, rest = phases.sentence(run).partition(": ")
        terminal.hanging("", f"{terminal.paint(head, 'bold')}: {rest}" if rest else head)
    for line in table(status.tasks, terminal, settings.clock()):
        terminal.line(line)
    if ended:
        show_end(run, terminal, below_tasks=True)
    return Exit.OK


# --- results, logs ----------------------------------------------------------------------------------------------------


def results(name: str, access: Access, output: str, task: str) -> Exit:
    """The run's outputs, or the whole result of one of its tasks. Raises Failed."""

    async def work() -> Any:
        async with opened(access) as cluster:
            run = await cluster.run(name)
            if task:
                return await _result(cluster, run, task)
            phase = run.status.phase or RunPhase.PENDING
            if phase != RunPhase.SUCCEEDED:
                raise Failed(f"{name} has no outputs: it is {phase}", EXITS.get(phase, Exit.USAGE))
            return run.status.outputs or {}

    found, terminal = asyncio.run(work()), Terminal.of()
    if output == "text" and not task:
        given.show_outputs(found, terminal)
    elif output == "text" and isinstance(found, str):
        terminal.line(found)
    else:
        show_data(found, "json" if output == "text" else output, terminal)
    return Exit.OK


async def _result(cluster: Cluster, run: WorkflowRun, name: str) -> Any:
    task = next((one for one in run.status.tasks if one.name == name), None)
    if task is None:
        known = ", ".join(one.name for one in run.status.tasks[:20]) or "none"
        raise Failed(f'{run.metadata.name} has no task "{name}"; it has {known}', Exit.GONE)
    if "result" in task.model_fields_set:
        return task.result
    if not task.result_ref:
        raise Failed(f"task {name} has no result on record: it is {task.phase}", Exit.FAILED)
    return await _stored(cluster, task)


async def _stored(cluster: Cluster, task: TaskStatus) -> Any:
    """A large result, out of the ConfigMap that holds it."""
    reference = task.result_ref or ""
    if "://" in reference:
        raise Failed(f"the result of task {task.name} stands in the object store: fetch {reference} from there")
    pack, _, digest = reference.partition("/")
    try:
        held = await cluster.client.get(resources.CONFIG_MAPS, pack, cluster.namespace)
        return packing.unpack(base64.b64decode(held["binaryData"][digest]), digest).result
    except (errors.NotFound, KeyError, packing.Unreadable) as error:
        raise Failed(f"the result of task {task.name} is lost: ConfigMap {pack}: {error}", Exit.GONE) from error


def logs(name: str, access: Access, output: str, lines: int) -> Exit:
    """What the run's pods wrote, the oldest first. Raises Failed."""

    async def work() -> list[str]:
        async with opened(access) as cluster:
            run = await cluster.run(name)
            selector = f"{runjob.RUN_LABEL}={run.metadata.uid}"
            found = sorted(
                await scenes.pods(cluster.client, cluster.namespace, selector),
                key=lambda pod: str(pod["metadata"]["creationTimestamp"]),
            )
            if not found:
                raise Failed(f"{name} has no pod: it is {phases.state(run)}", Exit.GONE)
            return [line for pod in found for line in await scenes.log(cluster.client, pod, "runner", lines)]

    terminal = Terminal.of()
    for line in asyncio.run(work()):
        terminal.line(line if output == "json" else loglines.told(line))
    return Exit.OK
