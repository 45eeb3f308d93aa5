"""WorkflowTemplate: a typed graph of tool calls."""

from __future__ import annotations

import functools
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints
from pydantic.config import JsonDict

from mcp_orchestrator.api.base import (
    Expression,
    Model,
    ObjectMeta,
    ObjectName,
    ParameterName,
    Seconds,
    ServerName,
    TaskName,
    ToolName,
    VariableName,
    preserved,
)
from mcp_orchestrator.api.cache import Cache, TaskCache
from mcp_orchestrator.api.conditions import BY_TYPE, Condition
from mcp_orchestrator.api.control import CONCURRENCY_RULES, Concurrency, Priority
from mcp_orchestrator.api.errorclass import RETRYABLE, ErrorClass
from mcp_orchestrator.api.pods import Label, Resources, Toleration
from mcp_orchestrator.api.retention import History, TtlSeconds
from mcp_orchestrator.api.scheduling import MAX_SCHEDULES, Schedule, ScheduleStatus

Description = Annotated[str, StringConstraints(max_length=2048)]
Dependency = Annotated[str, StringConstraints(min_length=1, max_length=512)]
MAX_TASKS = 100
MAX_FINALLY = 20
MAX_UNITS = 1000
"""Tasks of one run, counting each item of a forEach and each task of a nested workflow."""
MAX_DEPTH = 4
"""Workflows inside each other, the run's own counted."""
BY_NAME: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
"""Schema extras of a list whose items have names of their own."""
MAX_NESTED = 100
"""Different workflows that the tasks of one lead to."""


class Parameter(Model):
    """An input of the workflow."""

    name: ParameterName = Field(description="Name of the parameter; expressions read it as params.NAME.")
    description: Description | None = Field(None, description="What it is for.")
    json_schema: dict[str, Any] | None = Field(
        None,
        alias="schema",
        description="JSON Schema (2020-12) of the value, for example {type: string, minLength: 1}. Any value if unset.",
        json_schema_extra=preserved(),
    )
    default: Any = Field(
        None,
        description="The value when a run gives none. Without it, the parameter is required.",
        json_schema_extra=preserved(nullable=True),
    )
    sensitive: bool = Field(
        False,
        description="Whether the value is secret: then it stands in no status, event or log, also where a tool repeats "
        "it. Only a sensitive parameter can be read from a Secret.",
    )
    nullable: ClassVar[frozenset[str]] = frozenset({"default"})

    @property
    def required(self) -> bool:
        """Whether a run must give the value. A default of null counts as a default."""
        return "default" not in self.model_fields_set


class TemplateReference(Model):
    """A WorkflowTemplate of the same namespace."""

    name: ObjectName = Field(description="Name of the WorkflowTemplate.")


class ForEach(Model):
    """Run a task once for each item of a list or an object."""

    items: Any = Field(
        description="The items: a list or an object, most often the lone expression of one, such as "
        "${{ tasks.plan.result.questions }}.",
        json_schema_extra=preserved(),
    )
    as_: VariableName = Field(
        "item",
        alias="as",
        description="Name under which the task's expressions read the item; beside it, they read its key and index.",
    )
    key: Expression | None = Field(
        None,
        description="CEL expression of an item's key, a string that no other item has, such as question.id. With it, "
        "the collected results are an object. Default: the keys of an object, the positions in a list.",
    )
    max_parallel: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="The most items at the same time. Default: the workflow's maxParallelTasks."
    )
    max_failures: Annotated[int, Field(ge=0, le=MAX_UNITS)] = Field(
        0,
        description="Items that may fail before the task does. The result of an item that failed is null in a list, "
        "and left out of an object.",
    )


