"""What a run works with, as it was when the run was admitted: later changes do not touch it."""

from __future__ import annotations

from pydantic import Field

from mcp_orchestrator.api.base import ATOMIC, Digest, Model, ToolName, Word, preserved
from mcp_orchestrator.api.mcpserver import ServerRetry
from mcp_orchestrator.api.workflow import MAX_NESTED, Workflow


class NestedTemplate(Model):
    """A workflow that a task runs, as it was when the run was admitted."""

    name: Word = Field(description="Name of the WorkflowTemplate.")
    generation: int = Field(0, description="The WorkflowTemplate's metadata.generation.")
    digest: Digest = Field(description="SHA-256 of the workflow.")
    spec: Workflow = Field(
        description="The workflow itself.",
        json_schema_extra=preserved(bare=True, **ATOMIC),
    )


class ResolvedTemplate(Model):
    """The workflow as it was when the run was admitted: what is really run."""

    name: Word | None = Field(None, description="Name of the WorkflowTemplate; unset for an inline workflow.")
    generation: int = Field(0, description="The WorkflowTemplate's metadata.generation.")
    digest: Digest = Field(description="SHA-256 of the workflow.")
    spec: Workflow = Field(
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
