"""Looks at what stands around a run that has failed, before that is written down. Called by controllers.runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.cluster import errors, scenes
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.probe import Probe, Unreachable
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.planning.children import manifests
from mcp_orchestrator.planning.diagnosis import pods
from mcp_orchestrator.planning.diagnosis.scene import Object, Question, Scene, ServerScene, is_about
from mcp_orchestrator.planning.runs.observed import ObservedRun

PATIENCE_SECONDS = 3.0
"""How long each part may take: an API server or a gateway that does not answer must not hold up the run's end."""

PODS_ASKED = 2
"""Of a server that is not ready: each may take its time, and they mostly say the same."""


class Scenes:
    """Answers the questions of plans. What can't be had is named in the answer."""

    def __init__(self, client: Client, store: Store, probe: Probe) -> None:
        self._client = client
        self._store = store
        self._probe = probe

    async def look(self, observed: ObservedRun, question: Question) -> Scene:
        """What is there now."""
        run, gaps = observed.run, list[str]()
        namespace, job = run.metadata.namespace, (run.status.job_name or "") if question.pod else ""
        scene = Scene(job=observed.job, pods=observed.pods) if job else Scene()
        if question.server:
            scene = replace(scene, server=await self._server(run, question.server, gaps))
        if job and not scene.pods:
            async with _part("pods of the run", gaps):
                scene = replace(scene, pods=await scenes.pods(self._client, namespace, scenes.of_job(job)))
        async with _part("events", gaps):
            wanted = partial(is_about, job=job, server=question.server)
            scene = replace(scene, warnings=await scenes.warnings(self._client, namespace, wanted))
        return replace(scene, gaps=tuple(gaps))

    async def _server(self, run: WorkflowRun, name: str, gaps: list[str]) -> ServerScene:
        server = self._store.get(Key(records.SERVER, run.metadata.namespace, name))
        if not isinstance(server, MCPServer):
            return ServerScene(name)
        found = ServerScene(name, server)
        async with _part(f"pods of MCPServer {name}", gaps):
            selector = manifests.selector(server)
            found = replace(found, pods=await scenes.pods(self._client, run.metadata.namespace, selector))
        return replace(found, report=await self._report(server, found.pods, gaps))

    async def _report(self, server: MCPServer, found: Iterable[Object], gaps: list[str]) -> GatewayReport | None:
        """What a gateway says: a ready one, else any that answers; nobody misses what a server without pods says."""
        if server.status.ready_replicas:
            async with _part(f"the gateway of MCPServer {server.metadata.name}", gaps):
                return await self._probe.of_service(server)
        for pod in pods.newest_first(found)[:PODS_ASKED]:
            async with _part(f"the gateway of pod {pod['metadata']['name']}", []):
                return await self._probe.of_pod(pod)
        return None


@asynccontextmanager
async def _part(what: str, gaps: list[str]) -> AsyncIterator[None]:
    """A part that may fail without taking the rest with it."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    except TimeoutError:
        gaps.append(f"{what}: no answer within {PATIENCE_SECONDS:.0f} s")
    except (errors.ApiError, Unreachable) as error:
        gaps.append(f"{what}: {error}")
