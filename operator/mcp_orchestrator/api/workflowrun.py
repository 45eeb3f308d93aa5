"""WorkflowRun: one execution of a workflow, in one Job with one pod."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import (
    ATOMIC,
    Digest,
    Message,
    Model,
    ObjectMeta,
    ObjectName,
    ParameterName,
    Seconds,
    ToolName,
    preserved,
)
from mcp_orchestrator.api.cache import CacheMode, CacheUse
from mcp_orchestrator.api.conditions import BY_TYPE, Condition
from mcp_orchestrator.api.control import Cancellation, CancelMode, Priority
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.mcpserver import ServerRetry
from mcp_orchestrator.api.moments import Moment
from mcp_orchestrator.api.pods import KeySelector
from mcp_orchestrator.api.retention import TtlSeconds
from mcp_orchestrator.api.workflowtemplate import (
    MAX_FINALLY,
    MAX_NESTED,
    MAX_TASKS,
    MAX_UNITS,
    TemplateReference,
    WorkflowTemplateSpec,
)

Word = Annotated[str, StringConstraints(max_length=128)]


class ParameterSource(Model):
    """A parameter whose value stands elsewhere."""

    name: ParameterName = Field(description="Name of the parameter.")
    secret_key_ref: KeySelector | None = Field(
        None, description="A Secret's key that holds the value. The parameter must be declared sensitive."
    )
    config_map_key_ref: KeySelector | None = Field(None, description="A ConfigMap's key that holds the value.")


class WorkflowRunSpec(Model):
    """What to run, and orders to the run. What to run can't be changed: make a new run instead."""

    template_ref: TemplateReference | None = Field(None, description="The WorkflowTemplate to run.")
    template: WorkflowTemplateSpec | None = Field(
        None, description="A workflow that stands in the run itself, instead of templateRef."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of the workflow's parameters, by name.",
        max_length=64,
        json_schema_extra=preserved(),
    )
    parameters_from: tuple[ParameterSource, ...] = Field(
        (),
        description="Parameters whose values are read from Secrets and ConfigMaps when the run starts. A value is "
        "text; for a parameter of another type it is read as JSON.",
        max_length=64,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(p, has(p.secretKeyRef) != has(p.configMapKeyRef))",
                    "message": "every entry needs exactly one of secretKeyRef and configMapKeyRef",
                }
            ],
        },
    )
    timeout_seconds: Seconds | None = Field(
        None, description="Seconds that the run may take from its start. Default: the workflow's timeoutSeconds."
    )
    resume_from: ObjectName | None = Field(
        None,
        description="Name of an ended run of the same namespace. Tasks that succeeded there, and that are the same "
        "here with the same values, are not run again: status.tasks says which, and why the others are.",
    )
    priority: Priority | None = Field(
        None,
        description="Whether the run goes before others when not all can: high, medium or low. It may be changed until "
        "the run starts. Default: the workflow's priority.",
    )
    suspend: bool = Field(
        False,
        description="Hold the run. One that has not started stays in the queue, without a slot; one that runs starts "
        "no further tasks, and gives its slot back when those under way have ended. Set it to false to go on.",
    )
    cancel: CancelMode | None = Field(
        None,
        description="Stop the run for good. Graceful: calls under way are cancelled, then the tasks of finally run. "
        "Immediate: its pod is ended, and nothing more runs. It can't be taken back, and it wins over suspend.",
    )
    ttl_seconds_after_finished: TtlSeconds | None = Field(
        None,
        description="Seconds after its end at which the run is deleted, with all that belongs to it. Of a run that Git "
        "or Helm owns, only its Job and its large results are. It may be changed at any time. Default: the "
        "WorkflowTemplate's ttlSecondsAfterFinished.",
    )
    cache: CacheMode | None = Field(
        None,
        description="Bypass: the run neither takes answers from the cache nor keeps any there. Refresh: it makes every "
        "call, and keeps the answers. Default: it takes what the cache has.",
    )
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        None,
        description="A word for what is to be done once. Of the runs of a template with the same key one is executed; "
        "the others wait for it and end as it did, with its outputs, also if it was deleted after its end. No secret: "
        "it can be read here.",
    )


IMMUTABLE = (
    "templateRef", "template", "parameters", "parametersFrom", "timeoutSeconds", "resumeFrom", "cache",
    "idempotencyKey",
)  # fmt: skip
"""What of the spec says what to run."""


def _immutable(name: str) -> dict[str, str]:
    return {
        "rule": f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
        "message": f"{name} is immutable: create a new WorkflowRun instead",
        "reason": "FieldValueForbidden",
    }


