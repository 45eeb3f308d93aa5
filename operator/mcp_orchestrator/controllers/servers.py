"""MCPServer: observe, plan, apply. Called by controllers.reconcile for each key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable
from mcp_orchestrator.cluster import errors, resources, scenes
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.children import Children, DyingObject, ForeignObject
from mcp_orchestrator.controllers.probe import Probe, Unreachable
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.controllers.writing import Writer
from mcp_orchestrator.planning.children import manifests
from mcp_orchestrator.planning.diagnosis import pods
from mcp_orchestrator.planning.plan import Plan
from mcp_orchestrator.planning.servers import decision
from mcp_orchestrator.planning.servers.decision import ObservedServer
from mcp_orchestrator.planning.unreadable import plan_unreadable
from mcp_orchestrator.settings import Settings, clock

DYING_SECONDS = 1.0


class Servers:
    """The controller of MCPServers."""

    def __init__(
        self, *, client: Client, store: Store, children: Children, probe: Probe, writer: Writer, settings: Settings
    ) -> None:
        self._client = client
        self._store = store
        self._children = children
        self._probe = probe
        self._writer = writer
        self._settings = settings

    async def reconcile(self, key: Key) -> float | None:
        """Take one look at the server; seconds until the next, None for when something changes."""
        server = self._store.get(key)
        if server is None:
            for kind in (records.DEPLOYMENT, records.SERVICE):
                self._children.forget(key._replace(kind=kind))
            return None
        if isinstance(server, Unreadable):
            plan = plan_unreadable(server)
            return await self._writer.write(resources.MCP_SERVERS, key, server.metadata, plan)
        observed = await self._observe(key, server)
        plan = decision.plan_server(observed, self._settings, clock())
        try:
            await self._apply(plan)
        except DyingObject:
            return DYING_SECONDS
        except ForeignObject as error:
            plan = self._again(observed, conflict=str(error))
        except errors.Invalid as error:
            plan = self._again(observed, mistake=error.message)
        return await self._writer.write(resources.MCP_SERVERS, key, server.metadata, plan)

    async def _apply(self, plan: Plan) -> None:
        for child in plan.children:
            await self._children.apply(child)

    def _again(self, observed: ObservedServer, conflict: str = "", mistake: str = "") -> Plan:
        """The plan in the light of what the API server said to the first one."""
        return decision.plan_server(replace(observed, conflict=conflict, mistake=mistake), self._settings, clock())

    async def _observe(self, key: Key, server: MCPServer) -> ObservedServer:
        deployment = self._owned(key._replace(kind=records.DEPLOYMENT), server)
        observed = ObservedServer(server=server, deployment=deployment)
        if (deployment or {}).get("status", {}).get("readyReplicas"):
            try:
                observed = replace(observed, report=await self._probe.of_service(server))
                if not decision.is_rolling_out(deployment):
                    return observed
            except Unreachable as error:
                observed = replace(observed, unreachable=str(error))
        if deployment is None:
            return observed
        return await self._look_at_pods(observed)

    async def _look_at_pods(self, observed: ObservedServer) -> ObservedServer:
        server = observed.server
        found = await scenes.pods(self._client, server.metadata.namespace, manifests.selector(server))
        alive = tuple(pod for pod in found if not pod["metadata"].get("deletionTimestamp"))
        observed = replace(observed, pods=alive)
        if observed.unreachable or observed.report:
            return observed
        for pod in pods.newest_first(alive):
            try:
                return replace(observed, report=await self._probe.of_pod(pod))
            except Unreachable:
                continue
        return observed

    def _owned(self, key: Key, server: MCPServer) -> dict[str, Any] | None:
        record: dict[str, Any] | None = self._store.get(key)
        return record if record and records.owner_uid(record) == server.metadata.uid else None
