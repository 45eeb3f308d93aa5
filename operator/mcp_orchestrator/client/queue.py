"""The command `queue`: which runs wait, in which order, for what, and until when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import yaml
from pydantic import ValidationError

from mcp_orchestrator import settings
from mcp_orchestrator.api import moments
from mcp_orchestrator.api.limits import Limits
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.client.cluster import Access, Cluster, opened
from mcp_orchestrator.client.exits import Exit
from mcp_orchestrator.client.runs import show_data
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.planning.queue import outlook
from mcp_orchestrator.planning.queue.outlook import Outlook, Place
from mcp_orchestrator.planning.runs import runstatus

HEADS = ("#", "RUN", "TEMPLATE", "PRIORITY", "WAITING", "EXPECTED START", "REASON")
LIMITS_KEY = "limits.yaml"


@dataclass(frozen=True, slots=True)
class Seen:
    """The queue, and what keeps it from being the whole truth."""

    outlook: Outlook
    namespace: str
    """The one that commands work in: their user may name runs of it by the name alone."""
    caveats: tuple[str, ...] = ()


def run(access: Access, output: str, limits: tuple[str, str]) -> Exit:
    """Show the queue. `limits` are namespace and name of the operator's ConfigMap of limits. Raises Failed."""

    async def work() -> Seen:
        async with opened(access) as cluster:
            return await _look(cluster, limits)

    seen, terminal, now = asyncio.run(work()), Terminal.of(), settings.clock()
    places = [place for place in seen.outlook.places if access.namespace in ("", place.run.metadata.namespace)]
    if output != "text":
        show_data(_wire(places, seen, now), output, terminal)
        return Exit.OK
    if places:
        for cells in terminal.aligned([HEADS, *rows(places, seen.namespace, now)]):
            terminal.line("  ".join(cells).rstrip())
    running = f"running {seen.outlook.running}"
    if seen.outlook.limit is not None:
        running += f" of {seen.outlook.limit}"
    terminal.line(f"{running} · {len(places)} waiting")
    for caveat in seen.caveats:
        terminal.line(caveat)
    return Exit.OK


async def _look(cluster: Cluster, limits: tuple[str, str]) -> Seen:
    caveats: list[str] = []
    namespace = ""
    try:
        runs = await _all(cluster, resources.WORKFLOW_RUNS, WorkflowRun, namespace)
    except errors.Forbidden:
        namespace = cluster.namespace
        caveats.append(f"Only namespace {namespace} is shown: you may not list the runs of all of them.")
        runs = await _all(cluster, resources.WORKFLOW_RUNS, WorkflowRun, namespace)
    templates = await _all(cluster, resources.WORKFLOW_TEMPLATES, WorkflowTemplate, namespace)
    servers = await _all(cluster, resources.MCP_SERVERS, MCPServer, namespace)
    found = None if namespace else await _limits(cluster, *limits)
    if found is None and not namespace:
        caveats.append(
            f"No start is expected: the operator's limits can't be read (ConfigMap {limits[1]} in namespace "
            f"{limits[0]}; --limits names another)."
        )
    there = outlook.Cluster(
        tuple(runs),
        {(one.metadata.namespace, one.metadata.name): one for one in templates},
        {(one.metadata.namespace, one.metadata.name): one for one in servers},
        found,
    )
    return Seen(outlook.outlook(there, settings.clock()), cluster.namespace, tuple(caveats))


async def _all(cluster: Cluster, resource: Resource, model: Any, namespace: str) -> list[Any]:
    """All objects of a kind that can be read."""
    found = await cluster.client.list_all(resource, namespace, convert=lambda body: read(model, body))
    return [one for one in found.items if not isinstance(one, Unreadable)]


async def _limits(cluster: Cluster, namespace: str, name: str) -> Limits | None:
    try:
        held = await cluster.client.get(resources.CONFIG_MAPS, name, namespace)
        return Limits.model_validate(yaml.safe_load(held.get("data", {}).get(LIMITS_KEY, "")) or {})
    except (errors.NotFound, errors.Forbidden, ValidationError, yaml.YAMLError):
        return None


def rows(places: list[Place], namespace: str, now: datetime) -> list[tuple[str, ...]]:
    """The table, without its heads. Runs have their namespace before them, unless all are of `namespace`."""
    elsewhere = any(place.run.metadata.namespace != namespace for place in places)
    return [_row(place, now, elsewhere=elsewhere) for place in places]


def _row(place: Place, now: datetime, *, elsewhere: bool) -> tuple[str, ...]:
    metadata, reference = place.run.metadata, place.run.spec.template_ref
    return (
        str(place.position or "-"),
        f"{metadata.namespace}/{metadata.name}" if elsewhere else metadata.name,
        reference.name if reference else "-",
        place.priority,
        runstatus.human(max(timedelta(0), now - (metadata.creation_timestamp or now))),
        expectation(place, now),
        " ".join(place.words.split()),
    )


def expectation(place: Place, now: datetime) -> str:
    """When the run may start, for people."""
    if place.position is None:
        return "when that has come"
    if place.expected_start is None:
        return "not known"
    seconds = round((place.expected_start - now).total_seconds())
    if seconds < 1:
        return "any moment"
    return f"in about {seconds}s" if seconds < 60 else f"in about {runstatus.human(timedelta(seconds=seconds))}"


def _wire(places: list[Place], seen: Seen, now: datetime) -> dict[str, Any]:
    return {
        "running": seen.outlook.running,
        "limit": seen.outlook.limit,
        "waiting": [_place(place, now) for place in places],
        "caveats": list(seen.caveats),
    }


def _place(place: Place, now: datetime) -> dict[str, Any]:
    metadata, reference = place.run.metadata, place.run.spec.template_ref
    waited = now - (metadata.creation_timestamp or now)
    return {
        "position": place.position,
        "namespace": metadata.namespace,
        "run": metadata.name,
        "template": reference.name if reference else None,
        "priority": place.priority,
        "waitingSeconds": max(0, int(waited.total_seconds())),
        "reason": place.reason,
        "message": place.words,
        "expectedStart": moments.written(place.expected_start) if place.expected_start else None,
    }
