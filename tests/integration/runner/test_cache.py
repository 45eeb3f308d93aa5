"""The cache in a real Valkey server, and in a real cluster: what both stores do, by themselves and for many engines."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.builders import a_spec, a_task
from tests.integration.runner import keyvalue
from tests.integration.runner.cachestores import InCluster, Place, Valkey
from tests.unit.runner.scripted_tools import Records, ScriptedTools, after, failing, in_turn, servers
from tests.waiting import PATIENCE_SECONDS, eventually

from mcp_orchestrator.api.cache import CacheUse, TaskCache
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.runner.cache import clusterstore, redisstore
from mcp_orchestrator.runner.cache.sealing import Seal
from mcp_orchestrator.runner.cache.sharing import Cache
from mcp_orchestrator.runner.engine import execute

RUNS = 50
SECRET = b"the key of the cache"
KEY, OTHER_KEY = "1" * 64, "2" * 64


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a machine on which fifty at once take longer than a run waits for one."""
    for module in (clusterstore, redisstore):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", PATIENCE_SECONDS)


@pytest_asyncio.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    async with keyvalue.serving(tmp_path) as server:
        yield Valkey(server, "n")


@pytest.fixture
def in_cluster(connection: Connection, namespace: str) -> InCluster:
    return InCluster(connection, namespace)


@pytest.fixture(params=["valkey", "in_cluster"])
def place(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


async def a_run(
    place: Place, tools: ScriptedTools, secret: bytes = b"", *, refresh: bool = False, **arguments: Any
) -> Records:
    """A whole engine with a store of its own, as a runner has."""
    workflow = a_spec(a_task("a", cache=TaskCache(ttl_seconds=3600), arguments=arguments))
    records = Records(secret=secret)
    async with place.store() as store:
        await execute.execute(
            workflow,
            {},
            execute.Surroundings(servers(workflow)),
            tools,
            records,
            timeout_seconds=600,
            cache=Cache(store, place.namespace, SECRET, refresh=refresh),
        )
    return records


def uses(runs: list[Records]) -> list[CacheUse | None]:
    return sorted((run.last("a").cache for run in runs), key=str)


async def test_fifty_runs_that_ask_the_same_at_once_make_one_call(place: Place) -> None:
    tools = ScriptedTools({"a": after(0.3, {"n": 1})})
    runs = await asyncio.gather(*(a_run(place, tools) for _ in range(RUNS)))
    assert len(tools.calls) == 1
    assert uses(runs) == [CacheUse.HIT] * (RUNS - 1) + [CacheUse.MISS]
    assert all(run.last("a").answer.result == {"n": 1} for run in runs)  # type: ignore[union-attr]


async def test_runs_that_refresh_at_once_all_call_and_one_answer_stays(place: Place) -> None:
    tools = ScriptedTools({"a": after(0, {"n": 1})})
    runs = await asyncio.gather(*(a_run(place, tools, refresh=True) for _ in range(RUNS)))
    assert (len(tools.calls), uses(runs)) == (RUNS, [CacheUse.REFRESHED] * RUNS)
    assert len(await place.contents()) == 1


async def test_of_two_runs_the_second_calls_if_the_first_fails(place: Place) -> None:
    tools = ScriptedTools({"a": failing(0.2)})
    await asyncio.gather(*(a_run(place, tools) for _ in range(2)))
    assert len(tools.calls) == 2
    assert tools.most == 1
    assert await place.contents() == {}


async def test_no_secret_gets_into_the_store_and_what_does_can_be_read_with_the_key_alone(place: Place) -> None:
    tools = ScriptedTools({"a": in_turn(after(0, "harmless"), after(0, "it was s3cret"))})
    told = await a_run(place, tools, secret=b"s3cret", token="s3cret")  # noqa: S106 - the test's own
    repeated = await a_run(place, tools, secret=b"s3cret")
    assert uses([told, repeated]) == [CacheUse.MISS, CacheUse.MISS]
    ((key, data),) = (await place.contents()).items()
    found = Seal(SECRET).open(key, data)
    assert found
    assert found.result == "harmless"
    assert Seal().open(key, data) is None


async def test_a_run_goes_on_without_a_store(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    records = await a_run(await place.out_of_order(), tools := ScriptedTools({"a": after(0, 1)}))
    assert (len(tools.calls), records.last("a").cache) == (1, None)
    assert "the cache is left alone for 30 s: " in caplog.text
    assert keyvalue.PASSWORD not in caplog.text


async def test_a_value_stands_until_its_end(place: Place) -> None:
    async with place.store() as store:
        await store.put(KEY, b"value", 3)
        assert await store.get(KEY) == b"value"

        async def over() -> bool:
            return await store.get(KEY) is None

        await eventually("the end of the value", over)


async def test_a_value_of_any_allowed_size_comes_back_as_it_was_and_a_later_one_takes_its_place(place: Place) -> None:
    async with place.store() as store:
        for value in (os.urandom(store.most_bytes), b"\x00"):
            await store.put(KEY, value, 60)
            assert await store.get(KEY) == value


async def test_a_value_that_is_over_gives_way_to_a_lock_and_to_the_next_value(place: Place) -> None:
    async with place.store() as store:
        await store.put(KEY, b"old", 1)

        async def over() -> bool:
            return await store.get(KEY) is None

        await eventually("the end of the value", over)
        assert await store.lock(KEY, 30)
        assert await store.get(KEY) is None
        await store.put(KEY, b"new", 60)
        assert await store.get(KEY) == b"new"


async def test_a_lock_is_one_holders_until_it_is_given_back(place: Place) -> None:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(place.store()) for _ in range(2)]
        unlock = await one.lock(KEY, 30)
        assert unlock
        assert await other.lock(KEY, 30) is None
        assert await other.lock(OTHER_KEY, 30) is not None
        await unlock()
        assert await other.lock(KEY, 30) is not None


async def test_a_lock_that_is_over_is_not_taken_from_the_next_one(place: Place) -> None:
    async with AsyncExitStack() as stack:
        one, other, third = [await stack.enter_async_context(place.store()) for _ in range(3)]
        late = await one.lock(KEY, 0.1)
        assert late

        async def next_one() -> bool:
            return await other.lock(KEY, 30) is not None

        await eventually("the end of the lock", next_one)
        await late()
        assert await third.lock(KEY, 30) is None


async def test_a_value_outlasts_the_lock_under_which_it_was_put(place: Place) -> None:
    async with place.store() as store:
        unlock = await store.lock(KEY, 30)
        assert unlock
        await store.put(KEY, b"value", 60)
        await unlock()
        assert await store.get(KEY) == b"value"
