"""A task of a workflow: a tool call, one for each of many items, or a workflow."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import (
    Expression,
    Model,
    Seconds,
    ServerName,
    TaskName,
    TemplateReference,
    ToolName,
    VariableName,
    preserved,
)
from mcp_orchestrator.api.cache import TaskCache
from mcp_orchestrator.api.errorclass import RETRYABLE, ErrorClass

Dependency = Annotated[str, StringConstraints(min_length=1, max_length=512)]
MAX_UNITS = 1000
"""Tasks of one run, counting each item of a forEach and each task of a nested workflow."""


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
