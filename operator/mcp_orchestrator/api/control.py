"""How runs are let in and stopped: priorities, limits of a workflow, and orders to a run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mcp_orchestrator.api.base import Message, Model

MAX_RUNS = 100_000
"""The largest limit that can be set: more runs than one operator is made for."""
Limit = Annotated[int, Field(ge=0, le=MAX_RUNS)]
"""So many runs at the same time; 0 holds all of them back."""


class Priority(StrEnum):
    """Who goes first when there is not room for all."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def level(self) -> int:
        """A number that is higher for what goes first."""
        return {Priority.HIGH: 2, Priority.MEDIUM: 1, Priority.LOW: 0}[self]


class ConcurrencyPolicy(StrEnum):
    """What becomes of a run when its workflow runs often enough already."""

    QUEUE = "Queue"
    SKIP = "Skip"
    REPLACE = "Replace"


class Concurrency(Model):
    """How many runs of a workflow there may be at the same time."""

    max_runs: Limit | None = Field(
        None, description="The most runs at the same time. 0 holds all of them back. Default: no limit of its own."
    )
    policy: ConcurrencyPolicy = Field(
        ConcurrencyPolicy.QUEUE,
        description="What becomes of a run beyond maxRuns. Queue: it waits for its turn. Skip: it ends at once as "
        "Cancelled. Replace: it takes the place of the oldest one, which is cancelled as by cancel: Graceful.",
    )


CONCURRENCY_RULES = (
    {
        "rule": "!has(self.maxRuns) || self.maxRuns > 0 || !has(self.policy) || self.policy == 'Queue'",
        "message": "with maxRuns 0, policy must be Queue: Skip and Replace need room for one run",
    },
)


class CancelMode(StrEnum):
    """How a run is stopped."""

    GRACEFUL = "Graceful"
    IMMEDIATE = "Immediate"

    @property
    def rank(self) -> int:
        """A number that is higher for what is stricter."""
        return 2 if self == CancelMode.IMMEDIATE else 1


class Cancellation(Model):
    """The operator's own order to stop the run, for another reason than spec.cancel."""

    mode: CancelMode = Field(description="Graceful or Immediate, as in spec.cancel.")
    reason: str = Field(description="Why, in one word.", max_length=128)
    message: Message = Field(description="Why, in a sentence.")
