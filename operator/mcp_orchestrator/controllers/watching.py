"""kopf: watches our kinds, and puts what it sees into the store. Decides nothing. Their children: see `reflector`.

Only event handlers: they write nothing on users' objects, neither annotations nor finalizers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import kopf

from mcp_orchestrator.api.base import GROUP
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.store import Key, Store

HANDLED = (resources.MCP_SERVERS, resources.WORKFLOW_TEMPLATES, resources.WORKFLOW_RUNS)
"""What kopf watches."""


class NullDiffBase(kopf.DiffBaseStorage):
    """Keeps no last-seen state: only handlers of changes would need it, and there are none."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None, **_: Any) -> Any:
        """Nothing to compare."""
        return {}

    def fetch(self, *, body: kopf.Body) -> Any:
        """Nothing was kept."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        """Nothing to keep."""


def settings() -> kopf.OperatorSettings:
    """kopf tuned for many objects: small pages, no lingering tasks, no writes of its own."""
    tuned = kopf.OperatorSettings()
    tuned.scanning.disabled = True
    tuned.posting.enabled = False
    tuned.peering.standalone = True
    tuned.watching.chunk_size = records.PAGE_SIZE
    tuned.watching.connect_timeout = 5
    # For so long kopf holds on to an object that nothing happens to any more: at the start that is to all of them.
    tuned.queueing.idle_timeout = 0.1
    tuned.networking.request_timeout = 30
    tuned.networking.connect_timeout = 5
    tuned.persistence.diffbase_storage = NullDiffBase()
    tuned.persistence.finalizer = f"{GROUP}/unused"
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return tuned


def registry(connection: Connection, store: Store, relisted: Callable[[Resource], None]) -> kopf.OperatorRegistry:
    """The handlers. `relisted` is called for a kind that kopf lists again, since kopf then loses deletions."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            server=connection.server,
            # As many as there are watches, of three kinds in each namespace: kopf asks for nothing else.
            aiohttp_session=connection.new_session(limit=0),
            default_namespace=connection.namespace,
        )

    for resource in HANDLED:
        _register(handlers, resource, store, relisted)
    return handlers


def _register(
    handlers: kopf.OperatorRegistry, resource: Resource, store: Store, relisted: Callable[[Resource], None]
) -> None:
    async def seen(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's own name
        found = dict(body)
        if type == "DELETED":
            store.gone(resource.kind, found)
            return
        metadata = found["metadata"]
        key = Key(resource.kind, metadata.get("namespace", ""), metadata["name"])
        if type is None and store.uid(key) == metadata["uid"]:
            relisted(resource)
        store.upsert(resource.kind, found)

    kopf.on.event(resource.group, resource.version, resource.plural, registry=handlers, id="seen")(seen)
