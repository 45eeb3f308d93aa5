"""The cache's store in a real cluster: what is its own, beside test_cache.py."""

from __future__ import annotations

import base64
import gzip
import itertools
import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.builders import a_spec, a_task
from tests.objects import an_object
from tests.quotas import RESOURCE_QUOTAS, a_quota
from tests.unit.runner.scripted_tools import Records, ScriptedTools, after, servers
from tests.waiting import eventually

from mcp_orchestrator import settings
from mcp_orchestrator.api.cache import CacheUse, TaskCache
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.runner.cache import clusterstore
from mcp_orchestrator.runner.cache.clusterstore import ClusterStore
from mcp_orchestrator.runner.cache.sharing import Cache, StoreFailed
from mcp_orchestrator.runner.engine import execute

KEY = "1" * 64


@pytest.fixture
def store(client: Client, namespace: str) -> ClusterStore:
    return ClusterStore(client, namespace, "run")


async def a_run(store: ClusterStore, result: Any = "fresh") -> Records:
    """An engine with one task."""
    workflow = a_spec(a_task("a", cache=TaskCache(ttl_seconds=60)))
    records, around = Records(), execute.Surroundings(servers(workflow))
    tools = ScriptedTools({"a": after(0, result)})
    cache = Cache(store, "default")
    await execute.execute(workflow, {}, around, tools, records, timeout_seconds=60, cache=cache)
    return records


def use(records: Records) -> CacheUse | None:
    return records.last("a").cache


async def the_answer(client: Client, namespace: str) -> dict[str, Any]:
    """The namespace's only CachedAnswer."""
    (found,) = (await client.list_all(resources.CACHED_ANSWERS, namespace, convert=dict)).items
    return found


async def write(client: Client, namespace: str, name: str, **spec: Any) -> None:
    """Write a CachedAnswer's spec as somebody else."""
    body = an_object("CachedAnswer", name, spec, namespace)
    await client.apply(resources.CACHED_ANSWERS, body, manager="somebody")


def in_an_hour() -> str:
    return (settings.clock() + timedelta(hours=1)).isoformat()


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param({"answer": "no base64!"}, id="no base64"),
        pytest.param({"answer": base64.b64encode(b"hello").decode()}, id="no gzip"),
        pytest.param({"answer": base64.b64encode(gzip.compress(b"[1]")).decode()}, id="no answer"),
        pytest.param({"answer": base64.b64encode(gzip.compress(bytes(2**26))).decode()}, id="a bomb"),
        pytest.param({"answer": "", "caller": "", "until": "9999-12-31T23:59:59Z"}, id="a call without end"),
        pytest.param({"until": "1970-01-01T00:00:00Z"}, id="long over"),
    ],
)
async def test_what_others_wrote_is_a_miss_and_gives_way_to_an_answer(
    client: Client, namespace: str, store: ClusterStore, foreign: dict[str, str]
) -> None:
    await a_run(store)
    name = (await the_answer(client, namespace))["metadata"]["name"]
    await write(client, namespace, name, **{"until": in_an_hour(), "answer": "", **foreign})
    assert use(await a_run(store)) == CacheUse.MISS
    assert use(await a_run(store)) == CacheUse.HIT


async def test_an_answer_tells_whose_it_is_and_until_when_it_stands(
    client: Client, namespace: str, store: ClusterStore
) -> None:
    await a_run(store)
    spec = (await the_answer(client, namespace))["spec"]
    left = datetime.fromisoformat(spec["until"]) - settings.clock()
    assert spec["caller"] == "run"
    assert timedelta(0) < left <= timedelta(seconds=60)


async def test_an_answer_that_is_too_large_is_not_kept_and_its_lock_is_given_back(
    client: Client, namespace: str, store: ClusterStore
) -> None:
    result = os.urandom(store.most_bytes).hex()
    assert use(await a_run(store, result)) == CacheUse.MISS
    assert (await the_answer(client, namespace))["spec"]["answer"] == ""
    assert use(await a_run(store, "small")) == CacheUse.MISS
    assert use(await a_run(store)) == CacheUse.HIT


async def test_a_lock_that_was_deleted_meanwhile_does_no_harm(
    client: Client, namespace: str, store: ClusterStore
) -> None:
    unlock = await store.lock(KEY, 30)
    assert unlock
    await client.delete(resources.CACHED_ANSWERS, KEY, namespace)
    await unlock()
    assert await store.lock(KEY, 30)


@pytest.mark.parametrize("deleted", [False, True])
async def test_of_two_that_saw_the_same_end_one_takes_over(client: Client, namespace: str, deleted: bool) -> None:
    await write(client, namespace, KEY, until="1970-01-01T00:00:00Z")
    one, other = (ClusterStore(client, namespace, name) for name in ("one", "other"))
    assert [await one.get(KEY), await other.get(KEY)] == [None, None]
    if deleted:
        await client.delete(resources.CACHED_ANSWERS, KEY, namespace)
    assert await one.lock(KEY, 30)
    assert await other.lock(KEY, 30) is None


class Forgetful(Client):
    """The first try of each write is carried out, its answer is lost, and the second one is told so."""

    async def create(self, resource: resources.Resource, body: dict[str, Any]) -> dict[str, Any]:
        await super().create(resource, body)
        return await super().create(resource, body)

    async def apply(self, resource: resources.Resource, body: dict[str, Any], **options: Any) -> dict[str, Any]:
        await super().apply(resource, body, **options)
        return await super().apply(resource, body, **options)


async def test_a_lock_is_known_again_when_the_answer_to_its_writing_was_lost(client: Client, namespace: str) -> None:
    async with Forgetful(client.connection) as forgetful:
        store = ClusterStore(forgetful, namespace, "run")
        unlock = await store.lock(KEY, 30)
        assert unlock
        await unlock()
        assert await store.lock(KEY, 30)


async def test_a_namespace_that_is_full_says_so(client: Client, namespace: str, store: ClusterStore) -> None:
    quota = a_quota("answers", namespace, "cachedanswers.mcp-orchestrator.io")
    await client.create(RESOURCE_QUOTAS, quota)
    numbers = itertools.count()

    async def refusal() -> str:
        try:
            await store.put(f"{next(numbers):064}", b"x", 60)
        except StoreFailed as failed:
            return str(failed)
        return ""

    assert "quota" in await eventually("a refusal: the API server takes a moment to know the quota", refusal)


async def test_a_store_that_may_not_be_used_says_what_to_do(client: Client, namespace: str) -> None:
    stranger = replace(client.connection, headers={"Impersonate-User": "stranger"})
    async with clusterstore.client(stranger) as without_rights:
        store = ClusterStore(without_rights, namespace, "run")
        with pytest.raises(StoreFailed, match=r"cannot get resource .* check the rights of the service account"):
            await store.get(KEY)
