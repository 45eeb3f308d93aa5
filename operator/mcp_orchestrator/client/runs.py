"""Runs on a cluster, made and followed: `run` and `watch`."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from mcp_orchestrator import settings
from mcp_orchestrator.api.base import API_VERSION
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import RunPhase, WorkflowRun
from mcp_orchestrator.api.workflowtemplate import Parameter, WorkflowTemplate
from mcp_orchestrator.client import given
from mcp_orchestrator.client.cluster import Access, Cluster, opened
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.client.progress import Progress
from mcp_orchestrator.client.resultsfile import WorkflowResult, counted
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.cluster import errors, following, resources

EXITS = {RunPhase.SUCCEEDED: Exit.OK, RunPhase.FAILED: Exit.FAILED}


@dataclass(frozen=True, slots=True)
class Order:
    """A run to create, and how long to stay with it."""

    template: str
    parameters: Sequence[str] = ()
    name: str = ""
    timeout_seconds: int | None = None
    wait: bool = False
    follow: bool = False
    wait_seconds: int | None = None
    results_directory: str = ""


def run(order: Order, access: Access, output: str) -> Exit:
    """Create a run, and stay with it if asked to. Raises Failed."""
    return asyncio.run(_run(order, access, output))


def watch(name: str, access: Access, output: str, wait_seconds: int | None) -> Exit:
    """Follow a run to its end. Raises Failed."""

    async def work() -> Exit:
        async with opened(access) as cluster:
            with _told_if_left(cluster, name):
                body = await stay(cluster, name, wait_seconds, show=output == "text")
            return _told(body, output)

    return asyncio.run(work())


async def _run(order: Order, access: Access, output: str) -> Exit:
    async with opened(access) as cluster:
        known = await declared(cluster, order.template)
        made = await create(cluster, order, given.parameters(order.parameters, known))
        name = made["metadata"]["name"]
        if order.follow or order.wait:
            with _told_if_left(cluster, name):
                body = await stay(cluster, name, order.wait_seconds, show=order.follow and output == "text")
            if order.results_directory:
                result_of(readable(body)).write(order.results_directory)
            return _told(body, output)
        terminal = Terminal.of()
        if output == "text":
            terminal.line(f"{name} is created; to follow it: mcp-orchestrator watch {name} -n {cluster.namespace}")
        else:
            show_data(made, output, terminal)
        return Exit.OK


async def create(cluster: Cluster, order: Order, values: Mapping[str, Any]) -> dict[str, Any]:
    """The run, created. Raises Failed."""
    spec: dict[str, Any] = {"templateRef": {"name": order.template}}
    if values:
        spec["parameters"] = dict(values)
    if order.timeout_seconds:
        spec["timeoutSeconds"] = order.timeout_seconds
    name = order.name or f"{order.template[:40].rstrip('-.')}-{secrets.token_hex(3)}"
    metadata = {"name": name, "namespace": cluster.namespace}
    body = {"apiVersion": API_VERSION, "kind": "WorkflowRun", "metadata": metadata, "spec": spec}
    try:
        return await cluster.client.create(resources.WORKFLOW_RUNS, body)
    except errors.AlreadyExists as error:
        raise Failed(f'there is a run "{name}" already: give another --name') from error


async def declared(cluster: Cluster, name: str) -> tuple[Parameter, ...] | None:
    """The template's parameters; None where it can't be read: the operator says then what is wrong with them."""
    try:
        body = await cluster.client.get(resources.WORKFLOW_TEMPLATES, name, cluster.namespace)
    except errors.NotFound as error:
        message = f'there is no template "{name}" in namespace {cluster.namespace}'
        raise Failed(f"{message}: kubectl get mtpl -n {cluster.namespace}", Exit.GONE) from error
    except errors.Forbidden:
        return None
    found = read(WorkflowTemplate, body)
    return found.spec.parameters if isinstance(found, WorkflowTemplate) else None


async def stay(cluster: Cluster, name: str, seconds: int | None, *, show: bool) -> dict[str, Any]:
    """The run, once it has ended. Raises Failed if it is gone first, or if the time is over."""
    terminal = Terminal.of()
    try:
        async with asyncio.timeout(seconds):
            return await _to_the_end(cluster, name, Progress(terminal) if show else None, terminal)
    except TimeoutError:
        raise Failed(f"{name} has not ended within {seconds} s, and goes on", Exit.TIMED_OUT) from None


def result_of(run: WorkflowRun) -> WorkflowResult:
    """What became of a run that has ended."""
    status = run.status
    completed, total = counted(status.tasks)
    succeeded = status.phase == RunPhase.SUCCEEDED
    return WorkflowResult(
        run=run.metadata.name,
        workflow=run.spec.template_ref.name if run.spec.template_ref else "",
        status="completed" if succeeded else "failed",
        execution_time=status.duration_milliseconds or 0,
        tasks_completed=completed,
        tasks_total=total,
        outputs=status.outputs or {},
        error="" if succeeded else status.message or "",
    )


@contextmanager
def _told_if_left(cluster: Cluster, name: str) -> Iterator[None]:
    """Whoever interrupts the command does not stop the run, and is told so."""
    try:
        yield
    except asyncio.CancelledError:
        print(f"\n{name} goes on; to follow it: mcp-orchestrator watch {name} -n {cluster.namespace}", file=sys.stderr)
        raise


def _told(body: dict[str, Any], output: str) -> Exit:
    """Tell how the run ended; its exit code."""
    terminal = Terminal.of()
    if output == "text":
        show_end(readable(body), terminal)
    else:
        show_data(body, output, terminal)
    return EXITS.get(RunPhase(body["status"]["phase"]), Exit.FAILED)


async def _to_the_end(cluster: Cluster, name: str, progress: Progress | None, terminal: Terminal) -> dict[str, Any]:
    told = ""
    async for body in _states(cluster, name):
        status = body.get("status", {})
        phase = status.get("phase", "")
        if progress:
            if phase in (RunPhase.PENDING, RunPhase.QUEUED) and status.get("message", "") != told:
                told = status.get("message", "")
                terminal.line(f"{name} is {phase}: {told}")
            if tasks := readable(body).status.tasks:
                progress.show(tasks, settings.clock())
        if phase and RunPhase(phase).final:
            return body
    raise Failed(f"{name} was deleted before it ended", Exit.GONE)


async def _states(cluster: Cluster, name: str) -> AsyncIterator[dict[str, Any]]:
    try:
        async for body in following.states(cluster.client, resources.WORKFLOW_RUNS, name, cluster.namespace):
            yield body
    except errors.NotFound as error:
        raise Failed(f'there is no run "{name}" in namespace {cluster.namespace}', Exit.GONE) from error


def show_end(run: WorkflowRun, terminal: Terminal) -> None:
    """How the run ended, and what came out of it."""
    status, name = run.status, run.metadata.name
    succeeded = status.phase == RunPhase.SUCCEEDED
    took = f" in {status.duration}" if status.duration else ""
    head = f"{name} {'succeeded' if succeeded else 'failed'}{took}"
    terminal.line()
    terminal.hanging("", f"{terminal.paint(head, 'green' if succeeded else 'red')}: {status.message}")
    given.show_outputs(status.outputs or {}, terminal)
    if status.outputs_secret:
        terminal.line(f"Sensitive outputs stand in Secret {status.outputs_secret}.")
    if not succeeded:
        terminal.line(f"Why, and what to do: mcp-orchestrator diagnose {name} -n {run.metadata.namespace}")


def readable(body: dict[str, Any]) -> WorkflowRun:
    """The run that the API server gave. Raises Failed."""
    found = read(WorkflowRun, body)
    if isinstance(found, Unreadable):
        raise Failed(f"the run can't be read: {found.message}")
    return found


def show_data(body: Any, output: str, terminal: Terminal) -> None:
    """The object as JSON, as YAML, or by its name."""
    if output == "yaml":
        terminal.line(yaml.safe_dump(body, sort_keys=False, allow_unicode=True).rstrip("\n"))
    elif output == "name":
        terminal.line(f"workflowrun.mcp-orchestrator.io/{body['metadata']['name']}")
    else:
        terminal.data(body)
