"""WorkflowTemplate: a typed graph of tool calls."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import (
    Model,
    ObjectMeta,
    ParameterName,
    Seconds,
    ServerName,
    TaskName,
    ToolName,
    preserved,
)
from mcp_orchestrator.api.conditions import BY_TYPE, Condition
from mcp_orchestrator.api.pods import Label, Resources, Toleration

Description = Annotated[str, StringConstraints(max_length=2048)]
MAX_TASKS = 100


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
    nullable: ClassVar[frozenset[str]] = frozenset({"default"})

    @property
    def required(self) -> bool:
        """Whether a run must give the value. A default of null counts as a default."""
        return "default" not in self.model_fields_set


class Task(Model):
    """One tool call."""

    name: TaskName = Field(description="Name of the task, unique in the workflow.")
    server: ServerName = Field(description="Name of the MCPServer, in the namespace of the run.")
    tool: ToolName = Field(description="Name of the server's tool.")
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of the tool. Strings may hold ${{ }} expressions over params.NAME and "
        "tasks.NAME.result; a string that is one lone expression keeps the type of its value.",
        max_length=64,
        json_schema_extra=preserved(),
    )
    depends_on: tuple[TaskName, ...] = Field(
        (),
        description="Tasks that must succeed first, besides those whose results the arguments use.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    timeout_seconds: Seconds | None = Field(
        None, description="Seconds that the call may take. Default: the server's timeoutSeconds."
    )


class Output(Model):
    """A result of the whole workflow."""

    name: ParameterName = Field(description="Name of the output.")
    value: Any = Field(
        description="The value, with ${{ }} expressions over params.NAME and tasks.NAME.result.",
        json_schema_extra=preserved(nullable=True),
    )
    nullable: ClassVar[frozenset[str]] = frozenset({"value"})


class RunnerPod(Model):
    """Where and with what the run's pod is placed."""

    resources: Resources | None = Field(None, description="Compute resources of the runner's container.")
    node_selector: dict[str, Label] = Field(
        default_factory=dict, description="Labels that a node must have.", max_length=32
    )
    tolerations: tuple[Toleration, ...] = Field((), description="Node taints that the pod tolerates.", max_length=32)


class WorkflowTemplateSpec(Model):
    """A typed graph of tool calls."""

    description: Description | None = Field(None, description="What the workflow does.")
    timeout_seconds: Seconds | None = Field(
        None, description="Seconds that a run may take from its start. Default: the operator's setting, 3600."
    )
    max_parallel_tasks: Annotated[int, Field(ge=1, le=64)] = Field(
        3, description="The most tool calls of one run at the same time."
    )
    parameters: tuple[Parameter, ...] = Field(
        (),
        description="Inputs of the workflow.",
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    tasks: tuple[Task, ...] = Field(
        description="The tool calls. Each starts as soon as the tasks that it depends on have succeeded.",
        min_length=1,
        max_length=MAX_TASKS,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(t, !has(t.dependsOn) || t.dependsOn.all(d, d != t.name && "
                    "self.exists(other, other.name == d)))",
                    "message": "dependsOn must name other tasks of this workflow",
                }
            ],
        },
    )
    outputs: tuple[Output, ...] = Field(
        (),
        description="Results of the whole workflow, worked out when all tasks have succeeded.",
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    pod: RunnerPod | None = Field(None, description="Where and with what the run's pod is placed.")


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
    INVALID_ARGUMENT = "InvalidArgument"


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


class WorkflowTemplate(Model):
    """A typed graph of tool calls."""

    metadata: ObjectMeta
    spec: WorkflowTemplateSpec
    status: WorkflowTemplateStatus = Field(default_factory=WorkflowTemplateStatus)
