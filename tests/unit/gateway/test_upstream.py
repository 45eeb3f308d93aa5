"""The shared session over HTTP: that its end is noticed, whatever ended it."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import test_utils, web
from tests.waiting import PATIENCE_SECONDS

from mcp_orchestrator.gateway import config, health, redaction, upstream

GREETING = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}


async def test_a_session_that_broke_in_a_notification_is_replaced() -> None:
    notified = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal notified
        message: dict[str, Any] = await request.json()
        if "id" in message:
            result = GREETING if message["method"] == "initialize" else {"tools": []}
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})
        notified += 1
        if notified > 1:
            return web.Response(status=202)
        # The SDK stumbles over a redirect that it can't read, and closes the session's streams without a word.
        unreadable = {"Location": "/mcp", "Content-Encoding": "gzip"}
        return web.Response(status=307, headers=unreadable, body=b"no gzip")

    application = web.Application()
    application.router.add_post("/mcp", answer)
    async with test_utils.TestServer(application) as running:
        source = {"name": "x", "protocol": "2025-11-25", "http": {"url": str(running.make_url("/mcp"))}}
        server = upstream.Upstream(config.GatewayConfig.model_validate(source), {}, redaction.Redactor(frozenset()))
        checks = health.Health(server)
        down = asyncio.Event()
        server.on_down = down.set
        await checks.check()
        assert not checks.report.ok
        await asyncio.wait_for(down.wait(), PATIENCE_SECONDS)
        await checks.check()
        assert checks.report.ok
        await server.close()
