"""A tool call as the engine sees it: the seam between `execute`, which knows no protocol, and who makes the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.planning import wording

if TYPE_CHECKING:
    from mcp_orchestrator.runner.results import Answer


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt to call a tool."""

    unit: str
    server: str
    tool: str
    arguments: Mapping[str, Any]
    timeout_seconds: float
    attempt: int = 1


class CallFailed(Exception):
    """A call that gave no result. `str()` is fit for a status.

    `never_sent`: the tool surely did not run. `answered`: the server itself told how the call ended.
    `retry_after_seconds`: how long the server asked to wait.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        message: str,
        *,
        never_sent: bool = False,
        answered: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.message = wording.fit(message) or "no reason was given"
        super().__init__(self.message)
        self.error_class = error_class
        self.never_sent = never_sent
        self.answered = answered
        self.retry_after_seconds = retry_after_seconds


class ToolCaller(Protocol):
    """Makes tool calls."""

    async def call(self, call: Call) -> Answer:
        """The answer, after one attempt. Raises CallFailed. Cancellation stops the call at the server where it can."""
