"""The failure of a tool call. Raised by whoever makes a call or keeps its answer, handled by the engine."""

from __future__ import annotations

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.planning import wording


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
