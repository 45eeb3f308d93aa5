"""What becomes of calls through our own gateway: both must mean the same by its errors."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.gateway.running import run_gateway, stdio
from tests.integration.runner.test_tools import failure

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner import failures
from mcp_orchestrator.runner.calls import Call, CallFailed
from mcp_orchestrator.runner.tools import McpCaller, Server


async def test_calls_through_a_gateway_tell_tool_failures_from_broken_servers() -> None:
    async with run_gateway({**stdio("misbehaving.py"), "timeoutSeconds": 1}) as gateway:
        await gateway.ready()
        async with McpCaller({"x": Server(gateway.url, 30)}, run_uid="r") as caller:

            async def call(tool: str, timeout_seconds: float | None = None, **arguments: Any) -> Any:
                return await caller.call(Call("t", "x", tool, arguments, timeout_seconds))

            async def failed(tool: str, timeout_seconds: float | None = None, **arguments: Any) -> CallFailed:
                with pytest.raises(CallFailed) as caught:
                    await call(tool, timeout_seconds, **arguments)
                return caught.value

            assert await call("add", a=2, b=3) == {"result": 5}
            said = await failed("fail", message="no such page")
            assert said.error_class == ErrorClass.TOOL
            assert said.message == "Error executing tool fail: no such page"
            refused = await failed("proto_fail", code=-32050, message="odd")
            assert refused.error_class == ErrorClass.PROTOCOL
            died = await failed("crash")
            assert died.error_class == ErrorClass.TRANSPORT
            assert "exit code 7" in died.message
            assert "giving up: out of patience" in died.message
            assert failures.MAYBE in died.message
            # Its process comes back, and the call waits for it.
            assert await call("add", a=1, b=1) == {"result": 2}
            # The task's time-out counts, and not the server's.
            assert await call("slow", 20, seconds=1.5) == {"result": "done"}
            late = await failed("slow", 0.5, seconds=30)
            assert late.error_class == ErrorClass.TIMEOUT


async def test_a_gateway_whose_command_is_missing_is_not_asked_again() -> None:
    async with run_gateway({"stdio": {"command": "no-such-command"}}) as gateway:
        await gateway.failed()
        caught = await failure(gateway.url)
    assert caught.error_class == ErrorClass.CONNECT
    assert "'no-such-command' is not in the image" in caught.message
    assert "tried" not in caught.message


async def test_a_gateway_whose_server_keeps_dying_is_asked_again_until_time_is_over() -> None:
    async with run_gateway(stdio("misbehaving.py", "--exit", "3", "--complain", "no API key given")) as gateway:
        await gateway.failed()
        caught = await failure(gateway.url, timeout_seconds=6)
    assert caught.error_class == ErrorClass.CONNECT
    assert "no API key given" in caught.message
    assert "tried" in caught.message
