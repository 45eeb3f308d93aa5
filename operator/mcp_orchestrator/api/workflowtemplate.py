"""WorkflowTemplate: a typed graph of tool calls."""

from __future__ import annotations

import functools
from enum import StrEnum

from pydantic import Field

from mcp_orchestrator.api.base import Model, ObjectMeta
from mcp_orchestrator.api.conditions import BY_TYPE, Condition
from mcp_orchestrator.api.control import CONCURRENCY_RULES, Concurrency
from mcp_orchestrator.api.retention import History, TtlSeconds
from mcp_orchestrator.api.scheduling import MAX_SCHEDULES, Schedule, ScheduleStatus
from mcp_orchestrator.api.workflow import BY_NAME, Workflow


class WorkflowTemplateSpec(Workflow):
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
    def workflow(self) -> Workflow:
        """What a run runs, and keeps: the graph alone."""
        names = Workflow.model_fields.keys() & self.model_fields_set
        return Workflow.model_validate({name: getattr(self, name) for name in names})


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
    spec: WorkflowTemplateSpec
    status: WorkflowTemplateStatus = Field(default_factory=WorkflowTemplateStatus)
