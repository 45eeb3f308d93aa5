"""The places that a cache can stand in, real ones, as the tests beside it see them: one protocol, two of them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from tests.integration.runner.keyvalue import Server

from mcp_orchestrator.cluster import config, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.runner.cache import clusterstore
from mcp_orchestrator.runner.cache.clusterstore import ClusterStore
from mcp_orchestrator.runner.cache.redisstore import PREFIX, RedisStore
from mcp_orchestrator.runner.cache.sharing import Store


class Place(Protocol):
    """Where answers stand."""

    namespace: str

    def store(self) -> AbstractAsyncContextManager[Store]:
        """A way to it of its own, as each runner has one."""

    async def contents(self) -> dict[str, bytes]:
        """All answers that stand there, by their keys."""

    async def out_of_order(self) -> Place:
        """The same place, with nobody who answers."""


@dataclass(frozen=True)
class Valkey:
    """A server of the test's own."""

    server: Server
    namespace: str

    def store(self) -> RedisStore:
        """A way to it of its own."""
        return RedisStore(self.server.url, self.namespace)

    async def contents(self) -> dict[str, bytes]:
        """All answers that stand there."""
        own = f"{PREFIX}{self.namespace}:"
        return {key.removeprefix(own): value for key, value in (await self.server.contents()).items()}

    async def out_of_order(self) -> Valkey:
        """The same place, with nobody who answers."""
        await self.server.stop()
        return self


@dataclass(frozen=True)
class InCluster:
    """A namespace of the test's own."""

    connection: Connection
    namespace: str

    @asynccontextmanager
    async def store(self) -> AsyncIterator[ClusterStore]:
        """A way to it of its own."""
        async with clusterstore.client(self.connection) as client:
            yield ClusterStore(client, self.namespace, "run")

    async def contents(self) -> dict[str, bytes]:
        """All answers that stand there."""
        async with Client(self.connection) as client:
            found = await client.list_all(resources.CACHED_ANSWERS, self.namespace, convert=dict)
        answers = {one["metadata"]["name"]: one["spec"].get("answer") for one in found.items}
        return {name: base64.b64decode(answer) for name, answer in answers.items() if answer}

    async def out_of_order(self) -> InCluster:
        """The same place, with nobody who answers."""
        return replace(self, connection=config.Connection("http://127.0.0.1:1"))
