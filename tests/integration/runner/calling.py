"""One call by the runner's own client, and real servers to call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.calls.tools import McpCaller
from mcp_orchestrator.runner.results.answers import Answer

MISBEHAVING = Path(__file__).parents[2] / "servers" / "misbehaving.py"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def real_server(*options: str) -> Iterator[str]:
    """A server on the SDK in a process of its own."""
    program = [sys.executable, str(MISBEHAVING), "--http", "0", *options]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().decode().split()[-1]}/mcp"
        finally:
            process.terminate()


def a_call(tool: str = "t", timeout_seconds: float = 30, unit: str = "task-1", **arguments: Any) -> Call:
    """A call of a tool of server x."""
    return Call(unit, "x", tool, arguments, timeout_seconds)


async def answer(url: str, tool: str = "t", timeout_seconds: float = 30, **arguments: Any) -> Answer:
    """What the tool answers."""
    async with McpCaller({"x": url}, run_uid="run-1", traceparent=TRACE) as caller:
        return await caller.call(a_call(tool, timeout_seconds, **arguments))


async def call(url: str, tool: str = "t", timeout_seconds: float = 30, **arguments: Any) -> Any:
    """The result of the call."""
    return (await answer(url, tool, timeout_seconds, **arguments)).result


async def failure(url: str, tool: str = "t", timeout_seconds: float = 30, **arguments: Any) -> CallFailed:
    """How the call fails."""
    with pytest.raises(CallFailed) as caught:
        await call(url, tool, timeout_seconds, **arguments)
    return caught.value
