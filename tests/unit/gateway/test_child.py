"""What a stdio server's process says, as messages."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from mcp_types import JSONRPCResponse
from tests.waiting import PATIENCE_SECONDS

from mcp_orchestrator.gateway import child

HALF_A_PAIR = '{"jsonrpc": "2.0", "id": 1, "result": {"text": "cut \\\\ud83d", "rest": "\\\\u00e9"}}'


async def test_a_message_with_half_a_surrogate_pair_arrives_without_it() -> None:
    program = f"print('{HALF_A_PAIR}')"
    async with (
        child.running(sys.executable, ["-c", program], os.environ, str) as process,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        received = await process.read.receive()
    assert not isinstance(received, Exception)
    assert isinstance(received.message, JSONRPCResponse)
    assert received.message.result == {"text": "cut ?", "rest": "é"}
    assert process.rubbish == ""


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("b'{' * 3", id="no JSON"),
        pytest.param("b'[' * 200_000", id="nested too deeply"),
        pytest.param("bytes([0xff, 0xfe])", id="no text"),
        pytest.param("b'{}'", id="no message"),
    ],
)
async def test_what_is_no_message_is_noted_and_the_next_one_arrives(line: str) -> None:
    program = f"import sys; sys.stdout.buffer.write({line}); print(); print('{HALF_A_PAIR}')"
    async with (
        child.running(sys.executable, ["-c", program], os.environ, str) as process,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        assert not isinstance(await process.read.receive(), Exception)
    assert process.rubbish
