"""Our kinds as api models, for unit tests: a builder gives something that works, and takes what the test is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.base import ObjectMeta, TemplateReference
from mcp_orchestrator.api.mcpserver import MCPServer, MCPServerSpec, StdioSource
from mcp_orchestrator.api.mcpserverstatus import MCPServerStatus, ServerCondition, Tool
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflow import Output, Parameter, Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun, WorkflowRunSpec
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate, WorkflowTemplateSpec
from mcp_orchestrator.planning.workflows.resolution import Surroundings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIME_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"timezone": {"type": "string", "minLength": 1}},
    "required": ["timezone"],
    "additionalProperties": False,
}


def a_task(
    name: str = "now",
    server: str = "time",
    tool: str = "get_current_time",
    arguments: Mapping[str, Any] | None = None,
    depends_on: Iterable[str] = (),
    **fields: Any,
) -> Task:
    """A task; the time in UTC if nothing else is said."""
    given = {"timezone": "UTC"} if arguments is None else dict(arguments)
    return Task(name=name, server=server, tool=tool, arguments=given, depends_on=tuple(depends_on), **fields)


def a_parameter(name: str = "topic", schema: Mapping[str, Any] | None = None, **fields: Any) -> Parameter:
    """A parameter; required unless `default` is given."""
    return Parameter(name=name, **({} if schema is None else {"schema": dict(schema)}), **fields)


def an_output(name: str = "answer", value: Any = "done") -> Output:
    """An output of a workflow."""
    return Output(name=name, value=value)


def a_spec(*tasks: Task, **fields: Any) -> Workflow:
    """A workflow of these tasks; of one if none are given."""
    return Workflow(**_workflow(tasks, fields))


def a_template(*tasks: Task, name: str = "field-notes", **fields: Any) -> WorkflowTemplate:
    """A WorkflowTemplate of these tasks; of one if none are given."""
    return WorkflowTemplate(metadata=metadata(name), spec=WorkflowTemplateSpec(**_workflow(tasks, fields)))


def _workflow(tasks: Iterable[Task], fields: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: tuple(value) if name in ("parameters", "outputs") else value for name, value in fields.items()}
    return {"tasks": tuple(tasks) or (a_task(),), **given}


def a_tool(name: str = "get_current_time", input_schema: Mapping[str, Any] | None = TIME_SCHEMA, **fields: Any) -> Tool:
    """A tool as a server's status lists it; with `input_schema=None` its arguments are not known."""
    schema = {} if input_schema is None else {"input_schema": dict(input_schema)}
    return Tool(name=name, digest="sha256:0", **schema, **fields)


def a_server(
    name: str = "time",
    tools: Iterable[Tool] | None = (a_tool(),),
    ready: bool = True,
    spec: MCPServerSpec | None = None,
    **status: Any,
) -> MCPServer:
    """An MCPServer that is ready and has one tool; with `tools=None` it has not been asked yet."""
    verdict = conditions.true("Ready") if ready else conditions.false("Starting", "its first pod is starting")
    listed = None if tools is None else tuple(tools)
    known = {} if listed is None else {"tools": listed, "tool_count": len(listed)}
    return MCPServer(
        metadata=metadata(name),
        spec=spec or MCPServerSpec(stdio=StdioSource(command=f"mcp-server-{name}")),
        status=MCPServerStatus(
            conditions=conditions.merge((), {ServerCondition.READY: verdict}, 1, NOW), **{**known, **status}
        ),
    )


def a_run(
    name: str = "field-notes-1",
    template: str | Workflow = "field-notes",
    parameters: Mapping[str, Any] | None = None,
    status: WorkflowRunStatus | None = None,
    **fields: Any,
) -> WorkflowRun:
    """A WorkflowRun of the template of that name, or of a workflow that stands in it."""
    source: dict[str, Any] = (
        {"template_ref": TemplateReference(name=template)} if isinstance(template, str) else {"template": template}
    )
    given = {} if parameters is None else {"parameters": dict(parameters)}
    return WorkflowRun(
        metadata=metadata(name),
        spec=WorkflowRunSpec(**source, **given, **fields),
        status=status or WorkflowRunStatus(),
    )


def around(template: WorkflowTemplate | None, servers: Mapping[str, MCPServer]) -> Surroundings:
    """What stands beside a run: the template that it names, if it is there, and servers by name."""
    return Surroundings({template.metadata.name: template} if template else {}, servers)


def metadata(name: str, **fields: Any) -> ObjectMeta:
    """Metadata of an object in the namespace `default`, with a UID that follows from its name."""
    known = {"namespace": "default", "uid": f"uid-of-{name}", "generation": 1, "creation_timestamp": NOW}
    return ObjectMeta(name=name, **{**known, **fields})
