"""The service account that runners of a namespace use: made before the first run there. Called by controllers.runs."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api.base import OPERATOR_MANAGER
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.planning.children import manifests

RENEW_AFTER = timedelta(minutes=10)
"""How long a namespace's account is trusted to be there still, while no server is deleted there."""


class RunnerAccounts:
    """Applies the service account and its role binding, once in a while for each namespace."""

    def __init__(self, client: Client, store: Store) -> None:
        self._client = client
        self._made: dict[str, datetime] = {}
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        store.listen(self._forget)

    async def ensure(self, namespace: str, now: datetime) -> None:
        """Make the account exist. Raises the client's errors."""
        # Many runs may start at the same time: the first one makes it, the others wait for that.
        async with self._making[namespace]:
            made = self._made.get(namespace)
            if made and now - made < RENEW_AFTER:
                return
            account, binding = manifests.runner_account(namespace)
            await self._client.apply(resources.SERVICE_ACCOUNTS, account, manager=OPERATOR_MANAGER)
            await self._client.apply(resources.ROLE_BINDINGS, binding, manager=OPERATOR_MANAGER)
            self._made[namespace] = now

    def _forget(self, key: Key, old: Any, new: Any) -> None:
        """A namespace that is deleted loses its servers, without which no run starts; it may be made anew."""
        if key.kind == records.SERVER and old and (new is None or new.metadata.uid != old.metadata.uid):
            self._made.pop(key.namespace, None)
