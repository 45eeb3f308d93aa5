"""Runs, and what they need, put into a namespace of the bench's cluster. Used by scenarios."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from mcp_orchestrator.api.base import OPERATOR_MANAGER
from mcp_orchestrator.api.control import Priority
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.planning.children.runjob import RUN_LABEL

AT_ONCE = 32
PRIORITIES = (Priority.LOW, Priority.MEDIUM, Priority.HIGH)
API_VERSION = resources.WORKFLOW_RUNS.api_version
Json = dict[str, Any]


async def prepare(client: Client, namespace: str) -> None:
    """Create the namespace, a server and a template of one task."""
    await client.create(resources.NAMESPACES, {"metadata": {"name": namespace}})
    stdio = {"image": "time:dev", "command": "mcp-server-time"}
    task = {"name": "now", "server": "time", "tool": "get_current_time", "arguments": {"timezone": "UTC"}}
    await client.create(resources.MCP_SERVERS, an_object("MCPServer", namespace, "time", {"stdio": stdio}))
    template = an_object("WorkflowTemplate", namespace, "clock", {"tasks": [task]})
    await client.create(resources.WORKFLOW_TEMPLATES, template)


def priorities(names: Iterable[str]) -> Mapping[str, Priority]:
    """A priority for each run, mixed."""
    return {name: PRIORITIES[number % 3] for number, name in enumerate(names)}


async def submit(
    client: Client,
    namespace: str,
    names: Iterable[str],
    *,
    per_second: float = 0,
    mixed: Mapping[str, Priority] | None = None,
) -> None:
    """Create runs, as fast as may be or at a steady rate."""
    began = time.monotonic()

    async def one(number: int, name: str) -> None:
        if per_second:
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
        priority = {"priority": mixed[name]} if mixed else {}
        run = an_object("WorkflowRun", namespace, name, {"templateRef": {"name": "clock"}, **priority})
        await client.create(resources.WORKFLOW_RUNS, run)

    at_once = AT_ONCE if not per_second else 4 * AT_ONCE
    await in_parallel((partial(one, number, name) for number, name in enumerate(names)), at_once)


async def finished(client: Client, namespace: str, names: Iterable[str], example: Json) -> None:
    """Create runs that have ended just as the example did, each with its Job."""

    async def one(name: str) -> None:
        run = an_object("WorkflowRun", namespace, name, {"templateRef": {"name": "clock"}})
        made = await client.create(resources.WORKFLOW_RUNS, run)
        status = example["status"] | {"jobName": f"{name}-job"}
        body = {"metadata": {"name": name, "namespace": namespace}, "status": status}
        await client.apply_status(resources.WORKFLOW_RUNS, body, manager=OPERATOR_MANAGER)
        await client.create(resources.JOBS, a_job(made, f"{name}-job", kept=True))

    await in_parallel((partial(one, name) for name in names), AT_ONCE)


def an_object(kind: str, namespace: str, name: str, spec: Json) -> Json:
    """An object of ours."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def a_job(run: Json, name: str, *, kept: bool) -> Json:
    """A Job of a run, for controls and for the past; with `kept`, Kubernetes makes no pod of it."""
    metadata, labels = run["metadata"], {RUN_LABEL: run["metadata"]["uid"]}
    owner = {"apiVersion": API_VERSION, "kind": "WorkflowRun", "name": metadata["name"], "uid": metadata["uid"]}
    pod = {"restartPolicy": "Never", "containers": [{"name": "runner", "image": "x", "args": ["runner"]}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner | {"controller": True}],
        },
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **({"managedBy": "bench.mcp-orchestrator.io/nobody"} if kept else {}),
        },
    }


async def in_parallel(work: Iterator[Callable[[], Awaitable[Any]]], at_once: int) -> None:
    """Do all of it, so much at a time, in order."""

    async def worker() -> None:
        for job in work:
            await job()

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
