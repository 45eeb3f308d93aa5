"""WorkflowTemplate: observe, plan, apply. Called by controllers.reconcile for each key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.controllers.writing import Writer
from mcp_orchestrator.planning.children.runjob import SCHEDULE_LABEL
from mcp_orchestrator.planning.plan import Plan
from mcp_orchestrator.planning.templates import decision, schedules
from mcp_orchestrator.planning.templates.decision import ObservedTemplate
from mcp_orchestrator.planning.templates.schedules import Start
from mcp_orchestrator.planning.unreadable import plan_unreadable


class Templates:
    """The controller of WorkflowTemplates. `clock` tells when their schedules are due."""

    def __init__(self, *, client: Client, store: Store, writer: Writer, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._store = store
        self._writer = writer
        self._clock = clock

    async def reconcile(self, key: Key) -> float | None:
        """Take one look at the template; the next is due when it or a server changes, or when a schedule says so."""
        template = self._store.get(key)
        if template is None:
            return None
        if isinstance(template, Unreadable):
            plan = plan_unreadable(template)
        else:
            plan = await self._plan(key, template)
        return await self._writer.write(resources.WORKFLOW_TEMPLATES, key, template.metadata, plan)

    async def _plan(self, key: Key, template: WorkflowTemplate) -> Plan:
        """The plan, once the runs that are due are there: what is written of them must be true."""
        due = schedules.plan_schedules(template, self._clock())
        status, events = {one.name: one for one in due.status}, list(due.events)
        for start in due.starts:
            if why := await self._start(start):
                status[start.schedule] = start.otherwise
                events.append(schedules.not_started(start, why))
        servers, others = servers_of(self._store, key.namespace), templates_of(self._store, key.namespace)
        observed = ObservedTemplate(template, servers, others, tuple(status.values()))
        plan = decision.plan_template(observed, self._clock())
        return replace(plan, events=(*events, *plan.events), wake_at=due.wake_at)

    async def _start(self, start: Start) -> str:
        """Create the run. One that is there already is the same, made before a restart; else, why it can't be made."""
        metadata = start.run["metadata"]
        try:
            await self._client.create(resources.WORKFLOW_RUNS, dict(start.run))
        except errors.AlreadyExists:
            try:
                found = await self._client.get(resources.WORKFLOW_RUNS, metadata["name"], metadata["namespace"])
            except errors.NotFound:
                return ""
            if start.schedule != found["metadata"].get("labels", {}).get(SCHEDULE_LABEL):
                return f"another run has the name {metadata['name']}"
        except (errors.Forbidden, errors.Invalid) as error:
            return error.message
        return ""


def servers_of(store: Store, namespace: str) -> dict[str, MCPServer]:
    """The readable servers of a namespace, by name."""
    found = store.select(records.SERVER, "namespace", namespace)
    return {server.metadata.name: server for server in found if isinstance(server, MCPServer)}


def templates_of(store: Store, namespace: str) -> dict[str, WorkflowTemplate]:
    """The readable templates of a namespace, by name."""
    found = store.select(records.TEMPLATE, "namespace", namespace)
    return {template.metadata.name: template for template in found if isinstance(template, WorkflowTemplate)}
