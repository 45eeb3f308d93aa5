"""Why a server can't be used, in words for a person. Raised by upstream, shown by /status and by failed calls."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureClass(StrEnum):
    """The kinds of failure. A stable contract: the operator turns them into reasons."""

    COMMAND_NOT_FOUND = "CommandNotFound"
    PROCESS_EXITED = "ProcessExited"
    CONNECT = "Connect"
    UNAUTHORIZED = "Unauthorized"
    TIMEOUT = "Timeout"
    PROTOCOL = "Protocol"
    PRIVATE_ADDRESS = "PrivateAddress"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - the name of a failure


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure and what to do about it."""

    failure_class: FailureClass
    message: str


class UpstreamError(Exception):
    """The server can't be used; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.failure_class}: {failure.message}")
        self.failure = failure


def leaf(error: BaseException) -> BaseException:
    """The error inside nested exception groups: task groups wrap what really happened."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