SPEC_RULES = (
    {
        "rule": "has(self.templateRef) != has(self.template)",
        "message": "set exactly one of templateRef and template",
    },
    {
        "rule": "!has(self.idempotencyKey) || has(self.templateRef)",
        "message": "idempotencyKey is for runs of a WorkflowTemplate: set templateRef, or leave the key out",
    },
    *(_immutable(name) for name in IMMUTABLE),
    {
        "rule": "!has(oldSelf.cancel) || (has(self.cancel) && self.cancel in [oldSelf.cancel, 'Immediate'])",
        "message": "cancel is immutable once set, but for Immediate in the place of Graceful: create a new WorkflowRun "
        "instead",
        "reason": "FieldValueForbidden",
    },
)
ROOT_RULES = (
    {
        "rule": "!has(oldSelf.status) || !has(oldSelf.status.admittedAt) || "
        "(has(self.spec.priority) == has(oldSelf.spec.priority) && "
        "(!has(self.spec.priority) || self.spec.priority == oldSelf.spec.priority))",
        "message": "spec.priority is immutable while the run has its slot",
        "reason": "FieldValueForbidden",
    },
)


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


class NestedTemplate(Model):
    """A workflow that a task runs, as it was when the run was admitted."""

    name: Word = Field(description="Name of the WorkflowTemplate.")
    generation: int = Field(0, description="The WorkflowTemplate's metadata.generation.")
    digest: Digest = Field(description="SHA-256 of the workflow.")
    spec: WorkflowTemplateSpec = Field(
        description="The workflow itself.",
        json_schema_extra=preserved(bare=True, **ATOMIC),
    )


class ResolvedTemplate(Model):
    """The workflow as it was when the run was admitted: what is really run."""

    name: Word | None = Field(None, description="Name of the WorkflowTemplate; unset for an inline workflow.")
    generation: int = Field(0, description="The WorkflowTemplate's metadata.generation.")
    digest: Digest = Field(description="SHA-256 of the workflow.")
    spec: WorkflowTemplateSpec = Field(
        description="The workflow itself.",
        json_schema_extra=preserved(bare=True, **ATOMIC),
    )
    nested: tuple[NestedTemplate, ...] = Field(
        (),
        description="The workflows that its tasks run, and those that theirs run.",
        max_length=MAX_NESTED,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class ResolvedTool(Model):
    """What a tool that the run calls said of itself when the run was admitted."""

    name: ToolName = Field(description="Name of the tool.")
    repeatable: bool = Field(description="Whether it declares that it only reads, or that a repeated call is harmless.")


class ResolvedServer(Model):
    """A server as it was when the run was admitted."""

    name: Word = Field(description="Name of the MCPServer.")
    url: str = Field(description="Where the runner calls it.", max_length=512)
    digest: Digest | None = Field(None, description="SHA-256 of its spec.")
    tools_digest: Digest | None = Field(None, description="SHA-256 over the definitions of its tools.")
    timeout_seconds: int = Field(30, description="Seconds that one call may take when the task does not say.")
    retry: ServerRetry = Field(
        default_factory=ServerRetry, description="When a call that failed is made again, if the task does not say."
    )
    tools: tuple[ResolvedTool, ...] = Field((), description="The tools that the run calls.", max_length=512)


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


class Evidence(Model):
    """Something that was seen when the run failed."""

    time: Moment | None = Field(None, description="When it happened.")
    source: Annotated[str, StringConstraints(max_length=320)] = Field(
        description="What tells it, for example task search, MCPServer perplexity or pod research-1-x7k2p."
    )
    message: Annotated[str, StringConstraints(max_length=2048)] = Field(description="What it tells.")


class Diagnosis(Model):
    """Why a run failed, and what to do about it."""

    class_: Word = Field(alias="class", description="Kind of the failure.")
    task: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        None, description="The first task that failed."
    )
    summary: Message = Field(description="What happened, in a sentence.")
    evidence: tuple[Evidence, ...] = Field(
        (),
        description="What was seen at that moment, secrets taken out.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    recommendations: tuple[Annotated[str, StringConstraints(max_length=1024)], ...] = Field(
        (), description="What to do about it.", max_length=16
    )


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


class WorkflowRun(Model):
    """One execution of a workflow, in one Job with one pod."""

    metadata: ObjectMeta
    spec: WorkflowRunSpec
    status: WorkflowRunStatus = Field(default_factory=WorkflowRunStatus)

    @property
    def cancellation(self) -> Cancellation | None:
        """The order to stop the run, the user's or the operator's: the stricter one, of two alike the user's."""
        mode, theirs = self.spec.cancel, self.status.cancellation
        if mode is None or (theirs and theirs.mode.rank > mode.rank):
            return theirs
        return Cancellation(mode=mode, reason=RunReason.CANCELLED, message=f"spec.cancel is {mode}")

    @property
    def suspended(self) -> bool:
        """Whether the run is to be held; an order to stop it counts more."""
        return self.spec.suspend and self.cancellation is None
