"""Keeps the store's records of one kind as the cluster has them: a list, then each change. Made by `operator`.

For the children of our objects, which no handler of kopf's is about: what it costs kopf to handle an event, and to
remember its object, is many times what it takes to note one (docs/decisions/0019-children-without-kopf.md).
"""

from __future__ import annotations

import asyncio
import logging

from mcp_orchestrator.cluster import errors, watch
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.cluster.watch import ChangeType
from mcp_orchestrator.controllers.store import Store
from mcp_orchestrator.controllers.sweep import refill

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.1
RETRY_SECONDS = 2.0
SAY_AGAIN_SECONDS = 60.0
"""How often the same trouble is told of, while it lasts."""


class Reflector:
    """The records of one kind, in one namespace or, without one, in all."""

    def __init__(
        self, client: Client, store: Store, resource: Resource, *, namespace: str = "", label_selector: str = ""
    ) -> None:
        self._client = client
        self._store = store
        self._resource = resource
        self._namespace = namespace
        self._label_selector = label_selector
        self._version = ""
        self._said = ("", 0.0)  # the last trouble, and when it was told of

    def __str__(self) -> str:
        return self._resource.plural + (f" in namespace {self._namespace}" if self._namespace else "")

    async def list(self) -> None:
        """Make the store agree with a list. Raises the client's errors."""
        self._version = await refill(
            self._client, self._store, self._resource, self._namespace, label_selector=self._label_selector
        )

    async def run(self) -> None:
        """Take in each change from the list on, for ever; list again when changes may have been missed."""
        while True:
            try:
                if not self._version:
                    await self.list()
                await self._follow()
                await asyncio.sleep(RECONNECT_SECONDS)
            except errors.Expired:
                self._version = ""
            except errors.ApiError as error:
                self._warn(error.message)
                await asyncio.sleep(RETRY_SECONDS)

    def _warn(self, trouble: str) -> None:
        now = asyncio.get_running_loop().time()
        said, at = self._said
        if trouble != said or now - at >= SAY_AGAIN_SECONDS:
            logger.warning("the watch of %s begins again: %s", self, trouble)
            self._said = trouble, now

    async def _follow(self) -> None:
        changes = watch.changes(
            self._client,
            self._resource,
            self._namespace,
            since=self._version,
            label_selector=self._label_selector,
        )
        async for change in changes:
            if change.type == ChangeType.DELETED:
                self._store.gone(self._resource.kind, change.object)
            elif change.type != ChangeType.BOOKMARK:
                self._store.upsert(self._resource.kind, change.object)
            self._version = change.version
