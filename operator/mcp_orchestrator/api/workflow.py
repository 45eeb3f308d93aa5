"""A workflow: a graph of tasks with parameters and outputs, in a WorkflowTemplate or in a run itself."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.config import JsonDict

from mcp_orchestrator.api.base import Description, Model, ParameterName, Seconds, preserved
from mcp_orchestrator.api.cache import Cache
from mcp_orchestrator.api.control import Priority
from mcp_orchestrator.api.pods import Label, Resources, Toleration
from mcp_orchestrator.api.task import Task

MAX_TASKS = 100
MAX_FINALLY = 20
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


class Workflow(Model):
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
