"""Runs on a cluster, made and followed: `run` and `watch`. `control` and `retry` stay with a run by the same means."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import yaml

from mcp_orchestrator import settings
from mcp_orchestrator.api.base import API_VERSION
from mcp_orchestrator.api.reading import read
from mcp_orchestrator.api.workflow import Parameter
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.client import given, orders, phases
from mcp_orchestrator.client.cluster import Access, Cluster, opened, readable
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.client.interrupts import OnInterrupt, heeded
from mcp_orchestrator.client.progress import Progress
from mcp_orchestrator.client.resultsfile import WorkflowResult, counted
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.cluster import errors, following, resources

EXITS = {RunPhase.SUCCEEDED: Exit.OK, RunPhase.FAILED: Exit.FAILED, RunPhase.CANCELLED: Exit.CANCELLED}
STATUS_WORDS = {RunPhase.SUCCEEDED: "completed", RunPhase.CANCELLED: "cancelled"}
"""What workflow_results.json calls how a run ended; anything else is failed."""
_ENDS = {RunPhase.SUCCEEDED: "succeeded", RunPhase.CANCELLED: "was cancelled"}


@dataclass(frozen=True, slots=True)
class Stay:
    """How long a command stays with its run, and what it does there."""

    wait: bool = False
    follow: bool = False
    patience_seconds: int | None = None
    results_directory: str = ""
    on_interrupt: OnInterrupt = OnInterrupt.DETACH


@dataclass(frozen=True, slots=True)
class Order:
    """A run to create, and how long to stay with it."""

    template: str
    parameters: Sequence[str] = ()
    name: str = ""
    timeout_seconds: int | None = None
    idempotency_key: str | None = None
    stay: Stay = field(default_factory=Stay)


def run(order: Order, access: Access, output: str) -> Exit:
    """Create a run, and stay with it if asked to. Raises Failed."""

    async def work() -> Exit:
        async with opened(access) as cluster:
            known = await declared(cluster, order.template)
            made = await create(cluster, order, given.parameters(order.parameters, known))
            return await attend(cluster, made, order.stay, output)

    return asyncio.run(work())


def watch(name: str, access: Access, output: str, patience_seconds: int | None) -> Exit:
    """Follow a run to its end. Raises Failed."""

    async def work() -> Exit:
        async with opened(access) as cluster, heeded(partial(_leave, cluster, name, OnInterrupt.DETACH)):
            return _told(await stay(cluster, name, patience_seconds, show=output == "text"), output, below_tasks=True)

    return asyncio.run(work())


async def attend(cluster: Cluster, made: dict[str, Any], order: Stay, output: str, about: str = "") -> Exit:
    """Stay with a run that was just made, or say how to; `about` goes on from "is created". Raises Failed."""
    name = made["metadata"]["name"]
    if order.follow or order.wait:
        async with heeded(partial(_leave, cluster, name, order.on_interrupt)):
            body = await stay(cluster, name, order.patience_seconds, show=order.follow and output == "text")
        ended = _told(body, output, below_tasks=order.follow)
        if order.results_directory:
            result_of(readable(body)).write(order.results_directory)
        return ended
    if output == "text":
        remedy = f"mcp-orchestrator watch {name} -n {cluster.namespace}"
        Terminal.of().line(f"{name} is created{about}; to follow it: {remedy}")
    else:
        show_data(made, output, Terminal.of())
    return Exit.OK


async def create(cluster: Cluster, order: Order, values: Mapping[str, Any]) -> dict[str, Any]:
    """The run, created. Raises Failed."""
    spec: dict[str, Any] = {"templateRef": {"name": order.template}}
    if values:
        spec["parameters"] = dict(values)
    if order.timeout_seconds:
        spec["timeoutSeconds"] = order.timeout_seconds
    if order.idempotency_key:
        spec["idempotencyKey"] = order.idempotency_key
    name = order.name or f"{order.template[:40].rstrip('-.')}-{secrets.token_hex(3)}"
    metadata = {"name": name, "namespace": cluster.namespace}
    body = {"apiVersion": API_VERSION, "kind": "WorkflowRun", "metadata": metadata, "spec": spec}
    return await created(cluster, body, made_up=not order.name)


async def created(cluster: Cluster, body: dict[str, Any], *, made_up: bool) -> dict[str, Any]:
    """The run, as the API server has it now. Raises Failed if its name is taken, and was not just `made_up`: that is
    nobody else's, so an earlier try to create the run got through unheard.
    """
    try:
        return await cluster.client.create(resources.WORKFLOW_RUNS, body)
    except errors.AlreadyExists as error:
        if made_up:
            return await cluster.body(body["metadata"]["name"])
        raise Failed(f'there is a run "{body["metadata"]["name"]}" already: give another --name') from error


async def declared(cluster: Cluster, name: str) -> tuple[Parameter, ...] | None:
    """The template's parameters; None where it can't be read: the operator says then what is wrong with them."""
    try:
        body = await cluster.client.get(resources.WORKFLOW_TEMPLATES, name, cluster.namespace)
    except errors.NotFound as error:
        raise cluster.no_template(name) from error
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
        status=STATUS_WORDS.get(status.phase or RunPhase.FAILED, "failed"),
        execution_time=status.duration_milliseconds or 0,
        tasks_completed=completed,
        tasks_total=total,
        outputs=status.outputs or {},
        error="" if succeeded else status.message or "",
    )


async def _leave(cluster: Cluster, name: str, on_interrupt: OnInterrupt) -> str:
    """Whoever interrupts the command does not stop the run, unless told to; the last words say which."""
    follow = f"to follow it: mcp-orchestrator watch {name} -n {cluster.namespace}"
    if on_interrupt == OnInterrupt.DETACH:
        return f"{name} goes on; {follow}"
    given = await orders.give(cluster, name, orders.Verb.CANCEL)
    return f"{given.told}; {follow}"


def _told(body: dict[str, Any], output: str, *, below_tasks: bool) -> Exit:
    """Tell how the run ended, `below_tasks` where these were shown before; its exit code."""
    terminal = Terminal.of()
    if output == "text":
        show_end(readable(body), terminal, below_tasks=below_tasks)
    else:
        show_data(body, output, terminal)
    return EXITS.get(RunPhase(body["status"]["phase"]), Exit.FAILED)


async def _to_the_end(cluster: Cluster, name: str, progress: Progress | None, terminal: Terminal) -> dict[str, Any]:
    told = ""
    async for body in _states(cluster, name):
        phase = body.get("status", {}).get("phase", "")
        if progress:
            run = readable(body)
            if (news := _news(run, told)) not in ("", told):
                progress.tell(news)
            told = news
            if run.status.tasks:
                progress.show(run.status.tasks, settings.clock())
        if phase and RunPhase(phase).final:
            return body
    raise Failed(f"{name} was deleted before it ended", Exit.GONE)


def _news(run: WorkflowRun, told: str) -> str:
    """What there is to say of the run besides its tasks; nothing while these tell all."""
    if run.status.phase is None or run.status.phase.final:
        return ""
    if phases.state(run) != RunPhase.RUNNING:
        return phases.sentence(run)
    goes_on = f"{run.metadata.name} goes on"
    return goes_on if "suspended" in told.lower() or told == goes_on else ""


async def _states(cluster: Cluster, name: str) -> AsyncIterator[dict[str, Any]]:
    try:
        async for body in following.states(cluster.client, resources.WORKFLOW_RUNS, name, cluster.namespace):
            yield body
    except errors.NotFound as error:
        raise cluster.no_run(name) from error


def show_end(run: WorkflowRun, terminal: Terminal, *, below_tasks: bool = False) -> None:
    """How the run ended, and what came out of it."""
    status, name = run.status, run.metadata.name
    took = f" in {status.duration}" if status.duration else ""
    head = f"{name} {_ENDS.get(status.phase or RunPhase.FAILED, 'failed')}{took}"
    if below_tasks and status.tasks:
        terminal.line()
    terminal.hanging("", f"{terminal.paint(head, phases.colour(status.phase))}: {status.message}")
    given.show_outputs(status.outputs or {}, terminal)
    if status.outputs_secret:
        terminal.line(f"Sensitive outputs stand in Secret {status.outputs_secret}.")
    if status.phase == RunPhase.CANCELLED:
        terminal.line(f"To run what is left: mcp-orchestrator retry {name} -n {run.metadata.namespace}")
    elif status.phase == RunPhase.FAILED:
        terminal.line(f"Why, and what to do: mcp-orchestrator diagnose {name} -n {run.metadata.namespace}")


def show_data(body: Any, output: str, terminal: Terminal) -> None:
    """The object as JSON, as YAML, or by its name."""
    if output == "yaml":
        terminal.line(yaml.safe_dump(body, sort_keys=False, allow_unicode=True).rstrip("\n"))
    elif output == "name":
        terminal.line(f"workflowrun.mcp-orchestrator.io/{body['metadata']['name']}")
    else:
        terminal.data(body)
