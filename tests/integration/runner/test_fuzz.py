"""Answers of servers that nobody would think of: each is a result or a failure in words, and soon."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.integration.runner import faulty_http
from tests.integration.runner.calling import a_call

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.planning import wording
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls.tools import McpCaller
from mcp_orchestrator.runner.results.answers import Answer

WORDS = """jsonrpc id result error method params content structuredContent isError type text code message data sent
class httpStatus retryAfter resultType inputRequests _meta $ref $defs properties pattern x-mcp-header"""
KEYS = st.sampled_from(WORDS.split())
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["2.0", "$ID", "text", "image", "input_required", "complete", "ProcessExited", "\ud800", "\x1b["])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=5),
    max_leaves=12,
)


def rpc(fields: dict[str, Any]) -> bytes:
    """A JSON-RPC answer with the right id."""
    return json.dumps({"jsonrpc": "2.0", "id": "$ID", **fields}).replace('"$ID"', "$ID").encode("utf-8", "replace")


BLOCKS = st.dictionaries(KEYS, VALUES, max_size=4) | st.builds(
    lambda kind, text: {"type": kind, "text": text, "data": text, "mimeType": text, "uri": text, "name": text},
    st.sampled_from(["text", "image", "audio", "resource", "resource_link", "video"]),
    VALUES,
)
RESULTS = st.builds(
    lambda content, more: {"content": content, **more}, st.lists(BLOCKS, max_size=3), st.dictionaries(KEYS, VALUES)
)
ERRORS = st.builds(
    lambda code, message, data: {"code": code, "message": message, "data": data},
    st.sampled_from([-32700, -32603, -32602, -32042, -32022, -32020, -32001, -32000, 0, 2**70]) | VALUES,
    st.text() | VALUES,
    st.dictionaries(KEYS, VALUES) | VALUES,
)
ANSWERS = (
    st.builds(lambda result: rpc({"result": result}), RESULTS | VALUES)
    | st.builds(lambda error: rpc({"error": error}), ERRORS)
    | st.builds(lambda value: json.dumps(value).encode("utf-8", "replace"), VALUES)
    | st.binary(max_size=200)
)
STREAMS = st.lists(
    st.builds(lambda answer: b"data: " + answer.replace(b"\n", b" ") + b"\n\n", ANSWERS)
    | st.sampled_from([b"event: message\n", b"event: ping\n\n", b": \n\n", b"\n", b"data\n\n", b"\xef\xbb\xbf"])
    | st.binary(max_size=40).filter(lambda raw: b"id" not in raw),
    max_size=5,
).map(b"".join)


@given(raw=ANSWERS)
@example(raw=b"")
@example(raw=b'{"jsonrpc": "2.0", "id": $ID}')
@example(raw=b'{"jsonrpc": "2.0", "id": $ID, "result": {"content": [], "structuredContent": NaN}}')
@example(raw=b'{"jsonrpc": "2.0", "id": $ID, "result": {"content": [{"type": "text", "text": "\\ud800"}]}}')
def test_any_json_is_an_answer_or_a_failure(raw: bytes) -> None:
    check(raw, "application/json")


@given(raw=STREAMS)
def test_any_event_stream_is_an_answer_or_a_failure(raw: bytes) -> None:
    check(raw, "text/event-stream")


TOOLS = st.builds(
    lambda tools, more: rpc({"result": {"tools": tools, "resultType": "complete", **more}}),
    st.lists(
        st.builds(
            lambda given, returned, more: {"name": "t", "inputSchema": given, "outputSchema": returned, **more},
            st.builds(lambda schema: {"type": "object", **schema}, st.dictionaries(KEYS, VALUES)) | VALUES,
            st.dictionaries(KEYS, VALUES) | VALUES,
            st.dictionaries(KEYS, VALUES, max_size=2),
        )
        | VALUES,
        max_size=3,
    ),
    st.dictionaries(st.sampled_from(["nextCursor", "ttlMs", "cacheScope", "_meta"]), VALUES, max_size=2),
)


@given(raw=TOOLS | ANSWERS)
def test_any_list_of_tools_does_no_harm_to_the_call(raw: bytes) -> None:
    outcome = asyncio.run(called(raw, "application/json", "?at=list"))
    if isinstance(outcome, CallFailed):
        assert outcome.error_class in (ErrorClass.SCHEMA, ErrorClass.PROTOCOL)
        assert "definition" in outcome.message or "schema" in outcome.message
    else:
        assert outcome.result == "good"


def check(raw: bytes, kind: str) -> None:
    outcome = asyncio.run(called(raw, kind))
    if isinstance(outcome, Answer):
        assert Answer.decode(outcome.encode()).content() == outcome.content()
        return
    assert outcome.error_class != ErrorClass.TIMEOUT or b"-32001" in raw or b"Timeout" in raw, "it waits in vain"
    assert outcome.message == wording.fit(outcome.message)
    assert len(outcome.message.encode()) <= wording.MESSAGE_BYTES


async def called(raw: bytes, kind: str, options: str = "") -> Answer | CallFailed:
    async with faulty_http.serving() as faulty:
        faulty.raw, faulty.raw_type = raw, kind
        async with McpCaller({"x": faulty.url(f"/anything{options}")}, run_uid="r") as caller:
            try:
                return await caller.call(a_call(timeout_seconds=30))
            except CallFailed as failed:
                return failed


@pytest.mark.parametrize("kind", ["application/json; charset=latin-1", "APPLICATION/JSON", "text/event-stream;x=y"])
async def test_a_content_type_may_be_written_in_other_ways(kind: str) -> None:
    answer = rpc({"result": {"content": [{"type": "text", "text": "good"}], "resultType": "complete"}})
    raw = answer if "stream" not in kind else b"data: " + answer + b"\n\n"
    found = await called(raw, kind)
    assert isinstance(found, Answer)
    assert found.result == "good"
