"""What becomes of calls through our own gateway: both must mean the same by its errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.integration.gateway.running import run_gateway, stdio
from tests.integration.runner import faulty_http
from tests.integration.runner.calling import TRACE, a_call, failure
from tests.integration.runner.test_faults import (
    AUTH,
    BUSY,
    CONNECT,
    DOWN,
    LARGE,
    MAYBE,
    NOT_RUN,
    PERSON,
    PROTOCOL,
    TIMEOUT,
    TOLD,
    TOOL,
    TRANSPORT,
    fate,
)
from tests.ports import free_port
from tests.waiting import PATIENCE_SECONDS

from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls.tools import McpCaller


async def test_calls_through_a_gateway_tell_tool_failures_from_broken_servers() -> None:
    async with run_gateway({**stdio("misbehaving.py"), "timeoutSeconds": 2}) as gateway:
        await gateway.ready()
        async with McpCaller({"x": gateway.url}, run_uid="r") as caller:

            async def call(tool: str, timeout_seconds: float = 30, **arguments: Any) -> Any:
                return (await caller.call(a_call(tool, timeout_seconds, **arguments))).result

            async def failed(tool: str, timeout_seconds: float = 30, **arguments: Any) -> CallFailed:
                with pytest.raises(CallFailed) as caught:
                    await call(tool, timeout_seconds, **arguments)
                return caught.value

            assert await call("add", a=2, b=3) == {"result": 5}
            said = await failed("fail", message="no such page")
            assert (said.error_class, fate(said)) == (TOOL, TOLD)
            assert said.message == "Error executing tool fail: no such page"
            refused = await failed("proto_fail", code=-32050, message="odd")
            assert (refused.error_class, fate(refused)) == (PROTOCOL, TOLD)
            died = await failed("crash")
            assert (died.error_class, fate(died)) == (TRANSPORT, MAYBE)
            assert "exit code 7" in died.message
            assert "giving up: out of patience" in died.message
            # Its process comes back, and the call waits for it.
            assert await call("add", a=1, b=1) == {"result": 2}
            # The task's time-out counts, and not the server's.
            assert await call("slow", 60, seconds=2.5) == {"result": "done"}
            late = await failed("slow", 3, seconds=300)
            assert (late.error_class, fate(late)) == (TIMEOUT, MAYBE)
            asking = await failed("ask")
            assert (asking.error_class, fate(asking)) == (PERSON, TOLD)


async def test_a_call_s_identity_and_trace_reach_the_server_behind_the_gateway() -> None:
    async with (
        run_gateway(stdio("misbehaving.py")) as gateway,
        McpCaller({"x": gateway.url}, run_uid="run-1", traceparent=TRACE) as caller,
    ):
        await gateway.ready()
        meta = (await caller.call(replace(a_call("echo_meta", unit="ask[2]"), attempt=2))).result["meta"]
    assert meta["mcp-orchestrator.io/run"] == "run-1"
    assert meta["mcp-orchestrator.io/task"] == "ask[2]"
    assert meta["mcp-orchestrator.io/attempt"] == 2
    assert meta["traceparent"] == TRACE


FAULTS = {
    "/reset": (TRANSPORT, MAYBE),
    "/cut-sse": (PROTOCOL, MAYBE),
    "/cut-json": (TRANSPORT, MAYBE),
    "/rubbish-json": (PROTOCOL, MAYBE),
    "/latin": (PROTOCOL, MAYBE),
    "/no-result": (PROTOCOL, MAYBE),
    "/html": (PROTOCOL, MAYBE),
    "/gzipped": (PROTOCOL, MAYBE),
    "/status/401": (AUTH, NOT_RUN),
    "/status/403": (AUTH, NOT_RUN),
    "/status/404": (PROTOCOL, NOT_RUN),
    "/status/408": (TRANSPORT, MAYBE),
    "/status/429/17": (BUSY, NOT_RUN),
    "/status/500": (TRANSPORT, MAYBE),
    "/status/502": (TRANSPORT, MAYBE),
    "/status/503/17": (BUSY, NOT_RUN),
    "/error/-32601": (PROTOCOL, TOLD),
    "/error/-32602": (PROTOCOL, TOLD),
    "/error/-32603": (TRANSPORT, MAYBE),
    "/error/-32042": (PERSON, TOLD),
    "/error/-32077": (PROTOCOL, TOLD),
    "/redirect": (PROTOCOL, NOT_RUN),
    "/ask": (PERSON, TOLD),
    "/silence": (TIMEOUT, MAYBE),
    "/comments": (TIMEOUT, MAYBE),
}


async def test_faults_of_a_server_behind_the_gateway_have_the_classes_that_they_have_without_it() -> None:
    async with (
        faulty_http.serving() as faulty,
        run_gateway({"http": {"url": faulty.url("/good")}}) as gateway,
        McpCaller({"x": gateway.url}, run_uid="r") as caller,
    ):
        await gateway.ready()
        found = {}
        for fault in FAULTS:
            faulty.path = fault
            calls = len(faulty.calls())
            with pytest.raises(CallFailed) as caught:
                await caller.call(a_call(timeout_seconds=3 if FAULTS[fault][0] == TIMEOUT else 30))
            found[fault] = (caught.value.error_class, fate(caught.value))
            assert len(faulty.calls()) == calls + 1, f"{fault} was called once"
            if FAULTS[fault][0] == BUSY:
                assert caught.value.retry_after_seconds == 17
        faulty.path = ""
        assert (await caller.call(a_call())).result == "good"
    assert found == FAULTS


async def test_a_gateway_whose_command_is_missing_says_that_the_server_is_down() -> None:
    async with run_gateway({"stdio": {"command": "no-such-command"}}) as gateway:
        await gateway.failed()
        caught = await failure(gateway.url)
    assert (caught.error_class, fate(caught)) == (DOWN, NOT_RUN)
    assert "'no-such-command' is not in the image" in caught.message


async def test_a_gateway_whose_server_keeps_dying_says_that_the_server_is_down() -> None:
    async with run_gateway(stdio("misbehaving.py", "--exit", "3", "--complain", "no API key given")) as gateway:
        await gateway.failed()
        caught = await failure(gateway.url)
    assert (caught.error_class, fate(caught)) == (DOWN, NOT_RUN)
    assert "no API key given" in caught.message


async def test_a_gateway_that_can_not_reach_its_server_says_so() -> None:
    async with run_gateway({"http": {"url": f"http://127.0.0.1:{free_port()}/mcp"}}) as gateway:
        await gateway.failed()
        caught = await failure(gateway.url)
    assert (caught.error_class, fate(caught)) == (CONNECT, NOT_RUN)


async def test_a_result_that_is_too_large_is_too_large_behind_a_gateway() -> None:
    async with run_gateway(stdio("misbehaving.py")) as gateway:
        await gateway.ready()
        caught = await failure(gateway.url, "big", PATIENCE_SECONDS, kib=17 * 1024)
    assert (caught.error_class, fate(caught)) == (LARGE, TOLD)
