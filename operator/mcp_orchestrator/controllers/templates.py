"""WorkflowTemplate: observe, plan, apply. Called by controllers.reconcile for each key."""

from __future__ import annotations

from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.controllers.writing import Writer
from mcp_orchestrator.planning import templates
from mcp_orchestrator.planning.templates import ObservedTemplate
from mcp_orchestrator.planning.unreadable import plan_unreadable
from mcp_orchestrator.settings import clock


class Templates:
    """The controller of WorkflowTemplates."""

    def __init__(self, *, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    async def reconcile(self, key: Key) -> float | None:
        """Take one look at the template; the next is due when it or a server of it changes."""
        template = self._store.get(key)
        if template is None:
            return None
        if isinstance(template, Unreadable):
            plan = plan_unreadable(template)
        else:
            servers, others = servers_of(self._store, key.namespace), templates_of(self._store, key.namespace)
            plan = templates.plan_template(ObservedTemplate(template, servers, others), clock())
        return await self._writer.write(resources.WORKFLOW_TEMPLATES, key, template.metadata, plan)


def servers_of(store: Store, namespace: str) -> dict[str, MCPServer]:
    """The readable servers of a namespace, by name."""
    found = store.select(records.SERVER, "namespace", namespace)
    return {server.metadata.name: server for server in found if isinstance(server, MCPServer)}


def templates_of(store: Store, namespace: str) -> dict[str, WorkflowTemplate]:
    """The readable templates of a namespace, by name."""
    found = store.select(records.TEMPLATE, "namespace", namespace)
    return {template.metadata.name: template for template in found if isinstance(template, WorkflowTemplate)}
