"""A tool call as the engine sees it: the seam between `execute`, which knows no protocol, and who makes the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner import wording


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool. Without `timeout_seconds`, the server's own time-out holds."""

    unit: str
    server: str
    tool: str
    arguments: Mapping[str, Any]
    timeout_seconds: float = 30
    attempt: int = 1


class CallFailed(Exception):
    """A call that gave no result. `str()` is fit for a status; `never_sent` if the tool surely never saw the call."""

    def __init__(
        self,
        error_class: ErrorClass,
        message: str,
        *,
        never_sent: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.message = wording.fit(message) or "no reason was given"
        super().__init__(self.message)
        self.error_class = error_class
        self.never_sent = never_sent
        self.retry_after_seconds = retry_after_seconds


class ToolCaller(Protocol):
    """Makes tool calls."""

    async def call(self, call: Call) -> Any:
        """The result, as plain JSON. Raises CallFailed. Cancellation stops the call at the server where it can."""
