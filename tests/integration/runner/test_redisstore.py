"""The cache's store in a real Valkey server: what is its own, beside test_cache.py."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from tests.integration.runner import keyvalue
from tests.integration.runner.keyvalue import Server

from mcp_orchestrator.runner.cache.redisstore import RedisStore
from mcp_orchestrator.runner.cache.sharing import StoreFailed


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with keyvalue.serving(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def store(server: Server) -> AsyncIterator[RedisStore]:
    async with RedisStore(server.url, "n") as found:
        yield found


async def test_a_value_that_is_too_large_is_not_there_and_is_not_sent(server: Server, store: RedisStore) -> None:
    await store.put("1", b"x" * (2 * store.most_bytes), 60)
    before = await server.bytes_sent()
    assert await store.get("1") is None
    assert await server.bytes_sent() - before < 1.5 * store.most_bytes


async def test_every_key_has_an_end_and_begins_with_its_namespace(server: Server, store: RedisStore) -> None:
    await store.put("1", b"value", 600)
    await store.lock("1", 300)
    assert 300 < await server.seconds_left("mcp-orchestrator:n:1") <= 600
    assert 0 < await server.seconds_left("mcp-orchestrator:n:1:lock") <= 300


async def test_a_user_with_the_rights_that_the_docs_give_can_do_all_that_is_needed_and_no_more(server: Server) -> None:
    docs = (Path(__file__).parents[3] / "docs" / "chart.md").read_text()
    found = re.search("`(ACL SETUSER team-a on >PASSWORD [^`]+)`", docs)
    assert found
    async with Redis.from_url(server.url) as client:
        await client.execute_command(*found[1].split())
    url = f"redis://team-a:PASSWORD@127.0.0.1:{server.port}/0"
    async with RedisStore(url, "team-a") as store, RedisStore(url, "team-b") as foreign:
        await store.put("1", b"value", 60)
        assert await store.get("1") == b"value"
        unlock = await store.lock("1", 30)
        assert unlock
        await unlock()
        assert list(await server.contents()) == ["mcp-orchestrator:team-a:1"]
        with pytest.raises(StoreFailed, match="NoPermissionError: "):
            await foreign.get("1")


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
    async with RedisStore(url.format(port=server.port), "n") as store:
        with pytest.raises(StoreFailed, match=words):
            await store.get("1")


@pytest.mark.parametrize("url", ["http://me:s3cret@host", "s3cret", "redis://me:s3cret@host:port"])
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(StoreFailed, match="is none like redis://HOST") as raised:
        RedisStore(url, "n")
    assert "s3cret" not in str(raised.value)


async def test_a_server_that_says_nothing_is_given_up_on() -> None:
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent, RedisStore(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0", "n") as store:
        with pytest.raises(StoreFailed, match="it does not answer in time"):
            await store.get("1")
        await gone.wait()
