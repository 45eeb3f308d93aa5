"""The status of a WorkflowRun: where it is in its life, why, and what came of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import ATOMIC, Message, Model, ObjectName, Word, preserved
from mcp_orchestrator.api.conditions import BY_TYPE, Condition
from mcp_orchestrator.api.control import Cancellation
from mcp_orchestrator.api.diagnosis import Diagnosis
from mcp_orchestrator.api.moments import Moment
from mcp_orchestrator.api.resolved import ResolvedServer, ResolvedTemplate
from mcp_orchestrator.api.task import MAX_UNITS
from mcp_orchestrator.api.taskstatus import TaskStatus
from mcp_orchestrator.api.workflow import MAX_FINALLY, MAX_TASKS


class RunPhase(StrEnum):
    """Where a run is in its life, in one word for people."""

    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def final(self) -> bool:
        """Whether the run has ended. Final phases never change."""
        return self in FINAL_PHASES


FINAL_PHASES = frozenset({RunPhase.SUCCEEDED, RunPhase.FAILED, RunPhase.CANCELLED})


class RunCondition(StrEnum):
    """Types of a run's conditions."""

    SUCCEEDED = "Succeeded"
    FINISHED = "Finished"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    ADMITTED = "Admitted"
    CHILDREN_PRUNED = "ChildrenPruned"


class RunReason(StrEnum):
    """Why a run is in its state. A stable contract: programs match these words."""

    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    TEMPLATE_INVALID = "TemplateInvalid"
    INVALID_SPEC = "InvalidSpec"
    INVALID_PARAMETER = "InvalidParameter"
    SERVER_NOT_FOUND = "ServerNotFound"
    SERVER_NOT_READY = "ServerNotReady"
    CLUSTER_LIMIT = "ClusterLimit"
    NAMESPACE_LIMIT = "NamespaceLimit"
    TEMPLATE_LIMIT = "TemplateLimit"
    SERVER_LIMIT = "ServerLimit"
    KUEUE_QUEUE = "KueueQueue"
    QUEUE_CHANGED = "QueueChanged"
    SUSPENDED = "Suspended"
    CANCELLED = "Cancelled"
    SKIPPED = "Skipped"
    REPLACED = "Replaced"
    ADMITTED = "Admitted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    TASK_FAILED = "TaskFailed"
    OUTPUT_FAILED = "OutputFailed"
    TIMED_OUT = "TimedOut"
    RUNNER_FAILED = "RunnerFailed"
    JOB_DELETED = "JobDeleted"
    TASK_INDETERMINATE = "TaskIndeterminate"
    RUN_NOT_FOUND = "RunNotFound"
    RUN_NOT_FINISHED = "RunNotFinished"
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    KEY_IN_USE = "KeyInUse"
    RECEIPT_LIMIT = "ReceiptLimit"
    IDEMPOTENCY_CONFLICT = "IdempotencyConflict"
    ALREADY_EXECUTED = "AlreadyExecuted"
    INTERRUPTED = "Interrupted"
    NAME_CONFLICT = "NameConflict"
    TTL_EXPIRED = "TTLExpired"
    HISTORY_LIMIT = "HistoryLimit"


class Outcome(StrEnum):
    """How a runner ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"
    """It stopped in the middle, as it was asked to: another pod may go on."""


class RunnerStatus(Model):
    """The pod that executes the run, and its report. Written by the runner alone."""

    pod_name: str = Field(description="Name of the pod.", max_length=253)
    pod_uid: str = Field(description="UID of the pod; another pod that finds it here stops.", max_length=64)
    attempt: int = Field(1, description="Which attempt of the run this pod is, counted from 1.")
    start_time: Moment | None = Field(None, description="When the run's first runner began.")
    outcome: Outcome | None = Field(
        None, description="How it ended: Succeeded, Failed, Cancelled or Suspended. Unset while it works."
    )
    reason: Word | None = Field(None, description="Why it ended so, in one word.")
    message: Message | None = Field(None, description="Why it ended so, in a sentence.")


class WorkflowRunStatus(Model):
    """What was observed. The runner writes runner, tasks, progress, outputs, outputsSecret; the operator the rest."""

    observed_generation: int = Field(-1, description="The metadata.generation that this status was computed from.")
    phase: RunPhase | None = Field(
        None, description="Pending, Queued, Running, Suspended, Succeeded, Failed or Cancelled."
    )
    message: Message | None = Field(None, description="What is going on, in a sentence.")
    waiting_reason: Word | None = Field(None, description="Why the run has not started, or its pod. Unset once it has.")
    waiting_since: Moment | None = Field(None, description="Since when it waits for that.")
    conditions: tuple[Condition, ...] = Field(
        (),
        description="Conditions: Succeeded, Finished, Reconciling, Stalled, Admitted, ChildrenPruned.",
        max_length=16,
        json_schema_extra=BY_TYPE,
    )
    template: ResolvedTemplate | None = Field(None, description="The workflow as it was when the run was admitted.")
    servers: tuple[ResolvedServer, ...] = Field(
        (), description="The servers as they were when the run was admitted.", max_length=100
    )
    resumed_packs: tuple[ObjectName, ...] = Field(
        (),
        description="ConfigMaps with results of the run that this one resumes.",
        max_length=1000,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    attempt: int | None = Field(None, description="Which attempt this is, counted from 1.")
    job_name: str | None = Field(None, description="Name of the run's Job.", max_length=63)
    admitted_at: Moment | None = Field(None, description="When the run got its slot.")
    kueue_queue: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        None,
        description="The queue of Kueue that lets the run's pod in: the label kueue.x-k8s.io/queue-name, as it was "
        "when the run got its slot.",
    )
    resumptions: int | None = Field(None, description="How often it went on after it was suspended.")
    paused_seconds: int | None = Field(
        None, description="Seconds without a slot after its first start; they do not count against its time-out."
    )
    cancellation: Cancellation | None = Field(
        None, description="The operator's own order to stop the run, for another reason than spec.cancel."
    )
    start_time: Moment | None = Field(None, description="When the runner began.")
    completion_time: Moment | None = Field(None, description="When the run ended.")
    duration_milliseconds: int | None = Field(None, description="From start to end.")
    duration: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        None, description="From start to end, for people."
    )
    progress: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        None, description="Tasks that ended, of all tasks, for example 3/5."
    )
    runner: RunnerStatus | None = Field(None, description="The pod that executes the run, and its report.")
    tasks: tuple[TaskStatus, ...] = Field(
        (),
        description="How each task went, each item and each task of a nested workflow.",
        max_length=MAX_UNITS + MAX_TASKS + MAX_FINALLY,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    outputs: dict[str, Any] | None = Field(
        None, description="The workflow's outputs, by name.", json_schema_extra=preserved(**ATOMIC)
    )
    outputs_secret: ObjectName | None = Field(
        None, description="Name of the Secret that holds the sensitive outputs, a key for each."
    )
    diagnosis: Diagnosis | None = Field(None, description="Why the run failed, and what to do about it.")
    traceparent: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        None, description="W3C trace context of the run; every tool call carries it."
    )

    def spent_seconds(self, now: datetime) -> float:
        """What counts against the run's time-out: the time since its first pod's start, but for pauses."""
        start = self.runner.start_time if self.runner else None
        # A pod that Kueue lets in may begin before the operator has put the end of the wait on record.
        until = self.waiting_since if self.phase == RunPhase.QUEUED and self.waiting_since else now
        return max(0.0, (until - start).total_seconds() - (self.paused_seconds or 0)) if start else 0.0
