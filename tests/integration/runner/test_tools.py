"""What becomes of calls to servers of every kind: real ones on the SDK, and ones that go wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from tests.integration.runner import faulty_http
from tests.integration.runner.faulty_http import Faulty
from tests.servers import rubbish_http

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner import failures
from mcp_orchestrator.runner.calls import Call, CallFailed
from mcp_orchestrator.runner.tools import McpCaller, Server

MISBEHAVING = Path(__file__).parents[2] / "servers" / "misbehaving.py"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def real_server() -> Iterator[str]:
    """A server on the SDK in a process of its own."""
    with subprocess.Popen([sys.executable, str(MISBEHAVING), "--http", "0"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().decode().split()[-1]}/mcp"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with real_server() as url:
        yield url


@pytest_asyncio.fixture
async def faulty() -> AsyncIterator[Faulty]:
    async with faulty_http.serving() as running:
        yield running


async def call(url: str, tool: str = "t", timeout_seconds: float = 30, **arguments: Any) -> Any:
    async with McpCaller({"x": Server(url, timeout_seconds)}, run_uid="run-1", traceparent=TRACE) as caller:
        return await caller.call(Call("task-1", "x", tool, arguments))


async def failure(url: str, tool: str = "t", timeout_seconds: float = 30, **arguments: Any) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await call(url, tool, timeout_seconds, **arguments)
    return caught.value


# --- a real server ---------------------------------------------------------------------------------------------------


async def test_a_real_server_answers_with_structured_content(server: str) -> None:
    assert await call(server, "add", a=2, b=3) == {"result": 5}


async def test_the_call_carries_run_task_attempt_and_trace(server: str) -> None:
    meta = (await call(server, "echo_meta"))["meta"]
    assert meta["mcp-orchestrator.io/run"] == "run-1"
    assert meta["mcp-orchestrator.io/task"] == "task-1"
    assert meta["mcp-orchestrator.io/attempt"] == 1
    assert meta["traceparent"] == TRACE
    assert 29 < meta["mcp-orchestrator.io/timeout-seconds"] <= 30


async def test_a_result_of_three_megabytes_comes_whole(server: str) -> None:
    assert await call(server, "big", kib=3072) == {"result": "x" * 3072 * 1024}


async def test_a_result_above_the_limit_is_refused(server: str) -> None:
    caught = await failure(server, "big", kib=17 * 1024)
    assert caught.error_class == ErrorClass.RESULT_TOO_LARGE
    assert "the limit is 16.0 MiB" in caught.message


@pytest.mark.parametrize(
    ("tool", "arguments", "error_class", "words"),
    [
        pytest.param("fail", {"message": "no such page"}, ErrorClass.TOOL, "no such page", id="tool error"),
        pytest.param("fail", {"message": "\x1b[31mred\x07\u202eevil"}, ErrorClass.TOOL, "redevil", id="hostile text"),
        pytest.param("nowhere", {}, ErrorClass.TOOL, "nowhere", id="unknown tool"),
        pytest.param("add", {"a": "x", "b": 1}, ErrorClass.TOOL, "a", id="bad argument"),
        pytest.param(
            "proto_fail",
            {"code": -32077, "message": "odd"},
            ErrorClass.PROTOCOL,
            "odd (JSON-RPC error -32077)",
            id="rpc",
        ),
    ],
)
async def test_what_a_real_server_refuses_is_explained(
    server: str, tool: str, arguments: dict[str, Any], error_class: ErrorClass, words: str
) -> None:
    caught = await failure(server, tool, **arguments)
    assert words in caught.message
    assert caught.error_class == error_class
    assert not caught.never_sent


async def test_a_server_that_dies_in_a_call_is_a_broken_connection() -> None:
    with real_server() as server:
        caught = await failure(server, "crash")
    assert caught.error_class == ErrorClass.TRANSPORT
    assert failures.MAYBE in caught.message


async def test_time_over_ends_the_call_at_the_server_too(server: str, tmp_path: Path) -> None:
    mark = tmp_path / "cancelled"
    caught = await failure(server, "slow", 0.7, seconds=60, mark=str(mark))
    assert caught.error_class == ErrorClass.TIMEOUT
    assert 'no answer of server "x" within 0.7 s' in caught.message
    async with asyncio.timeout(20):
        while not mark.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)


async def test_cancelling_a_call_is_no_failure_and_reaches_the_server(faulty: Faulty) -> None:
    task = asyncio.create_task(call(faulty.url("/silence")))
    async with asyncio.timeout(20):
        await faulty.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await faulty.cancelled.wait()


async def test_calls_of_one_run_share_connections_and_greet_once(faulty: Faulty) -> None:
    async with McpCaller({"x": Server(faulty.url("/good"), 30)}, run_uid="r") as caller:
        for number in range(3):
            assert await caller.call(Call(f"t{number}", "x", "t", {})) == "good"
    assert faulty.methods() == ["server/discover", "tools/call", "tools/list", "tools/call", "tools/call"]


async def test_sixty_four_calls_at_once_all_come_back(server: str) -> None:
    async with McpCaller({"x": Server(server, 60)}, run_uid="r") as caller:
        found = await asyncio.gather(*(caller.call(Call(f"t{n}", "x", "add", {"a": n, "b": 1})) for n in range(64)))
    assert found == [{"result": n + 1} for n in range(64)]


# --- servers that greet well and fail the call -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "error_class", "words"),
    [
        pytest.param("/reset", ErrorClass.TRANSPORT, ["broke during the call", failures.MAYBE], id="reset"),
        pytest.param("/cut-sse", ErrorClass.TRANSPORT, ["ended its answer early", failures.MAYBE], id="cut stream"),
        pytest.param("/cut-json", ErrorClass.TRANSPORT, ["broke during the call", failures.MAYBE], id="cut answer"),
        pytest.param("/rubbish-json", ErrorClass.PROTOCOL, ["JSON"], id="rubbish"),
        pytest.param("/no-result", ErrorClass.PROTOCOL, ["no valid MCP", "content"], id="no result"),
        pytest.param("/html", ErrorClass.PROTOCOL, ["text/html"], id="html"),
        pytest.param("/gzip", ErrorClass.PROTOCOL, ["compressed"], id="gzip"),
        pytest.param("/endless", ErrorClass.RESULT_TOO_LARGE, ["MiB or more", "limit is 16.0 MiB"], id="endless"),
        pytest.param("/status/401", ErrorClass.AUTH, ["HTTP 401"], id="401"),
        pytest.param("/status/403", ErrorClass.AUTH, ["HTTP 403"], id="403"),
        pytest.param("/status/429", ErrorClass.BUSY, ["HTTP 429", "after 17 s"], id="429"),
        pytest.param("/status/503", ErrorClass.BUSY, ["HTTP 503", "after 17 s"], id="503"),
        pytest.param("/status/500", ErrorClass.TRANSPORT, ["HTTP 500", failures.MAYBE], id="500"),
        pytest.param("/status/502", ErrorClass.TRANSPORT, ["HTTP 502", failures.MAYBE], id="502"),
        pytest.param("/status/404", ErrorClass.PROTOCOL, ["HTTP 404"], id="404"),
        pytest.param("/status/400", ErrorClass.PROTOCOL, ["HTTP 400"], id="400"),
        pytest.param("/error/-32603", ErrorClass.PROTOCOL, ["words of the server", "-32603"], id="internal error"),
        pytest.param("/error/-32602", ErrorClass.PROTOCOL, ["words of the server", "-32602"], id="invalid params"),
        pytest.param("/error/-32042", ErrorClass.INPUT_REQUIRED, ["words of the server"], id="url elicitation"),
        pytest.param("/error/-32021", ErrorClass.INPUT_REQUIRED, ["words of the server"], id="capability"),
        pytest.param("/input", ErrorClass.INPUT_REQUIRED, ["(who)"], id="input required"),
        pytest.param("/gateway/ProcessExited/sent", ErrorClass.TRANSPORT, ["words", failures.MAYBE], id="child died"),
        pytest.param("/gateway/Timeout/sent", ErrorClass.TIMEOUT, ["words"], id="gateway's time-out"),
        pytest.param("/gateway/Unauthorized/sent", ErrorClass.AUTH, ["words"], id="gateway: key refused"),
        pytest.param("/gateway/SecretMissing/unsent", ErrorClass.AUTH, ["words"], id="gateway: no key"),
        pytest.param("/gateway/PrivateAddress/unsent", ErrorClass.CONNECT, ["words"], id="gateway: private"),
        pytest.param("/gateway/CommandNotFound/unsent", ErrorClass.CONNECT, ["words"], id="gateway: no command"),
        pytest.param("/gateway/Protocol/sent/429", ErrorClass.BUSY, ["words", "after 17 s"], id="gateway: 429"),
        pytest.param("/gateway/Protocol/sent/500", ErrorClass.TRANSPORT, ["words"], id="gateway: 500"),
        pytest.param("/gateway/Protocol/sent", ErrorClass.PROTOCOL, ["words"], id="gateway: rubbish"),
    ],
)
async def test_each_failure_has_its_class_and_is_tried_once(
    faulty: Faulty, path: str, error_class: ErrorClass, words: list[str]
) -> None:
    caught = await failure(faulty.url(path))
    assert caught.error_class == error_class, caught.message
    for word in words:
        assert word in caught.message
    assert len(faulty.calls()) == 1


async def test_silence_ends_with_the_time_out(faulty: Faulty) -> None:
    caught = await failure(faulty.url("/silence"), timeout_seconds=0.5)
    assert caught.error_class == ErrorClass.TIMEOUT
    assert failures.MAYBE in caught.message
    assert len(faulty.calls()) == 1


@pytest.mark.parametrize(
    ("path", "calls"),
    [
        pytest.param("/gateway/Connect/unsent", 2, id="the gateway can't reach its server yet"),
        pytest.param("/once-lost", 2, id="another replica without the session"),
    ],
)
async def test_a_call_that_no_tool_has_seen_is_made_again(faulty: Faulty, path: str, calls: int) -> None:
    assert await call(faulty.url(path)) == "good"
    assert len(faulty.calls()) == calls
    assert faulty.calls()[-1]["_meta"]["mcp-orchestrator.io/attempt"] == calls


async def test_a_server_replaced_by_another_revision_is_greeted_anew(faulty: Faulty) -> None:
    async with McpCaller({"x": Server(faulty.url("/reborn"), 30)}, run_uid="r") as caller:
        assert await caller.call(Call("a", "x", "t", {})) == "good"
        assert await caller.call(Call("b", "x", "t", {})) == "good"
    assert faulty.methods().count("server/discover") == 2


async def test_a_result_is_not_thrown_away_because_tools_can_not_be_listed(faulty: Faulty) -> None:
    assert await call(faulty.url("/listless")) == "good"


# --- servers that do not even greet ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "error_class", "words", "requests"),
    [
        pytest.param("/status/401", ErrorClass.AUTH, "HTTP 401", 1, id="401"),
        pytest.param("/status/403", ErrorClass.AUTH, "HTTP 403", 1, id="403"),
        pytest.param("/status/429", ErrorClass.BUSY, "after 17 s", 1, id="429"),
        pytest.param("/status/503", ErrorClass.BUSY, "after 17 s", 1, id="503"),
        pytest.param("/status/404", ErrorClass.PROTOCOL, "there is no MCP endpoint", 2, id="404"),
        pytest.param("/status/500", ErrorClass.TRANSPORT, "HTTP 500", 2, id="500"),
        pytest.param("/html", ErrorClass.PROTOCOL, "text/html", 2, id="html"),
        pytest.param("/broken-json", ErrorClass.PROTOCOL, "JSON", 2, id="broken json"),
        pytest.param("/redirect?http://other.example/mcp", ErrorClass.PROTOCOL, "edirect", 2, id="redirect"),
    ],
)
async def test_a_server_that_is_none_is_explained(
    path: str, error_class: ErrorClass, words: str, requests: int
) -> None:
    async with rubbish_http.serving() as rubbish:
        caught = await failure(rubbish.url(path))
    assert caught.error_class == error_class, caught.message
    assert words in caught.message
    assert len(rubbish.requests) == requests


@pytest.mark.parametrize(
    ("path", "error_class", "words"),
    [
        pytest.param("/reset", ErrorClass.CONNECT, "broke before the call was made", id="reset"),
        pytest.param("/hang", ErrorClass.TIMEOUT, "did not even answer the greeting", id="hang"),
    ],
)
async def test_a_server_that_stays_away_is_asked_until_time_is_over(
    path: str, error_class: ErrorClass, words: str
) -> None:
    async with rubbish_http.serving() as rubbish:
        caught = await failure(rubbish.url(path), timeout_seconds=0.8)
    assert caught.error_class == error_class, caught.message
    assert words in caught.message


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://no-such-server.invalid:8080/mcp", id="no such name"),
        pytest.param("refused", id="connection refused"),
    ],
)
async def test_what_can_not_be_reached_is_tried_again_and_then_said(url: str) -> None:
    target = f"http://127.0.0.1:{unused_port()}/mcp" if url == "refused" else url
    caught = await failure(target, timeout_seconds=0.6)
    assert caught.error_class == ErrorClass.CONNECT
    assert 'can\'t connect to server "x"' in caught.message
    assert "tried " in caught.message


async def test_a_server_that_is_just_being_restarted_fails_nothing() -> None:
    port = unused_port()
    started = asyncio.Event()
    waits = 0

    async def counted(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            started.set()
        await asyncio.sleep(seconds)

    async with McpCaller({"x": Server(f"http://127.0.0.1:{port}/good", 30)}, run_uid="r", sleep=counted) as caller:
        task = asyncio.create_task(caller.call(Call("a", "x", "t", {})))
        async with asyncio.timeout(20):
            await started.wait()
            async with faulty_http.serving(port) as running:
                assert await task == "good"
    assert running.calls()[0]["_meta"]["mcp-orchestrator.io/attempt"] == 4


async def test_a_server_that_is_not_on_record_is_said_to_be_missing() -> None:
    async with McpCaller({}, run_uid="r") as caller:
        with pytest.raises(CallFailed, match='no server "x" on record'):
            await caller.call(Call("a", "x", "t", {}))


# --- results ---------------------------------------------------------------------------------------------------------


def text(*texts: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words} for words in texts]}


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        pytest.param({"content": [], "structuredContent": {"a": 1}}, {"a": 1}, id="structured"),
        pytest.param({**text("x"), "structuredContent": None}, None, id="structured null"),
        pytest.param({**text("x"), "structuredContent": [1, "b"]}, [1, "b"], id="structured list"),
        pytest.param({"content": []}, None, id="nothing"),
        pytest.param(text('{"a": [1, 2.5, null]}'), {"a": [1, 2.5, None]}, id="text that is an object"),
        pytest.param(text(' [1, "x"]\n'), [1, "x"], id="text that is a list"),
        pytest.param(text("123"), "123", id="digits stay text"),
        pytest.param(text("true"), "true", id="true stays text"),
        pytest.param(text('"x"'), '"x"', id="quotes stay text"),
        pytest.param(text("{not json"), "{not json", id="a brace is no object"),
        pytest.param(text("a", "b"), "a\nb", id="two texts"),
        pytest.param(text('{"a": 1}', '{"b": 2}'), '{"a": 1}\n{"b": 2}', id="two objects are text"),
        pytest.param({"content": [], "structuredContent": {"n": 2**70}}, {"n": float(2**70)}, id="huge number"),
        pytest.param(
            {"content": [{"type": "image", "mimeType": "image/png", "data": "AAAA"}]},
            [{"type": "image", "mimeType": "image/png", "data": "AAAA"}],
            id="image",
        ),
        pytest.param(
            {
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "audio", "mimeType": "audio/wav", "data": "AAAA"},
                    {"type": "resource_link", "uri": "file:///a", "name": "a"},
                    {"type": "resource", "resource": {"uri": "file:///b", "text": "b", "mimeType": "text/plain"}},
                    {"type": "resource", "resource": {"uri": "file:///c", "blob": "AAAA"}},
                ]
            },
            [
                {"type": "text", "text": "see"},
                {"type": "audio", "mimeType": "audio/wav", "data": "AAAA"},
                {"type": "resource_link", "uri": "file:///a", "name": "a"},
                {"type": "resource", "uri": "file:///b", "mimeType": "text/plain", "text": "b"},
                {"type": "resource", "uri": "file:///c", "data": "AAAA"},
            ],
            id="blocks",
        ),
    ],
)
async def test_an_answer_becomes_one_value(faulty: Faulty, answer: dict[str, Any], result: Any) -> None:
    assert await call(faulty.url(f"/tool/{quote(json.dumps(answer))}")) == result


@pytest.mark.parametrize(
    ("tool", "answer", "words"),
    [
        pytest.param("strict", {"content": [], "structuredContent": {"n": "x"}}, "at result.n", id="broken"),
        pytest.param("strict", text("5"), "no structured content", id="missing"),
        pytest.param("remote", {"content": [], "structuredContent": {}}, "no JSON Schema", id="remote reference"),
    ],
)
async def test_a_result_that_breaks_its_schema_is_the_tool_s_fault(
    faulty: Faulty, tool: str, answer: dict[str, Any], words: str
) -> None:
    caught = await failure(faulty.url(f"/tool/{quote(json.dumps(answer))}"), tool)
    assert caught.error_class == ErrorClass.SCHEMA, caught.message
    assert words in caught.message


async def test_a_result_nested_too_deeply_is_refused(faulty: Faulty) -> None:
    answer = {"content": [{"type": "text", "text": "[" * 150 + "]" * 150}]}
    caught = await failure(faulty.url(f"/tool/{quote(json.dumps(answer))}"))
    assert caught.error_class == ErrorClass.PROTOCOL
    assert "100 levels" in caught.message
