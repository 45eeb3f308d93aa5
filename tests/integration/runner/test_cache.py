"""The cache against a real Valkey server: the store by itself, many engines at once, and whole runners."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from tests.builders import a_spec, a_task
from tests.integration.runner import keyvalue
from tests.integration.runner.keyvalue import PASSWORD, Server
from tests.unit.runner.scripted_tools import Records, ScriptedTools, after, failing, in_turn, servers
from tests.waiting import eventually

from mcp_orchestrator.api.cache import CacheUse, TaskCache
from mcp_orchestrator.runner import execute
from mcp_orchestrator.runner.cache import MOST_BYTES, Cache, StoreFailed
from mcp_orchestrator.runner.redisstore import PATIENCE_SECONDS, RedisStore

RUNS = 50


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with keyvalue.serving(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def store(server: Server) -> AsyncIterator[RedisStore]:
    async with RedisStore(server.url) as found:
        yield found


async def a_run(url: str, tools: ScriptedTools, secret: bytes = b"", **arguments: Any) -> Records:
    """A whole engine with a connection of its own, as a runner has."""
    workflow = a_spec(a_task("a", cache=TaskCache(ttl_seconds=60), arguments=arguments))
    records = Records(secret=secret)
    async with RedisStore(url) as store:
        await execute.execute(
            workflow,
            {},
            execute.Surroundings(servers(workflow)),
            tools,
            records,
            timeout_seconds=60,
            cache=Cache(store, "default", b"the key of the cache"),
        )
    return records


def uses(runs: list[Records]) -> list[CacheUse | None]:
    return sorted((run.last("a").cache for run in runs), key=str)


async def test_fifty_runs_that_ask_the_same_at_once_make_one_call(server: Server) -> None:
    tools = ScriptedTools({"a": after(0.3, {"n": 1})})
    runs = await asyncio.gather(*(a_run(server.url, tools) for _ in range(RUNS)))
    assert len(tools.calls) == 1
    assert uses(runs) == [CacheUse.HIT] * (RUNS - 1) + [CacheUse.MISS]
    assert all(run.last("a").answer.result == {"n": 1} for run in runs)  # type: ignore[union-attr]


async def test_of_two_runs_the_second_calls_if_the_first_fails(server: Server) -> None:
    tools = ScriptedTools({"a": failing(0.2)})
    await asyncio.gather(*(a_run(server.url, tools) for _ in range(2)))
    assert len(tools.calls) == 2
    assert tools.most == 1
    assert await server.contents() == {}


async def test_no_secret_gets_into_the_server(server: Server) -> None:
    tools = ScriptedTools({"a": in_turn(after(0, "harmless"), after(0, "it was s3cret"))})
    told = await a_run(server.url, tools, secret=b"s3cret", token="s3cret")  # noqa: S106 - the test's own
    repeated = await a_run(server.url, tools, secret=b"s3cret")
    assert uses([told, repeated]) == [CacheUse.MISS, CacheUse.MISS]
    contents = await server.contents()
    assert list(contents.values()) == [b'{"structured":["harmless"],"content":[]}']
    assert "s3cret" not in str(contents)


async def test_a_run_goes_on_without_a_server(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    await server.stop()
    records = await a_run(server.url, tools := ScriptedTools({"a": after(0, 1)}))
    assert (len(tools.calls), records.last("a").cache) == (1, None)
    assert "the cache is left alone for 30 s: " in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_value_stands_until_its_end(server: Server, store: RedisStore) -> None:
    await store.put("n:1", b"value", 1)
    assert await store.get("n:1", 10) == b"value"
    assert 0 < await server.seconds_left("mcp-orchestrator:n:1") <= 1

    async def over() -> bool:
        return await store.get("n:1", 10) is None

    await eventually("the end of the value", over)


async def test_a_value_that_is_too_large_is_not_there_and_is_not_sent(server: Server, store: RedisStore) -> None:
    await store.put("n:1", b"x" * (MOST_BYTES + 1), 60)
    assert await store.get("n:1", MOST_BYTES) is None
    before = await server.bytes_sent()
    assert await store.get("n:1", 1024) is None
    assert await server.bytes_sent() - before < MOST_BYTES


async def test_a_lock_is_one_holders_until_it_is_given_back(server: Server) -> None:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(RedisStore(server.url)) for _ in range(2)]
        unlock = await one.lock("n:1", 30)
        assert unlock
        assert await other.lock("n:1", 30) is None
        assert await other.lock("n:2", 30) is not None
        await unlock()
        assert await other.lock("n:1", 30) is not None


async def test_a_lock_that_is_over_is_not_taken_from_the_next_one(server: Server, store: RedisStore) -> None:
    late = await store.lock("n:1", 0.1)
    assert late
    assert await server.seconds_left("mcp-orchestrator:n:1:lock") <= 1

    async def next_one() -> bool:
        return await store.lock("n:1", 30) is not None

    await eventually("the end of the lock", next_one)
    await late()
    assert await store.lock("n:1", 30) is None


async def test_a_user_with_the_rights_that_the_docs_give_can_do_all_that_is_needed_and_no_more(server: Server) -> None:
    docs = (Path(__file__).parents[3] / "docs" / "chart.md").read_text()
    found = re.search("`(ACL SETUSER team-a on >PASSWORD [^`]+)`", docs)
    assert found
    async with Redis.from_url(server.url) as client:
        await client.execute_command(*found[1].split())
    async with RedisStore(f"redis://team-a:PASSWORD@127.0.0.1:{server.port}/0") as store:
        await store.put("team-a:1", b"value", 60)
        assert await store.get("team-a:1", 10) == b"value"
        unlock = await store.lock("team-a:1", 30)
        assert unlock
        await unlock()
        assert list(await server.contents()) == ["mcp-orchestrator:team-a:1"]
        with pytest.raises(StoreFailed, match="NoPermissionError: "):
            await store.get("team-b:1", 10)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param(
            "redis://:wrong@127.0.0.1:{port}/0", "AuthenticationError: check url of the Secret", id="password"
        ),
        pytest.param("redis://127.0.0.1:{port}/0", "AuthenticationError: check url of the Secret", id="no password"),
        pytest.param("redis://127.0.0.1:1/0", "ConnectionError: check url of the Secret", id="nobody there"),
    ],
)
async def test_a_store_that_can_not_be_used_says_why_in_its_own_words(server: Server, url: str, words: str) -> None:
    async with RedisStore(url.format(port=server.port)) as store:
        with pytest.raises(StoreFailed, match=words):
            await store.get("n:1", 10)


@pytest.mark.parametrize("url", ["http://me:s3cret@host", "s3cret", "redis://me:s3cret@host:port"])
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(StoreFailed, match="is none like redis://HOST") as raised:
        RedisStore(url)
    assert "s3cret" not in str(raised.value)


async def test_a_server_that_says_nothing_is_given_up_on() -> None:
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent, RedisStore(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0") as store:
        begun = time.monotonic()
        with pytest.raises(StoreFailed, match="it does not answer in time"):
            await store.get("n:1", 10)
        assert time.monotonic() - begun < PATIENCE_SECONDS + 5
        await gone.wait()
