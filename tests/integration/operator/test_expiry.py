"""Cached answers on a real API server: the operator deletes those that are over, and the oldest of too many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from mcp_orchestrator.api.base import RUNNER_MANAGER
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers.expiry import of_answers
from mcp_orchestrator.runner.cache.clusterstore import ClusterStore
from tests.integration.operator.conftest import World
from tests.objects import an_object
from tests.waiting import eventually

OVER, FOREVER = "1970-01-01T00:00:00Z", "9999-01-01T00:00:00Z"


def key(number: int) -> str:
    return f"{number:064}"


async def write(client: Client, namespace: str, number: int, until: str) -> None:
    body = an_object("CachedAnswer", key(number), {"until": until, "caller": "r", "answer": ""}, namespace)
    await client.apply(resources.CACHED_ANSWERS, body, manager=RUNNER_MANAGER)


async def numbers(client: Client, namespace: str) -> Sequence[int]:
    """Which ones are there."""
    found = await client.list_all(resources.CACHED_ANSWERS, namespace, convert=lambda one: int(one["metadata"]["name"]))
    return found.items


async def test_an_operator_deletes_what_is_over_and_leaves_what_stands(world: World) -> None:
    client, namespace = world.client, world.namespace
    store = ClusterStore(client, namespace, "run")
    await write(client, namespace, 1, OVER)
    await write(client, namespace, 2, FOREVER)
    await store.put(key(3), b"answer", 3600)
    assert await store.lock(key(4), 3600)

    async def tidy() -> bool:
        return await numbers(client, namespace) == [3, 4]

    async with world.operator():
        await eventually("only what stands is left", tidy)


async def test_a_replica_deletes_nothing_before_it_leads(world: World) -> None:
    await write(world.client, world.namespace, 1, OVER)
    leading = asyncio.Event()
    running = asyncio.create_task(of_answers(world.client, (world.namespace,), 5).run(leading))

    async def gone() -> bool:
        return await numbers(world.client, world.namespace) == []

    await world.never("deleted", gone)
    leading.set()
    await eventually("deleted", gone)
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.parametrize(("most", "left"), [(5, [1, 2, 3]), (2, [2, 3]), (0, [])])
async def test_of_too_many_the_oldest_go(world: World, most: int, left: list[int]) -> None:
    store = ClusterStore(world.client, world.namespace, "run")
    for number in (1, 2, 3):
        # Made within one second they are told apart by their names.
        await store.put(key(number), b"x" * store.most_bytes, 3600)
    await of_answers(world.client, (world.namespace,), most).tidy()
    assert await numbers(world.client, world.namespace) == left


async def test_what_is_written_while_the_operator_looks_is_not_deleted(world: World) -> None:
    class Slow(Client):
        """Lists, and tells of it only when a runner has taken over."""

        async def list_all(self, *arguments: Any, **options: Any) -> Any:
            found = await super().list_all(*arguments, **options)
            await write(world.client, world.namespace, 2, FOREVER)
            return found

    for number in (1, 2):
        await write(world.client, world.namespace, number, OVER)
    async with Slow(world.connection) as slow:
        await of_answers(slow, (world.namespace,), 5).tidy()
    assert await numbers(world.client, world.namespace) == [2]
