"""Writes what a plan says about an object itself: its status first, then the events. Called by all controllers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from mcp_orchestrator import settings
from mcp_orchestrator.api.base import OPERATOR_MANAGER, ObjectMeta
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.events import Recorder
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.planning.plan import Plan

logger = logging.getLogger(__name__)


class Writer:
    """Applies statuses by server-side apply, and lets events follow those that were accepted."""

    def __init__(
        self, client: Client, store: Store, recorder: Recorder, clock: Callable[[], datetime] = settings.clock
    ) -> None:
        self._client = client
        self._store = store
        self._recorder = recorder
        self._clock = clock

    async def write(self, resource: Resource, key: Key, metadata: ObjectMeta, plan: Plan) -> float | None:
        """Write the status, if the plan has one; returns the seconds until plan.wake_at.

        The status is tied to the version of the object that the plan was made from: raises errors.Conflict if somebody
        was faster.
        """
        if plan.status is not None:
            body = {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {"name": key.name, "namespace": key.namespace},
                "status": dict(plan.status),
            }
            version = metadata.resource_version
            made = await self._client.apply_status(resource, body, manager=OPERATOR_MANAGER, resource_version=version)
            self._store.upsert(key.kind, made)
        self.tell(resource, key, metadata, plan)
        return max(0.0, (plan.wake_at - self._clock()).total_seconds()) if plan.wake_at else None

    def tell(self, resource: Resource, key: Key, metadata: ObjectMeta, plan: Plan) -> None:
        """Hand the plan's events to the recorder."""
        regarding = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": metadata.uid},
        }
        for event in plan.events:
            told = {"kind": key.kind, "namespace": key.namespace, "object_name": key.name, "uid": metadata.uid}
            trace = plan.status.get("traceparent", "") if plan.status else ""
            logger.info("%s: %s", event.reason, event.note, extra=told | ({"trace_id": trace[3:35]} if trace else {}))
            self._recorder.emit(
                regarding, type=str(event.type), reason=event.reason, action=event.action, note=event.note
            )
