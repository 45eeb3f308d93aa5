"""Stdio servers behind the gateway: both eras of clients, errors as they were, crashes and restarts, an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from mcp import Client, MCPError
from mcp_types import CallToolResult, TextContent
from tests.integration.gateway.running import Gateway, eventually, run_gateway, stdio
from tests.waiting import PATIENCE_SECONDS

ERAS = ("legacy", "2026-07-28", "auto")
EACH_ERA = pytest.mark.parametrize("era", ERAS)
TIME = {"stdio": {"command": str(Path(sys.executable).parent / "mcp-server-time"), "args": ["--local-timezone", "UTC"]}}


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="gateway")
async def shared_gateway() -> AsyncIterator[Gateway]:
    """One for the tests that leave it as it was: starting one takes longer than most of them."""
    async with run_gateway({**stdio("misbehaving.py"), "timeoutSeconds": 60}) as gateway:
        await gateway.ready()
        yield gateway


def text(result: Any) -> str:
    block = result.content[0]
    assert isinstance(block, TextContent)
    return block.text


def leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def call(gateway: Gateway, tool: str, arguments: dict[str, Any] | None = None, era: str = "auto") -> Any:
    """One call by a client of its own."""
    try:
        async with Client(gateway.url, mode=era) as client:
            return await client.call_tool(tool, arguments or {})
    except BaseExceptionGroup as group:
        raise leaf(group) from None


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in listed.split()]


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_a_real_server_serves_clients_of_each_era() -> None:
    async with run_gateway(TIME) as gateway:
        await gateway.ready()
        for era in ERAS:
            async with Client(gateway.url, mode=era) as client:
                names = sorted(tool.name for tool in (await client.list_tools()).tools)
                result = await client.call_tool("get_current_time", {"timezone": "UTC"})
            assert names == ["convert_time", "get_current_time"]
            assert result.structured_content is not None
            assert result.structured_content["timezone"] == "UTC"


async def test_a_good_check_reports_identity_revision_and_tools(gateway: Gateway) -> None:
    report = await gateway.ready()
    assert (await gateway.get("/readyz")).status_code == 200
    assert (await gateway.get("/livez")).status_code == 200
    assert report["error"] is None
    assert report["starting"] is False
    assert report["consecutiveFailures"] == 0
    assert report["checkedAt"].endswith("Z")
    assert report["serverInfo"] == {"name": "misbehaving", "version": "1.2.3"}
    assert report["protocolVersion"] == "2026-07-28"
    tools = {tool["name"]: tool for tool in report["tools"]}
    assert list(tools) == sorted(tools)
    add = tools["add"]
    assert (add["title"], add["readOnly"], add["idempotent"], add["destructive"]) == ("Adder", True, True, None)
    assert add["inputSchema"]["required"] == ["a", "b"]
    assert "outputSchema" in add
    assert add["digest"].startswith("sha256:")
    assert tools["crash"]["destructive"] is True


@pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])
async def test_the_revision_towards_the_server_is_free_of_the_one_towards_clients(protocol: str) -> None:
    async with run_gateway({**stdio("misbehaving.py"), "protocol": protocol}) as gateway:
        report = await gateway.ready()
        assert report["protocolVersion"] == protocol
        for era in ERAS:
            async with Client(gateway.url, mode=era) as client:
                assert len((await client.list_tools()).tools) == len(report["tools"])
                assert (await client.call_tool("add", {"a": 2, "b": 3})).structured_content == {"result": 5}
                assert (await client.read_resource("note://today")).contents[0].model_dump()["text"] == "buy milk"
                assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["greet"]
                prompt = await client.get_prompt("greet", {"name": "Ada"})
                assert prompt.messages[0].content.model_dump()["text"] == "Say hello to Ada."


async def test_legacy_and_modern_clients_at_once_share_one_process(gateway: Gateway) -> None:
    await gateway.ready()
    async with Client(gateway.url, mode="legacy") as old, Client(gateway.url, mode="2026-07-28") as new:
        results = await asyncio.gather(
            *(client.call_tool("count") for _ in range(10) for client in (old, new)),
            *(client.call_tool("slow", {"seconds": 0.2}) for client in (old, new)),
        )
    counted = [result.structured_content for result in results[:20]]
    numbers = sorted(value["calls"] for value in counted if value)
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert len({value["pid"] for value in counted if value}) == 1


async def test_the_instructions_and_the_name_are_those_of_the_server(gateway: Gateway) -> None:
    async with Client(gateway.url, mode="legacy") as client:
        assert client.instructions == "Handle with care."
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.version) == ("misbehaving", "1.2.3")


@EACH_ERA
async def test_a_tools_own_failure_and_a_protocol_error_arrive_as_they_were(gateway: Gateway, era: str) -> None:
    statuses = ("ok", "tool_error", "error")
    requests = "mcp_orchestrator_mcp_server_requests_total"
    times = "mcp_orchestrator_mcp_server_response_time_seconds_count"
    before = [await gateway.metric(requests, server_name="demo", status=status) for status in statuses]
    timed = await gateway.metric(times, server_name="demo")
    failed = await call(gateway, "fail", {"message": "no such city"}, era)
    assert failed.is_error
    assert "no such city" in text(failed)
    unknown = await call(gateway, "not_there", {}, era)
    assert unknown.is_error
    with pytest.raises(MCPError) as caught:
        await call(gateway, "proto_fail", {"code": -32123, "message": "out of order"}, era)
    assert (caught.value.code, caught.value.message, caught.value.data) == (
        -32123,
        "out of order",
        {"from": "the tool"},
    )
    await call(gateway, "add", {"a": 1, "b": 1}, era)
    after = [await gateway.metric(requests, server_name="demo", status=status) for status in statuses]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 2, 1]
    assert await gateway.metric(times, server_name="demo") == timed + 4


@EACH_ERA
async def test_progress_reaches_the_client_that_asked(gateway: Gateway, era: str) -> None:
    seen: list[float] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)

    async with Client(gateway.url, mode=era) as client:
        result = await client.call_tool("slow", {"seconds": 0.3}, progress_callback=note)
    assert text(result) == "done"
    assert seen == sorted(seen)
    assert len(seen) >= 5


async def test_meta_of_a_call_crosses_the_gateway(gateway: Gateway) -> None:
    async with Client(gateway.url) as client:
        result = await client.call_tool("echo_meta", {}, meta={"com.example/run": "r1"})
    assert result.structured_content is not None
    assert result.structured_content["meta"]["com.example/run"] == "r1"


async def test_a_result_of_many_megabytes_arrives_whole(gateway: Gateway) -> None:
    assert len(text(await call(gateway, "big", {"kib": 5000}, "2026-07-28"))) == 5000 * 1024


async def test_a_request_beyond_the_limit_is_refused_and_the_gateway_lives_on(gateway: Gateway) -> None:
    await gateway.ready()
    async with httpx.AsyncClient(trust_env=False) as client:
        refused = await client.post(gateway.url, content=b"x" * (5 * 1024 * 1024))
    assert refused.status_code == 413
    assert (await call(gateway, "add", {"a": 1, "b": 1})).structured_content == {"result": 2}


async def test_the_name_of_the_service_is_a_welcome_host(gateway: Gateway) -> None:
    await gateway.ready()
    async with httpx.AsyncClient(trust_env=False, headers={"host": "demo.default.svc:8080"}) as client:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        headers = {"accept": "application/json, text/event-stream"}
        answer = await client.post(gateway.url, json=body, headers=headers)
    assert answer.status_code == 200
    assert "echo_env" in answer.text


@EACH_ERA
async def test_a_process_that_dies_in_a_call_fails_that_call_with_its_last_words_and_is_replaced(era: str) -> None:
    async with run_gateway(stdio("misbehaving.py")) as gateway:
        await gateway.ready()
        before = (await call(gateway, "count", {}, era)).structured_content["pid"]
        with pytest.raises(MCPError) as caught:
            await call(gateway, "crash", {}, era)
        assert caught.value.code == -32000
        assert "exit code 7" in caught.value.message
        assert "giving up: out of patience" in caught.value.message
        assert caught.value.data == {"class": "ProcessExited", "sent": True}
        report = await gateway.status_when("a restart", lambda report: report["ok"] and report["restarts"] == 1)
        assert report["error"] is None
        assert (await call(gateway, "count", {}, era)).structured_content["pid"] != before
        assert await gateway.metric("mcp_orchestrator_mcp_server_restarts_total", server_name="demo") == 1
        assert "giving up: out of patience" in gateway.log()


async def test_a_process_killed_by_the_kernel_is_named_so() -> None:
    async with run_gateway(stdio("misbehaving.py")) as gateway:
        with pytest.raises(MCPError, match=r"signal 9 \(out of memory\?\)"):
            await call(gateway, "hang_up")


async def test_an_idle_process_that_dies_is_replaced_without_a_call() -> None:
    async with run_gateway(stdio("misbehaving.py")) as gateway:
        pid = (await call(gateway, "count")).structured_content["pid"]
        os.kill(pid, signal.SIGKILL)
        await gateway.status_when("a restart", lambda report: report["ok"] and report["restarts"] == 1)


async def test_a_server_that_can_not_be_started_again_is_an_error_and_never_an_empty_list(tmp_path: Path) -> None:
    async with run_gateway(stdio("misbehaving.py", "--only-once", str(tmp_path / "seen"))) as gateway:
        await gateway.ready()
        async with Client(gateway.url, mode="2026-07-28") as client:
            with pytest.raises(MCPError):
                await client.call_tool("crash")
            report = await gateway.failed()
            assert report["error"]["class"] == "ProcessExited"
            assert "exit code 9" in report["error"]["message"]
            assert report["tools"], "what was known stays known"
            assert (await gateway.get("/readyz")).status_code == 503
            for ask in (client.list_tools, client.list_prompts, lambda: client.call_tool("add", {"a": 1, "b": 1})):
                with pytest.raises(MCPError, match="exit code 9") as caught:
                    await ask()
                assert caught.value.data == {"class": "ProcessExited", "sent": False}
            (tmp_path / "seen").unlink()
            await gateway.status_when("recovery", lambda report: report["ok"])
            assert (await client.call_tool("add", {"a": 1, "b": 1})).structured_content == {"result": 2}


@pytest.mark.parametrize(("limit", "meta"), [(3, {}), (30, {"mcp-orchestrator.io/timeout-seconds": 3})])
async def test_a_call_beyond_its_limit_ends_with_a_timeout_and_stops_the_work(
    limit: float, meta: dict[str, Any], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    async with run_gateway({**stdio("misbehaving.py"), "timeoutSeconds": limit}) as gateway:
        await gateway.ready()
        async with Client(gateway.url) as client:
            with pytest.raises(MCPError, match="no answer within 3 s") as caught:
                await client.call_tool("slow", {"seconds": 100, "mark": str(mark)}, meta=meta)  # type: ignore[arg-type]

            async def cancelled() -> bool:
                return await asyncio.to_thread(mark.exists)

            await eventually("the cancellation of the work", cancelled)
    assert caught.value.code == -32001
    assert caught.value.data == {"class": "Timeout", "sent": True}


async def test_a_client_may_ask_for_more_time_than_the_server_has_by_default() -> None:
    async with run_gateway({**stdio("misbehaving.py"), "timeoutSeconds": 1}) as gateway:
        await gateway.ready()
        async with Client(gateway.url) as client:
            more: Any = {"mcp-orchestrator.io/timeout-seconds": 60}
            assert text(await client.call_tool("slow", {"seconds": 1.5}, meta=more)) == "done"


async def test_a_time_out_beyond_all_numbers_is_as_long_as_any_may_be(gateway: Gateway) -> None:
    await gateway.ready()
    async with Client(gateway.url) as client:
        forever: Any = {"mcp-orchestrator.io/timeout-seconds": 10**400}
        assert (await client.call_tool("add", {"a": 1, "b": 1}, meta=forever)).structured_content == {"result": 2}


async def test_a_client_that_goes_away_stops_the_work(gateway: Gateway, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    await gateway.ready()
    started = asyncio.Event()

    async def note(done: float, total: float | None, message: str | None) -> None:
        started.set()

    async with Client(gateway.url, mode="2026-07-28") as client:
        work = asyncio.create_task(
            client.call_tool("slow", {"seconds": 100, "mark": str(mark)}, progress_callback=note)
        )
        await asyncio.wait_for(started.wait(), PATIENCE_SECONDS)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

        async def cancelled() -> bool:
            return await asyncio.to_thread(mark.exists)

        await eventually("the cancellation of the work", cancelled)


async def test_secrets_do_not_leave_through_log_status_or_errors() -> None:
    environ = {"DEMO_API_KEY": "s3cr3t-value", "PLAIN": "plain-value"}
    async with run_gateway(stdio("misbehaving.py"), environ) as gateway:
        await gateway.ready()
        await call(gateway, "complain", {"text": "using s3cr3t-value and plain-value"})

        async def logged() -> bool:
            return "plain-value" in gateway.log()

        await eventually("the log line", logged)
        assert "using [redacted] and plain-value" in gateway.log()
        with pytest.raises(MCPError) as caught:
            await call(gateway, "crash")
        assert "[redacted]" in caught.value.message
        assert "s3cr3t-value" not in caught.value.message + gateway.log()


async def test_the_process_gets_the_containers_environment_without_the_gateways() -> None:
    environ = {"CITY": "Oslo", "MCP_ORCHESTRATOR_HEADER_0": "hidden"}
    async with run_gateway(stdio("misbehaving.py"), environ) as gateway:
        assert text(await call(gateway, "echo_env", {"name": "CITY"})) == "Oslo"
        for name in ("MCP_ORCHESTRATOR_GATEWAY", "MCP_ORCHESTRATOR_HEADER_0"):
            assert text(await call(gateway, "echo_env", {"name": name})) == "(unset)"


@pytest.mark.parametrize(
    "source", [stdio("misbehaving.py"), stdio("raw_stdio.py", "--ignore-eof")], ids=["polite", "stubborn"]
)
async def test_sigterm_ends_the_gateway_and_its_process(source: dict[str, Any]) -> None:
    async with run_gateway(source) as gateway:
        await gateway.ready()
        (child,) = children(gateway.process.pid)
        assert is_running(child)
        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await gateway.process.wait() == 0
        assert not is_running(child)


async def test_sigterm_ends_a_gateway_whose_server_never_answered() -> None:
    async with run_gateway(stdio("raw_stdio.py", "--mute")) as gateway:

        async def started() -> list[int]:
            return children(gateway.process.pid)

        (child,) = await eventually("the start of the process", started)
        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await gateway.process.wait() == 0
        assert not is_running(child)


async def a_slow_call(gateway: Gateway, seconds: float) -> asyncio.Task[CallToolResult]:
    """A call of so many seconds, once the server works on it."""
    started = asyncio.Event()

    async def note(done: float, total: float | None, message: str | None) -> None:
        started.set()

    async def work() -> CallToolResult:
        async with Client(gateway.url, mode="2026-07-28") as client:
            await client.list_tools()  # or it asks for them after the call, to check the result
            return await client.call_tool("slow", {"seconds": seconds}, progress_callback=note)

    task = asyncio.create_task(work())
    await asyncio.wait_for(started.wait(), PATIENCE_SECONDS)
    return task


async def test_calls_in_flight_come_to_their_end_after_sigterm() -> None:
    """A new version of the operator replaces the gateways of all servers, under runs that call them."""
    async with run_gateway(stdio("misbehaving.py")) as gateway:
        await gateway.ready()
        task = await a_slow_call(gateway, 3)
        gateway.process.send_signal(signal.SIGTERM)
        assert (await task).is_error is False
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await gateway.process.wait() == 0


async def test_calls_in_flight_that_take_too_long_end_with_the_gateway() -> None:
    async with run_gateway({**stdio("misbehaving.py"), "timeoutSeconds": 500, "drainSeconds": 1}) as gateway:
        await gateway.ready()
        task = await a_slow_call(gateway, 400)
        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await gateway.process.wait() == 0
            await asyncio.gather(task, return_exceptions=True)
        assert task.exception() is not None


async def test_a_tool_list_of_many_pages_is_read_to_its_end() -> None:
    async with run_gateway(stdio("raw_stdio.py", "--pages", "25")) as gateway:
        report = await gateway.ready()
        assert [tool["name"] for tool in report["tools"]] == [f"tool-{page:03}" for page in range(25)]
        assert report["protocolVersion"] == "2025-11-25"
        assert report["serverInfo"]["name"] == "raw"
        assert report["tools"][0]["inputSchema"]["properties"] == {"default": {"default": None}}
        async with Client(gateway.url, mode="legacy") as client:
            page = await client.list_tools()
            assert page.next_cursor == "1"
            assert [tool.name for tool in (await client.list_tools(cursor="24")).tools] == ["tool-024"]
