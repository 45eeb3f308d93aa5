"""Calls that go well: what they carry, what servers are asked besides, and what is made of the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from tests.integration.runner.calling import TRACE, a_call, call, failure, real_server
from tests.integration.runner.faulty_http import Faulty

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.calls.tools import McpCaller


@pytest.fixture(scope="module", params=[pytest.param((), id="modern"), pytest.param(("--legacy",), id="handshake")])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with real_server(*request.param) as url:
        yield url


# --- a real server ---------------------------------------------------------------------------------------------------


async def test_a_real_server_answers_with_structured_content(server: str) -> None:
    assert await call(server, "add", a=2, b=3) == {"result": 5}


async def test_the_call_carries_run_task_attempt_and_trace(server: str) -> None:
    async with McpCaller({"x": server}, run_uid="run-1", traceparent=TRACE) as caller:
        answer = await caller.call(Call("review[2]/lint", "x", "echo_meta", {}, 30, attempt=3))
    meta = answer.result["meta"]
    assert meta["mcp-orchestrator.io/run"] == "run-1"
    assert meta["mcp-orchestrator.io/task"] == "review[2]/lint"
    assert meta["mcp-orchestrator.io/attempt"] == 3
    assert meta["traceparent"] == TRACE
    assert meta["mcp-orchestrator.io/timeout-seconds"] == 30


async def test_a_run_without_a_trace_sends_none(server: str) -> None:
    async with McpCaller({"x": server}, run_uid="run-1") as caller:
        answer = await caller.call(a_call("echo_meta"))
    assert "traceparent" not in answer.result["meta"]


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
        pytest.param("add", {}, ErrorClass.TOOL, "Field required", id="missing argument"),
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


async def test_a_server_that_is_not_on_record_is_said_to_be_missing() -> None:
    async with McpCaller({}, run_uid="r") as caller:
        with pytest.raises(CallFailed, match='no server "x" on record') as caught:
            await caller.call(a_call())
    assert caught.value.never_sent


# --- what servers are asked besides ----------------------------------------------------------------------------------


async def test_calls_of_one_run_greet_and_ask_for_tools_once(faulty: Faulty) -> None:
    async with McpCaller({"x": faulty.url("/good")}, run_uid="r") as caller:
        for number in range(3):
            assert (await caller.call(a_call(unit=f"t{number}"))).result == "good"
    assert faulty.methods() == ["server/discover", "tools/list", "tools/call", "tools/call", "tools/call"]
    assert faulty.most_connections == 1


async def test_calls_that_come_at_the_same_time_ask_for_tools_once(faulty: Faulty) -> None:
    async with McpCaller({"x": faulty.url("/good")}, run_uid="r") as caller:
        await asyncio.gather(*(caller.call(a_call(unit=f"t{number}")) for number in range(20)))
    assert faulty.methods().count("tools/list") == 1


async def test_a_server_of_old_is_not_asked_for_discovery_again(faulty: Faulty) -> None:
    async with McpCaller({"x": faulty.url("/good?era=legacy")}, run_uid="r") as caller:
        for number in range(3):
            assert (await caller.call(a_call(unit=f"t{number}"))).result == "good"
    assert faulty.methods() == [
        *("server/discover", "initialize", "tools/list", "tools/call"),
        *("initialize", "tools/call"),
        *("initialize", "tools/call"),
    ]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/reborn", id="by one that does not know the revision"),
        pytest.param("/renewed?era=legacy", id="by one that knows no handshake"),
    ],
)
async def test_a_server_that_was_replaced_is_greeted_anew(faulty: Faulty, path: str) -> None:
    async with McpCaller({"x": faulty.url(path)}, run_uid="r") as caller:
        assert (await caller.call(a_call(unit="a"))).result == "good"
        assert (await caller.call(a_call(unit="b"))).result == "good"
    assert faulty.methods().count("server/discover") == 2


async def test_arguments_that_a_tool_wants_in_headers_are_sent_there(faulty: Faulty) -> None:
    async with McpCaller({"x": faulty.url("/good")}, run_uid="r") as caller:
        await caller.call(a_call("routed", region="north"))
        await caller.call(a_call("routed", region="süd"))
        await caller.call(a_call("routed"))
    heads = [head.lower() for head in faulty.heads if "mcp-method: tools/call" in head.lower()]
    assert [line for head in heads for line in head.split("\r\n") if line.startswith("mcp-param-")] == [
        "mcp-param-region: north",
        "mcp-param-region: =?base64?c8o8za==?=",
    ]


async def test_a_tool_that_wants_an_impossible_header_is_not_called(faulty: Faulty) -> None:
    async with McpCaller({"x": faulty.url("/good")}, run_uid="r") as caller:
        for _ in range(2):
            with pytest.raises(CallFailed, match=r"definition is invalid, .* property 'region'") as caught:
                await caller.call(a_call("misrouted", region="north"))
            assert caught.value.error_class == ErrorClass.PROTOCOL
            assert caught.value.never_sent
    assert faulty.methods() == ["server/discover", "tools/list"]


async def test_older_servers_may_call_their_headers_as_they_like(faulty: Faulty) -> None:
    assert await call(faulty.url("/good?era=legacy"), "misrouted", region="north") == "good"
    assert "mcp-param-" not in "".join(faulty.heads).lower()


async def test_a_server_whose_tools_want_other_headers_now_is_asked_for_them_again(faulty: Faulty) -> None:
    async with McpCaller({"x": faulty.url("/routing")}, run_uid="r") as caller:
        assert (await caller.call(a_call("routed", region="north"))).result == "good"
        assert (await caller.call(a_call("routed", region="north"))).result == "good"
    assert faulty.methods().count("tools/list") == 2


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
        pytest.param(text("[" * 150 + "]" * 150), "[" * 150 + "]" * 150, id="a list without a bottom stays text"),
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
        pytest.param("strict", {"content": [], "structuredContent": {"n": "x"}}, "not of type", id="why"),
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
    nested: list[Any] = []
    for _ in range(150):
        nested = [nested]
    caught = await failure(faulty.url(f"/tool/{quote(json.dumps({'content': [], 'structuredContent': nested}))}"))
    assert caught.error_class == ErrorClass.PROTOCOL
    assert caught.answered
    assert "100 levels" in caught.message


async def test_a_schema_with_a_hostile_pattern_ends_soon(faulty: Faulty) -> None:
    answer = {"content": [], "structuredContent": {"s": "a" * 50_000 + "!"}}
    caught = await failure(faulty.url(f"/tool/{quote(json.dumps(answer))}"), "greedy")
    assert caught.error_class == ErrorClass.SCHEMA
