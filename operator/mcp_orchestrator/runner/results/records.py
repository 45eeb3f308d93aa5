"""What is known of each unit of a run: a task, an item of one, a task of a nested workflow. Written by the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.taskstatus import SkipReason, TaskError, TaskPhase
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason
from mcp_orchestrator.runner.results.answers import Answer


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """One unit. There is an `answer` only if it succeeded, and then it may still be unknown: secret, or lost."""

    name: str
    phase: TaskPhase = TaskPhase.PENDING
    attempts: int = 0
    start_time: datetime | None = None
    completion_time: datetime | None = None
    duration_milliseconds: int | None = None
    answer: Answer | None = None
    derived: bool = False
    """Whether the answer follows from those of other units, and need not be kept."""
    error: TaskError | None = None
    reason: str | None = None
    message: str | None = None
    progress: str | None = None
    reused_from: str | None = None
    cache: CacheUse | None = None
    sensitive: bool = False


def task_of(unit: str) -> str:
    """The task of the run that a unit belongs to: review for review[a]/lint, and for review itself."""
    return min((unit.split(mark, 1)[0] for mark in "[/"), key=len)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run ended. There are `outputs` only if it succeeded."""

    outcome: Outcome
    reason: RunReason
    message: str
    outputs: Mapping[str, Any] = field(default_factory=dict)


class UnitFailed(Exception):
    """A unit has no result: it failed, or nobody knows whether it did. `interrupted`: it was stopped from outside."""

    def __init__(self, error: TaskError, phase: TaskPhase = TaskPhase.FAILED, *, interrupted: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.phase = phase
        self.interrupted = interrupted


class UnitSkipped(Exception):
    """A unit is not run after all."""

    def __init__(self, reason: SkipReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Reporter(Protocol):
    """Is told of every change of a unit, at once and in order."""

    def update(self, record: UnitRecord) -> None:
        """Take note; must not block and must not fail."""

    def conceal(self, value: Any) -> None:
        """Show the value nowhere from now on."""

    async def keep(self, answer: Answer) -> None:
        """Find room for an answer, before its unit counts as done. Raises CallFailed if there is none."""

    def hides(self, encoded: bytes) -> bool:
        """Whether JSON has a secret in it."""

    async def commit(self) -> None:
        """Return once all that was told so far is on record for good. Raises Stopped if it can't be."""
