"""A tool call as the engine sees it: the seam between `execute`, which knows no protocol, and who makes the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_orchestrator.runner.results.answers import Answer


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt to call a tool."""

    unit: str
    server: str
    tool: str
    arguments: Mapping[str, Any]
    timeout_seconds: float
    attempt: int = 1


class ToolCaller(Protocol):
    """Makes tool calls."""

    async def call(self, call: Call) -> Answer:
        """The answer, after one attempt. Raises CallFailed. Cancellation stops the call at the server where it can."""
