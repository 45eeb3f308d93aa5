"""Whether a run can start: its workflow, parameters and servers looked up and checked. Called by planning.runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.mcpserver import MCPServer, ServerCondition
from mcp_orchestrator.api.workflowrun import ResolvedServer, ResolvedTemplate, RunReason, WorkflowRun
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason, WorkflowTemplate, WorkflowTemplateSpec
from mcp_orchestrator.planning import checks, manifests, parameters

PASSING = frozenset({TemplateReason.SERVER_NOT_FOUND, TemplateReason.SERVER_NOT_READY})
"""Mistakes that may go away without a change of the workflow."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run can't start yet, but may later without a change of its spec."""

    reason: RunReason
    message: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The run can never start as it is."""

    reason: RunReason
    mistakes: tuple[Mistake, ...]

    @property
    def message(self) -> str:
        """All mistakes, one a line."""
        return "\n".join(str(mistake) for mistake in self.mistakes)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The run can start, with just these things."""

    template: ResolvedTemplate
    servers: tuple[ResolvedServer, ...]


def resolve(
    run: WorkflowRun, template: WorkflowTemplate | None, servers: Mapping[str, MCPServer]
) -> Resolved | Waiting | Rejected:
    """Look at the run's workflow first, then its parameters, then its servers."""
    workflow, path = run.spec.template, "spec.template"
    if workflow is None:
        name = run.spec.template_ref.name if run.spec.template_ref else ""
        if template is None:
            return Waiting(
                RunReason.TEMPLATE_NOT_FOUND,
                f'spec.templateRef.name: there is no WorkflowTemplate "{name}" in namespace '
                f'"{run.metadata.namespace}"; create it, or delete this run and name another',
            )
        workflow, path = template.spec, f"WorkflowTemplate {name} spec"
    mistakes = checks.check_workflow(workflow, path)
    if mistakes:
        return Rejected(RunReason.TEMPLATE_INVALID, mistakes)
    given = parameters.resolve(workflow.parameters, run.spec.parameters, "spec.parameters")
    if given.mistakes:
        return Rejected(RunReason.INVALID_PARAMETER, given.mistakes)
    return _with_servers(run, template, workflow, path, servers)


def _with_servers(
    run: WorkflowRun,
    template: WorkflowTemplate | None,
    workflow: WorkflowTemplateSpec,
    path: str,
    servers: Mapping[str, MCPServer],
) -> Resolved | Waiting | Rejected:
    found = check_tools(workflow, servers, path)
    if found.lasting:
        return Rejected(RunReason.TEMPLATE_INVALID, found.lasting)
    if found.passing:
        first = next((mistake for mistake in found.passing if mistake.reason in PASSING), found.passing[0])
        missing = first.reason == TemplateReason.SERVER_NOT_FOUND
        changing = "" if first.reason in PASSING else " (the server is changing, and may have other tools soon)"
        return Waiting(RunReason.SERVER_NOT_FOUND if missing else RunReason.SERVER_NOT_READY, f"{first}{changing}")
    used = sorted({task.server for task in workflow.tasks})
    for name in used:
        ready = conditions.find(servers[name].status.conditions, ServerCondition.READY)
        if ready is None or ready.status != conditions.ConditionStatus.TRUE:
            why = f"{ready.reason}: {ready.message}" if ready else "it has not been checked yet"
            return Waiting(RunReason.SERVER_NOT_READY, f'MCPServer "{name}" is not ready: {why}')
    return Resolved(
        template=ResolvedTemplate(
            **({"name": template.metadata.name} if template else {}),
            generation=template.metadata.generation if template else run.metadata.generation,
            digest=digest(workflow),
            spec=workflow,
        ),
        servers=tuple(_server(servers[name]) for name in used),
    )


@dataclass(frozen=True, slots=True)
class ToolMistakes:
    """What is wrong with the tools that a workflow calls."""

    lasting: tuple[Mistake, ...] = ()
    """Only a change of the workflow, or of a server, mends these."""
    passing: tuple[Mistake, ...] = ()
    """These may go away by themselves: the server is not there yet, or its tools are those of an earlier version."""


def check_tools(workflow: WorkflowTemplateSpec, servers: Mapping[str, MCPServer], path: str = "spec") -> ToolMistakes:
    """Check the tools, and sort the mistakes by whether the servers may still change what they said."""
    found = checks.check_tools(workflow, servers, path)
    lasting = tuple(mistake for mistake in found if mistake.reason not in PASSING)
    if lasting and not all(_is_settled(server) for server in servers.values()):
        settled = {name: server for name, server in servers.items() if _is_settled(server)}
        sure = checks.check_tools(workflow, settled, path)
        lasting = tuple(mistake for mistake in sure if mistake.reason not in PASSING)
    return ToolMistakes(lasting, tuple(mistake for mistake in found if mistake not in lasting))


def _is_settled(server: MCPServer) -> bool:
    """Whether the recorded tools are those of the server's newest spec, and were seen at the last check."""
    status = server.status
    return (
        status.observed_generation == server.metadata.generation
        and conditions.is_true(status.conditions, ServerCondition.READY)
        and not conditions.is_true(status.conditions, ServerCondition.RECONCILING)
    )


def digest(workflow: WorkflowTemplateSpec) -> str:
    """SHA-256 of the workflow, the same for the same workflow however it was written."""
    canonical = orjson.dumps(workflow.wire(), option=orjson.OPT_SORT_KEYS)
    return "sha256:" + hashlib.sha256(canonical).hexdigest()


def _server(server: MCPServer) -> ResolvedServer:
    fields = {"tools_digest": server.status.tools_digest} if server.status.tools_digest else {}
    return ResolvedServer(
        name=server.metadata.name,
        url=manifests.server_url(server),
        timeout_seconds=server.spec.timeout_seconds,
        **fields,
    )
