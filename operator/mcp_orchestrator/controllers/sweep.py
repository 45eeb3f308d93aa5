"""Lists what kopf watches and makes the store agree: at the start, when kopf lists again, and every ten minutes.

kopf loses the deletions that happen while a watch is down; the sweep finds them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from mcp_orchestrator.cluster import errors
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.store import Store
from mcp_orchestrator.controllers.watching import HANDLED

logger = logging.getLogger(__name__)

EVERY_SECONDS = 600.0
SETTLE_SECONDS = 2.0
"""kopf lists a kind object by object: one sweep follows, when the burst is over."""


class Sweeper:
    """Keeps the store complete. `namespaces` limits it to those; empty means all."""

    def __init__(self, client: Client, store: Store, namespaces: Sequence[str]) -> None:
        self._client = client
        self._store = store
        self._namespaces = tuple(namespaces) or ("",)
        self._relisted: set[Resource] = set()
        self._wake = asyncio.Event()

    def request(self, resource: Resource) -> None:
        """Sweep that kind soon."""
        self._relisted.add(resource)
        self._wake.set()

    async def sweep(self, wanted: Sequence[Resource] = HANDLED) -> None:
        """List the kinds and replace what the store has of them. Raises the client's errors."""
        for resource in wanted:
            for namespace in self._namespaces:
                await refill(self._client, self._store, resource, namespace)

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            wanted: Sequence[Resource] = HANDLED
            try:
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._wake.wait()
                await asyncio.sleep(SETTLE_SECONDS)
                wanted = tuple(self._relisted)
            except TimeoutError:
                pass
            self._wake.clear()
            self._relisted.clear()
            try:
                await self.sweep(wanted)
            except errors.ApiError as error:
                logger.warning("the sweep failed and will be tried again: %s", error.message)
                for resource in wanted:
                    self.request(resource)
                await asyncio.sleep(SETTLE_SECONDS)


async def refill(
    client: Client, store: Store, resource: Resource, namespace: str = "", *, label_selector: str = ""
) -> str:
    """Make the store agree with a list of a kind; the version of the list. Raises the client's errors."""
    found = await client.list_all(
        resource,
        namespace,
        label_selector=label_selector,
        limit=records.PAGE_SIZE,
        convert=partial(store.entry, resource.kind),
    )
    store.replace(resource.kind, found.items, found.resource_version, namespace)
    return found.resource_version
