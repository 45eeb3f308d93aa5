"""What kind of thing went wrong with a task. A stable contract: authors name these words in `retry.onErrors`."""

from __future__ import annotations

from enum import StrEnum


class ErrorClass(StrEnum):
    """What kind of thing went wrong with a task: decided by where the error arose."""

    CONNECT = "Connect"
    BUSY = "Busy"
    AUTH = "Auth"
    TIMEOUT = "Timeout"
    TRANSPORT = "Transport"
    PROTOCOL = "Protocol"
    SCHEMA = "Schema"
    TOOL = "Tool"
    INPUT_REQUIRED = "InputRequired"
    RESULT_TOO_LARGE = "ResultTooLarge"
    SERVER_DOWN = "ServerDown"
    EXPRESSION = "Expression"
    RUNNER = "Runner"
    CANCELLED = "Cancelled"


RETRYABLE = (
    ErrorClass.CONNECT,
    ErrorClass.BUSY,
    ErrorClass.AUTH,
    ErrorClass.TIMEOUT,
    ErrorClass.TRANSPORT,
    ErrorClass.PROTOCOL,
    ErrorClass.SCHEMA,
    ErrorClass.TOOL,
    ErrorClass.SERVER_DOWN,
)
"""Classes that a task may ask to be tried again for; the others come out the same every time."""