class Retry(Model):
    """When a call that failed is made again, and how soon."""

    attempts: Annotated[int, Field(ge=1, le=20)] | None = Field(
        None, description="The most attempts, the first one counted. Default: those of the server."
    )
    backoff_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        None,
        description="Seconds before the second attempt; doubled for each further one, and spread by chance. Default: "
        "those of the server.",
    )
    max_backoff_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        None,
        description="The most seconds between two attempts, also where the server asks for more. Default: those of "
        "the server.",
    )
    on_errors: tuple[ErrorClass, ...] | None = Field(
        None,
        description="Error classes to try again for. Default: Connect, Busy and ServerDown, and for a call that may be "
        "repeated Timeout and Transport too.",
        max_length=len(RETRYABLE),
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    when: Expression | None = Field(
        None,
        description="CEL expression that must be true for another attempt; it reads error.class, error.message and "
        "attempt.",
    )


class OnFailure(StrEnum):
    """What a task's failure means for the run."""

    FAIL = "Fail"
    CONTINUE = "Continue"


class Task(Model):
    """One tool call, one for each of many items, or a whole workflow."""

    name: TaskName = Field(description="Name of the task, unique in the workflow.")
    server: ServerName | None = Field(None, description="Name of the MCPServer, in the namespace of the run.")
    tool: ToolName | None = Field(None, description="Name of the server's tool.")
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of the tool. Strings may hold ${{ }} expressions over params.NAME and "
        "tasks.NAME.result; a string that is one lone expression keeps the type of its value.",
        max_length=64,
        json_schema_extra=preserved(),
    )
    template: TemplateReference | None = Field(
        None, description="A WorkflowTemplate to run as this task, instead of a tool. Its outputs are the result."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of that workflow's parameters, with ${{ }} expressions as in arguments.",
        max_length=64,
        json_schema_extra=preserved(),
    )
    depends_on: tuple[Dependency, ...] = Field(
        (),
        description="What must hold before the task starts, besides the results that its expressions use: the name of "
        "a task that must succeed, or a CEL expression over how tasks ended, such as "
        "tasks.search.failed || tasks.search.skipped. Where it does not hold, the task is skipped.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    when: Expression | None = Field(
        None,
        description="CEL expression that says whether the task runs at all, such as params.depth > 1. Where it is "
        "false, the task is skipped, and so are those that depend on it.",
    )
    for_each: ForEach | None = Field(
        None, description="Run the task once for each item. Its result then is all their results."
    )
    timeout_seconds: Seconds | None = Field(
        None,
        description="Seconds that one attempt may take, or the nested workflow. Default: the server's timeoutSeconds; "
        "for a nested workflow its own.",
    )
    deadline_seconds: Seconds | None = Field(
        None, description="Seconds that the task may take in all, with every attempt, pause and item."
    )
    retry: Retry | None = Field(None, description="When a call that failed is made again. Default: as the server says.")
    idempotent: bool | None = Field(
        None,
        description="Whether the call may be repeated when it is not known if an earlier one was carried out. Default: "
        "as the tool itself says (readOnlyHint, idempotentHint).",
    )
    cache: TaskCache | None = Field(
        None, description="Take the answer of an earlier call again. Default: the workflow's cache."
    )
    success_when: Expression | None = Field(
        None,
        description="CEL expression over result that must be true for the call to count as a success, such as "
        "!has(result.error), for servers that hide their errors.",
    )
    on_failure: OnFailure = Field(
        OnFailure.FAIL,
        description="Fail: when the task fails, no further tasks start and the run fails. Continue: the run goes on "
        "and may succeed; tasks that need this one are skipped.",
    )


class Output(Model):
    """A result of the whole workflow."""

    name: ParameterName = Field(description="Name of the output.")
    value: Any = Field(
        description="The value, with ${{ }} expressions over params.NAME and tasks.NAME.result.",
        json_schema_extra=preserved(nullable=True),
    )
    sensitive: bool = Field(
        False,
        description="Whether the value is secret: then it stands in a Secret of the run, see status.outputsSecret, and "
        "not in its status.",
    )
    nullable: ClassVar[frozenset[str]] = frozenset({"value"})


class RunnerPod(Model):
    """Where and with what the run's pod is placed."""

    resources: Resources | None = Field(None, description="Compute resources of the runner's container.")
    node_selector: dict[str, Label] = Field(
        default_factory=dict, description="Labels that a node must have.", max_length=32
    )
    tolerations: tuple[Toleration, ...] = Field((), description="Node taints that the pod tolerates.", max_length=32)


def _tasks(*rules: JsonDict) -> JsonDict:
    """Schema extras of a list of tasks, with further rules."""
    return {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-validations": [
            {
                "rule": "self.all(t, has(t.tool) ? has(t.server) && !has(t.template) : has(t.template) && "
                "!has(t.server))",
                "message": "every task needs either server and tool, or template",
            },
            {
                "rule": "self.all(t, has(t.tool) ? !has(t.parameters) : [has(t.arguments), has(t.retry), "
                "has(t.idempotent), has(t.cache), has(t.successWhen)].all(x, !x))",
                "message": "arguments, retry, idempotent, cache and successWhen go with a tool, parameters with a "
                "template",
            },
            *rules,
        ],
    }


