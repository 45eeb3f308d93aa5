"""Servers behind HTTP: the container in the same pod, and the one that runs elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError
from tests.integration.gateway.running import SERVERS, run_gateway
from tests.ports import free_port
from tests.servers.rubbish_http import serving
from tests.waiting import PATIENCE_SECONDS


@asynccontextmanager
async def http_server(port: int = 0) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVERS / "misbehaving.py"), "--http", str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await process.stdout.readline()
        yield int(line.split()[-1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("protocol", ["Auto", "2025-11-25", "2026-07-28"])
async def test_a_container_in_the_pod_is_reached_in_every_pair_of_revisions(protocol: str) -> None:
    async with (
        http_server() as port,
        run_gateway({"http": {"url": f"http://127.0.0.1:{port}/mcp"}, "protocol": protocol}) as gateway,
    ):
        report = await gateway.ready()
        assert report["serverInfo"]["name"] == "misbehaving"
        for era in ("legacy", "2026-07-28"):
            seen: list[float] = []

            async def note(done: float, total: float | None, message: str | None, seen: list[float] = seen) -> None:
                seen.append(done)

            async with Client(gateway.url, mode=era) as client:
                assert (await client.call_tool("add", {"a": 2, "b": 3})).structured_content == {"result": 5}
                await client.call_tool("slow", {"seconds": 0.2}, progress_callback=note)
                with pytest.raises(MCPError) as caught:
                    await client.call_tool("proto_fail", {"code": -32123, "message": "out of order"})
            assert caught.value.code == -32123
            assert seen


@pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])
async def test_a_container_that_restarts_is_an_error_meanwhile_and_works_again(protocol: str) -> None:
    async with http_server(free_port()) as port:
        config = {"http": {"url": f"http://127.0.0.1:{port}/mcp"}, "protocol": protocol}
        async with run_gateway(config) as gateway:
            await gateway.ready()
            async with Client(gateway.url, mode="2026-07-28") as client:
                with pytest.raises(MCPError) as crashed:
                    await client.call_tool("crash")
                assert crashed.value.data == {"class": "Connect", "sent": True}
                report = await gateway.failed()
                assert report["error"]["class"] == "Connect"
                assert f"127.0.0.1:{port}" in report["error"]["message"]
                with pytest.raises(MCPError, match="can't connect") as refused:
                    await client.call_tool("add", {"a": 1, "b": 1})
                assert refused.value.data == {"class": "Connect", "sent": False}
                async with http_server(port):
                    await gateway.ready()
                    assert (await client.call_tool("add", {"a": 1, "b": 1})).structured_content == {"result": 2}


async def test_a_session_that_the_server_forgot_is_opened_again_without_an_error() -> None:
    config = {"protocol": "2025-11-25", "healthCheck": {"intervalSeconds": 3600}}
    async with (
        http_server(free_port()) as port,
        run_gateway({**config, "http": {"url": f"http://127.0.0.1:{port}/mcp"}}) as gateway,
    ):
        await gateway.ready()
        async with Client(gateway.url) as client:
            first = (await client.call_tool("count")).structured_content
            assert first is not None
            os.kill(first["pid"], signal.SIGKILL)
            async with http_server(port):
                again = (await client.call_tool("count")).structured_content
    assert again is not None
    assert again["pid"] != first["pid"]


async def test_one_broken_exchange_does_not_end_the_others() -> None:
    async with (
        http_server() as port,
        run_gateway({"http": {"url": f"http://127.0.0.1:{port}/mcp"}}) as gateway,
    ):
        await gateway.ready()
        async with Client(gateway.url) as client:
            limit: Any = {"mcp-orchestrator.io/timeout-seconds": 0.5}
            slow = asyncio.create_task(client.call_tool("slow", {"seconds": 600}, meta=limit))
            for number in range(5):
                assert (await client.call_tool("add", {"a": number, "b": 1})).structured_content == {
                    "result": number + 1
                }
            with pytest.raises(MCPError, match="no answer within"):
                await slow
            assert (await client.call_tool("add", {"a": 1, "b": 1})).structured_content == {"result": 2}


async def test_callers_credentials_are_not_passed_on() -> None:
    async with serving() as rubbish:
        remote = {"url": rubbish.url("/status/404"), "allowPrivate": True}
        async with run_gateway({"remote": remote}) as gateway:
            await gateway.failed()
            async with httpx.AsyncClient(trust_env=False, headers={"authorization": "Bearer of-the-caller"}) as client:
                await client.post(gateway.url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert rubbish.requests
        assert not any("of-the-caller" in head for head in rubbish.requests)
