"""How one task of a run went, as it stands in status.tasks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import Message, Model, Word, preserved
from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.moments import Moment


class TaskPhase(StrEnum):
    """Where a task is in its life."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    INDETERMINATE = "Indeterminate"
    """It is not known whether the tool did its work, and to ask again could do it twice."""

    @property
    def final(self) -> bool:
        """Whether the task has ended."""
        return self not in (TaskPhase.PENDING, TaskPhase.RUNNING)

    @property
    def failed(self) -> bool:
        """Whether the task has ended badly: an outcome that is not known counts as bad."""
        return self in (TaskPhase.FAILED, TaskPhase.INDETERMINATE)


class SkipReason(StrEnum):
    """Why a task was skipped."""

    WHEN_FALSE = "WhenFalse"
    DEPENDENCY_NOT_MET = "DependencyNotMet"
    RUN_FAILED = "RunFailed"
    RUN_STOPPED = "RunStopped"
    RUN_CANCELLED = "RunCancelled"


RUN_ENDS = frozenset({SkipReason.RUN_FAILED, SkipReason.RUN_STOPPED, SkipReason.RUN_CANCELLED})
"""Why tasks are skipped that could have been run."""


class TaskError(Model):
    """Why a task failed."""

    class_: ErrorClass = Field(alias="class", description="Kind of the error, for programs.")
    message: Message = Field(description="What happened, for people.")


class TaskStatus(Model):
    """How one task went, one item of a task, or one task of a nested workflow."""

    name: Annotated[str, StringConstraints(max_length=512)] = Field(
        description="Name of the task; an item is called ask[2], a task of a nested workflow review/lint."
    )
    phase: TaskPhase = Field(description="Pending, Running, Succeeded, Failed, Skipped or Indeterminate.")
    attempts: int | None = Field(None, description="Calls that were made.")
    progress: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        None, description="Items that ended, of all items, for example 3/5."
    )
    start_time: Moment | None = Field(None, description="When its first call began.")
    completion_time: Moment | None = Field(None, description="When it ended.")
    duration_milliseconds: int | None = Field(None, description="From start to end.")
    result: Any = Field(
        None,
        description="The tool's result: its structured content, else its text. Left out where it is large or secret.",
        json_schema_extra=preserved(nullable=True),
    )
    result_text: Annotated[str, StringConstraints(max_length=8192)] | None = Field(
        None, description="The text of an answer whose result was read from it."
    )
    result_bytes: int | None = Field(None, description="Size of the result as JSON, in bytes.")
    result_preview: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        None, description="The beginning of a result that does not stand here."
    )
    result_ref: Annotated[str, StringConstraints(max_length=288)] | None = Field(
        None,
        description="Where the whole result stands, compressed by gzip: the ConfigMap and its key as NAME/KEY; or the "
        "address of an object as s3://BUCKET/KEY.",
    )
    reason: Word | None = Field(None, description="Why it was skipped, or runs again, in one word.")
    message: Message | None = Field(None, description="The same in a sentence.")
    error: TaskError | None = Field(None, description="Why it failed.")
    reused_from: Word | None = Field(None, description="Name of the run that its result was taken from.")
    cache: CacheUse | None = Field(
        None,
        description="Hit: the result was taken from the cache, without a call. Miss: it was not there. Refreshed: the "
        "run asked for a call. Unset: the task has no cache, or that could not be used.",
    )
    nullable: ClassVar[frozenset[str]] = frozenset({"result"})

    @property
    def own(self) -> bool:
        """Whether it is a task of the workflow itself: no item, and no task of a nested workflow."""
        return not {"[", "/"} & set(self.name)
