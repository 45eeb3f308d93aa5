"""`mcp-orchestrator diagnose RUN`: why a run failed, what was seen then and what is there now, and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from mcp_orchestrator import settings
from mcp_orchestrator.api.diagnosis import Diagnosis, Evidence
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase
from mcp_orchestrator.client import loglines, phases
from mcp_orchestrator.client.cluster import Access, Cluster, opened
from mcp_orchestrator.client.exits import Exit
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.cluster import errors, resources, scenes
from mcp_orchestrator.planning.children import manifests
from mcp_orchestrator.planning.diagnosis import advice, evidence, failures, pods
from mcp_orchestrator.planning.diagnosis.scene import Object, Scene, ServerScene, is_about
from mcp_orchestrator.planning.runs import runstatus

LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Found:
    """A run, and what is around it now."""

    run: WorkflowRun
    now: tuple[Evidence, ...] = ()
    """What is not on record yet."""

    @property
    def summary(self) -> str:
        """What happened, in a sentence."""
        status, name = self.run.status, self.run.metadata.name
        match status.phase:
            case RunPhase.FAILED:
                return f"{name} failed: {status.diagnosis.summary if status.diagnosis else status.message}"
            case RunPhase.SUCCEEDED:
                return f"{name} succeeded: there is nothing to diagnose."
            case None:
                return f"{name} was not looked at yet: is the operator running?"
            case RunPhase.CANCELLED:
                return f"{name} was cancelled: {status.message}"
        return phases.sentence(self.run)

    @property
    def recommendations(self) -> tuple[str, ...]:
        """What to do: as it is on record, or what helps a run that waits, or lets one go on which was stopped."""
        status, verb = self.run.status, {RunPhase.CANCELLED: "retry", RunPhase.SUSPENDED: "resume"}
        if status.diagnosis:
            return status.diagnosis.recommendations
        if status.phase not in verb:
            return failures.while_waiting(self.run)
        metadata = self.run.metadata
        return (f"To let it go on: mcp-orchestrator {verb[status.phase]} {metadata.name} -n {metadata.namespace}",)

    def wire(self) -> dict[str, Any]:
        """All of it as JSON."""
        status = self.run.status
        found: Any = status.diagnosis.wire() if status.diagnosis else {}
        return {
            "run": self.run.metadata.name,
            "namespace": self.run.metadata.namespace,
            "phase": status.phase,
            "summary": self.summary,
            **{name: found[name] for name in ("class", "task", "evidence") if name in found},
            **({"recommendations": self.recommendations} if self.recommendations else {}),
            "now": [piece.wire() for piece in self.now],
        }


def run(name: str, access: Access, output: str) -> Exit:
    """The command. Raises Failed."""
    found = asyncio.run(_find(name, access))
    terminal = Terminal.of()
    if output == "json":
        terminal.data(found.wire())
    else:
        show(found, terminal)
    return Exit.OK


def show(found: Found, terminal: Terminal) -> None:
    """Print it for a person."""
    status = found.run.status
    head, _, rest = found.summary.partition(": ")
    terminal.hanging("", f"{terminal.paint(head, phases.colour(status.phase))}: {rest}" if rest else head)
    recorded = status.diagnosis or Diagnosis(class_="", summary="")
    _section("Evidence", recorded.evidence, terminal)
    _section("Still there now", found.now, terminal)
    if found.recommendations:
        terminal.line(f"\n{terminal.paint('What to do', 'bold')}")
        for number, step in enumerate(found.recommendations, 1):
            terminal.hanging(f"  {number}. ", step)


def _section(title: str, pieces: tuple[Evidence, ...], terminal: Terminal) -> None:
    if not pieces:
        return
    terminal.line(f"\n{terminal.paint(title, 'bold')}")
    for piece in pieces:
        time = f"{piece.time:%H:%M:%S}" if piece.time else " " * 8
        apart = "\n  " if "\n" in piece.message else " "
        told = piece.message.replace("\n", "\n  ") if apart != " " else piece.message
        terminal.hanging(f"  {time}  ", f"{piece.source}:{apart}{told}")


async def _find(name: str, access: Access) -> Found:
    async with opened(access) as cluster:
        run = await cluster.run(name)
        if run.status.phase in (RunPhase.SUCCEEDED, RunPhase.CANCELLED):
            return Found(run)
        scene = await _look(cluster, run)
        gathered = [*evidence.gather(run, (), scene), *await _secrets(cluster, scene.server)]
        known = run.status.diagnosis.evidence if run.status.diagnosis else ()
        told = {(piece.source, piece.message) for piece in known}
        return Found(run, tuple(piece for piece in gathered if (piece.source, piece.message) not in told))


async def _look(cluster: Cluster, run: WorkflowRun) -> Scene:
    """What is there now, as far as whoever asks may see it."""
    job, name, gaps = run.status.job_name or "", _server_of(run), list[str]()
    scene = Scene()
    if name:
        scene = replace(scene, server=await _server(cluster, name, gaps))
    with _noting(gaps, "events"):
        wanted = partial(is_about, job=job, server=name)
        scene = replace(scene, warnings=await scenes.warnings(cluster.client, cluster.namespace, wanted))
    if job:
        with _noting(gaps, "the run's pods"):
            scene = replace(scene, pods=await scenes.pods(cluster.client, cluster.namespace, scenes.of_job(job)))
        with suppress(errors.ApiError):
            scene = replace(scene, job=await cluster.client.get(resources.JOBS, job, cluster.namespace))
    return replace(scene, gaps=tuple(gaps))


def _server_of(run: WorkflowRun) -> str:
    """The server that the failed task calls; empty if there is none."""
    found, template = run.status.diagnosis, run.status.template
    task = failures.task_of(found.task, template) if found and found.task and template else None
    return (task.server or "") if task else ""


async def _server(cluster: Cluster, name: str, gaps: list[str]) -> ServerScene:
    scene = ServerScene(name)
    with _noting(gaps, f"MCPServer {name}"), suppress(errors.NotFound):
        server = read(MCPServer, await cluster.client.get(resources.MCP_SERVERS, name, cluster.namespace))
        if not isinstance(server, MCPServer):
            return scene
        scene = replace(scene, server=server)
        found = await scenes.pods(cluster.client, cluster.namespace, manifests.selector(server))
        scene = replace(scene, pods=found)
        for pod in pods.newest_first(found)[:1]:
            container = "server" if server.spec.http else "gateway"
            lines = await scenes.log(cluster.client, pod, container, LOG_LINES)
            scene = replace(scene, log="\n".join(map(loglines.said, lines)))
    return scene


async def _secrets(cluster: Cluster, found: ServerScene | None) -> list[Evidence]:
    """Whether the Secrets that the server names are there, and how old they are; never what they hold."""
    pieces = []
    for ref in advice.secret_refs(found.server if found else None):
        try:
            held = await cluster.client.get(resources.SECRETS, ref.name, cluster.namespace)
        except errors.NotFound:
            words = "there is no such Secret"
        except errors.Forbidden:
            words = "you may not read it, so its age is not known"
        else:
            there = ref.key in (held.get("data") or {})
            words = f"key {ref.key} is {'there' if there else 'missing'}, last changed {_age(held)} ago"
        pieces.append(Evidence(source=f"Secret {ref.name}", message=words))
    return pieces


def _age(held: Object) -> str:
    metadata = held["metadata"]
    times = [entry.get("time") for entry in metadata.get("managedFields", ())] + [metadata["creationTimestamp"]]
    last = max(datetime.fromisoformat(time) for time in times if time)
    return runstatus.human(settings.clock() - last)


@contextmanager
def _noting(gaps: list[str], what: str) -> Iterator[None]:
    """A part that may be missing without taking the rest with it."""
    try:
        yield
    except errors.ApiError as error:
        gaps.append(f"{what}: {error}")
