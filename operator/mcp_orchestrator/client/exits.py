"""How the commands end, and the exit codes that tell it. Programs rely on them: docs/cli.md lists them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit code of a command."""

    OK = 0
    FAILED = 1
    """The run failed, or what was checked has mistakes."""
    USAGE = 2
    """The command or its input can't be used as it is."""
    CANCELLED = 3
    GONE = 4
    """There is no such object, or it was deleted while the command watched it."""
    UNREACHABLE = 5
    """The cluster does not answer, or does not allow it."""
    TIMED_OUT = 124
    INTERRUPTED = 130
    UNHEARD = 141
    """Nobody reads the output any more, so how a run ends was not told."""


class Failed(Exception):
    """A command can't do its work; `str()` says why, and what helps."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code