class WorkflowTemplateSpec(Model):
    """A typed graph of tool calls."""

    description: Description | None = Field(None, description="What the workflow does.")
    timeout_seconds: Seconds | None = Field(
        None, description="Seconds that a run may take from its start. Default: the operator's setting, 3600."
    )
    priority: Priority = Field(
        Priority.MEDIUM,
        description="Which runs go first when not all can: high, medium or low. A run may say otherwise.",
    )
    estimated_duration_seconds: Seconds | None = Field(
        None, description="Seconds that a run takes as a rule. With it, the queue can say when a waiting run may start."
    )
    server_wait_seconds: Seconds = Field(
        3600,
        description="Seconds that a run waits for a server that it needs to be there and ready; after that it fails, "
        "without having started.",
    )
    max_parallel_tasks: Annotated[int, Field(ge=1, le=64)] = Field(
        3, description="The most tool calls of one run at the same time."
    )
    parameters: tuple[Parameter, ...] = Field(
        (),
        description="Inputs of the workflow.",
        max_length=64,
        json_schema_extra=BY_NAME,
    )
    tasks: tuple[Task, ...] = Field(
        description="The tasks. Each starts as soon as what it depends on has ended.",
        min_length=1,
        max_length=MAX_TASKS,
        json_schema_extra=_tasks(
            {
                "rule": "self.all(t, !has(t.dependsOn) || t.dependsOn.all(d, !d.matches('^[-_a-zA-Z0-9]+$') || "
                "(d != t.name && self.exists(other, other.name == d))))",
                "message": "dependsOn must name other tasks of this workflow",
            }
        ),
    )
    finally_: tuple[Task, ...] = Field(
        (),
        alias="finally",
        description="Tasks that run at the end, whatever became of the others. Their expressions also read "
        "run.succeeded, run.failed, run.reason and run.message.",
        max_length=MAX_FINALLY,
        json_schema_extra=_tasks(),
    )
    finally_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        300, description="Seconds that the tasks of finally may take in all, beyond the run's own time-out."
    )
    outputs: tuple[Output, ...] = Field(
        (),
        description="Results of the whole workflow, worked out when it has succeeded. One that needs the result of a "
        "task without any is left out.",
        max_length=64,
        json_schema_extra=BY_NAME,
    )
    cache: Cache | None = Field(
        None,
        description="Take answers of earlier calls again: the default of the tasks whose tool declares that it only "
        "reads, or that a repeated call is harmless.",
    )
    pod: RunnerPod | None = Field(None, description="Where and with what the run's pod is placed.")

    @property
    def every_task(self) -> tuple[Task, ...]:
        """The tasks, and those of finally."""
        return (*self.tasks, *self.finally_)


class TemplateSpec(WorkflowTemplateSpec):
    """A typed graph of tool calls, how many runs it may have, when they start, and what becomes of them."""

    concurrency: Concurrency | None = Field(
        None,
        description="How many runs of the WorkflowTemplate there may be at the same time.",
        json_schema_extra={"x-kubernetes-validations": [dict(rule) for rule in CONCURRENCY_RULES]},
    )
    schedules: tuple[Schedule, ...] = Field(
        (),
        description="Times at which runs are started. A run has the WorkflowTemplate as its owner.",
        max_length=MAX_SCHEDULES,
        json_schema_extra=BY_NAME,
    )
    ttl_seconds_after_finished: TtlSeconds | None = Field(
        None,
        description="Seconds after its end at which a run is deleted, where the run does not say. Default: "
        "runs are kept.",
    )
    history: History | None = Field(
        None,
        description="How many ended runs are kept. Default: 10 of each sort of those that "
        "a schedule started, and all others.",
    )

    @functools.cached_property
    def workflow(self) -> WorkflowTemplateSpec:
        """What a run runs, and keeps: the graph alone."""
        names = WorkflowTemplateSpec.model_fields.keys() & self.model_fields_set
        return WorkflowTemplateSpec.model_validate({name: getattr(self, name) for name in names})


class TemplateCondition(StrEnum):
    """Types of a template's conditions."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    VALID = "Valid"
    TOOLS_RESOLVED = "ToolsResolved"


class TemplateReason(StrEnum):
    """Why a template is in its state. A stable contract: programs match these words."""

    READY = "Ready"
    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    INVALID_GRAPH = "InvalidGraph"
    INVALID_EXPRESSION = "InvalidExpression"
    INVALID_PARAMETER = "InvalidParameter"
    TOOLS_RESOLVED = "ToolsResolved"
    SERVER_NOT_FOUND = "ServerNotFound"
    SERVER_NOT_READY = "ServerNotReady"
    TOOL_NOT_FOUND = "ToolNotFound"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    INVALID_ARGUMENT = "InvalidArgument"
    INVALID_SCHEDULE = "InvalidSchedule"


class Mistake(Model):
    """One thing that is wrong in a workflow or a run, and where."""

    path: str = Field(description="Path of the field, for example spec.tasks[2].arguments.query.", max_length=512)
    reason: str = Field(description="One CamelCase word for programs.", max_length=128)
    message: str = Field(description="What is wrong with the value, and the remedy.", max_length=2048)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class WorkflowTemplateStatus(Model):
    """What was observed."""

    observed_generation: int = Field(-1, description="The metadata.generation that this status was computed from.")
    conditions: tuple[Condition, ...] = Field(
        (),
        description="Conditions: Ready, Reconciling, Stalled, Valid, ToolsResolved.",
        max_length=16,
        json_schema_extra=BY_TYPE,
    )
    errors: tuple[Mistake, ...] = Field((), description="Everything that is wrong, each with its path.", max_length=64)
    task_count: int | None = Field(None, description="Number of tasks.")
    schedules: tuple[ScheduleStatus, ...] = Field(
        (),
        description="What the schedules have done and will do.",
        max_length=MAX_SCHEDULES,
        json_schema_extra=BY_NAME,
    )


class WorkflowTemplate(Model):
    """A typed graph of tool calls."""

    metadata: ObjectMeta
    spec: TemplateSpec
    status: WorkflowTemplateStatus = Field(default_factory=WorkflowTemplateStatus)
