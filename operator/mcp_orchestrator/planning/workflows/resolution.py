"""Whether a run can start: its workflows, parameters and servers looked up and checked. Called by planning.runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.mcpserver import MCPServer, MCPServerSpec
from mcp_orchestrator.api.mcpserverstatus import ServerCondition
from mcp_orchestrator.api.resolved import NestedTemplate, ResolvedServer, ResolvedTemplate, ResolvedTool
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunReason
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason, WorkflowTemplate
from mcp_orchestrator.planning import mistakes
from mcp_orchestrator.planning.children import manifests, runjob
from mcp_orchestrator.planning.workflows import checks, nesting, parameters
from mcp_orchestrator.planning.workflows.remembering import remembered

PASSING = frozenset(
    {TemplateReason.SERVER_NOT_FOUND, TemplateReason.SERVER_NOT_READY, TemplateReason.TEMPLATE_NOT_FOUND}
)
"""Mistakes that may go away without a change of the workflow."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run can't start yet, but may later without a change of its spec."""

    reason: RunReason
    message: str
    patience_seconds: int | None = None
    """How long it may wait for that; None for as long as it takes."""


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
    resumed_packs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands beside the run in its namespace, by name."""

    templates: Mapping[str, WorkflowTemplate] = field(default_factory=dict)
    servers: Mapping[str, MCPServer] = field(default_factory=dict)
    texts: parameters.Texts = field(default_factory=dict)
    """What the ConfigMaps hold that spec.parametersFrom names."""
    resumed: WorkflowRun | None = None
    """The run that spec.resumeFrom names."""


def resolve(run: WorkflowRun, around: Surroundings) -> Resolved | Waiting | Rejected:
    """Look at the run's workflow first, then its parameters, then its servers."""
    found = _workflows(run, around)
    if isinstance(found, Waiting):
        return found
    workflow, path, nested = found.spec, found.path, found.nested
    mistakes = checks.check_workflow(workflow, path) or nested.mistakes or nesting.check(workflow, nested, path)
    if mistakes:
        return Rejected(RunReason.TEMPLATE_INVALID, mistakes)
    if wrong := parameters.check_given(run.spec, workflow.parameters, around.texts):
        return Rejected(RunReason.INVALID_PARAMETER, wrong)
    if waiting := _waits_for(run, nested, around):
        return waiting
    resolved = _with_servers(run, found, around.servers)
    if isinstance(resolved, Resolved) and around.resumed:
        return replace(resolved, resumed_packs=runjob.packs(around.resumed))
    return resolved


def resolve_queued(run: WorkflowRun, around: Surroundings) -> Resolved | Waiting | Rejected:
    """`resolve`, of a run in the queue: the operator has seen what it gives and reads, and only servers can change."""
    found = _workflows(run, around)
    return found if isinstance(found, Waiting) else _with_servers(run, found, around.servers)


def readiness(run: WorkflowRun, around: Surroundings) -> Resolved | Waiting:
    """Whether a run that was resolved already, and stopped in the middle, can go on: its servers must be ready."""
    template = run.status.template
    assert template  # noqa: S101 - it was resolved
    for server in run.status.servers:
        if server.name not in around.servers:
            return Waiting(RunReason.SERVER_NOT_FOUND, f'there is no MCPServer "{server.name}" any more; create it')
    names = [server.name for server in run.status.servers]
    return _unready(names, around.servers) or Resolved(template=template, servers=run.status.servers)


def _waits_for(run: WorkflowRun, nested: nesting.Nested, around: Surroundings) -> Waiting | None:
    """What must be there besides servers, and may come."""
    if nested.missing:
        return Waiting(RunReason.TEMPLATE_NOT_FOUND, str(nested.missing[0]))
    for place, source in enumerate(run.spec.parameters_from):
        ref = source.config_map_key_ref
        if ref and around.texts.get((ref.name, ref.key)) is None:
            path = f"spec.parametersFrom[{place}].configMapKeyRef"
            message = f'{path}: there is no ConfigMap "{ref.name}" with a key "{ref.key}" in the namespace; create it'
            return Waiting(RunReason.CONFIG_MAP_NOT_FOUND, message)
    return _waits_for_resumed(run, around.resumed)


def _waits_for_resumed(run: WorkflowRun, other: WorkflowRun | None) -> Waiting | None:
    name = run.spec.resume_from
    if not name:
        return None
    if other is None:
        message = f'spec.resumeFrom: there is no WorkflowRun "{name}" in the namespace'
        return Waiting(RunReason.RUN_NOT_FOUND, f"{message}; delete this run and name another")
    if not (other.status.phase and other.status.phase.final):
        return Waiting(RunReason.RUN_NOT_FINISHED, f'spec.resumeFrom: WorkflowRun "{name}" has not ended yet')
    return None


@dataclass(frozen=True, slots=True)
class _Workflows:
    """The run's workflow, where it stands, and those that its tasks run."""

    template: WorkflowTemplate | None
    spec: Workflow
    path: str
    nested: nesting.Nested

    def all(self) -> tuple[tuple[str, Workflow], ...]:
        """Each with its path."""
        inner = ((nesting.path_of(found), found.spec) for found in self.nested.templates)
        return ((self.path, self.spec), *inner)


def _workflows(run: WorkflowRun, around: Surroundings) -> _Workflows | Waiting:
    workflow, path, name = run.spec.template, "spec.template", ""
    template: WorkflowTemplate | None = None
    if workflow is None:
        name = run.spec.template_ref.name if run.spec.template_ref else ""
        template = around.templates.get(name)
        if template is None:
            hint = mistakes.suggestion(name, around.templates)
            remedy = (
                f'{hint} Then delete this run and name that one; else create "{name}"'
                if hint
                else "; create it, or delete this run and name another"
            )
            return Waiting(
                RunReason.TEMPLATE_NOT_FOUND,
                f'spec.templateRef.name: there is no WorkflowTemplate "{name}" in namespace '
                f'"{run.metadata.namespace}"{remedy}',
            )
        workflow, path = template.spec.workflow, nesting.path_of(template)
    return _Workflows(template, workflow, path, nesting.find(workflow, around.templates, path, name))


def _with_servers(
    run: WorkflowRun, workflows: _Workflows, servers: Mapping[str, MCPServer]
) -> Resolved | Waiting | Rejected:
    used, patience = _tools_used(spec for _, spec in workflows.all()), workflows.spec.server_wait_seconds
    all_found = [check_tools(spec, servers, path) for path, spec in workflows.all()]
    if lasting := tuple(mistake for found in all_found for mistake in found.lasting):
        return Rejected(RunReason.TEMPLATE_INVALID, lasting)
    if passing := tuple(mistake for found in all_found for mistake in found.passing):
        known = [name for name in used if name in servers]
        if waiting := _unready(known, servers):
            return replace(waiting, patience_seconds=patience)
        first = next((mistake for mistake in passing if mistake.reason in PASSING), passing[0])
        missing = first.reason == TemplateReason.SERVER_NOT_FOUND
        changing = "" if first.reason in PASSING else " (the server is changing, and may have other tools soon)"
        reason = RunReason.SERVER_NOT_FOUND if missing else RunReason.SERVER_NOT_READY
        return Waiting(reason, f"{first}{changing}", patience)
    if waiting := _unready(used, servers):
        return replace(waiting, patience_seconds=patience)
    return Resolved(
        template=_snapshot(run, workflows),
        servers=tuple(_server(servers[name], tools) for name, tools in used.items()),
    )


def _unready(names: Iterable[str], servers: Mapping[str, MCPServer]) -> Waiting | None:
    """The first server that is not ready, and since when. No more words: they would change with each of its checks."""
    for name in names:
        ready = conditions.find(servers[name].status.conditions, ServerCondition.READY)
        if ready is None:
            return Waiting(RunReason.SERVER_NOT_READY, f'MCPServer "{name}" has not been checked yet')
        if ready.status != conditions.ConditionStatus.TRUE:
            since = f"since {ready.last_transition_time:%Y-%m-%dT%H:%M:%SZ}: {ready.reason}"
            return Waiting(RunReason.SERVER_NOT_READY, f'MCPServer "{name}" has not been ready {since}')
    return None


def _snapshot(run: WorkflowRun, workflows: _Workflows) -> ResolvedTemplate:
    template, inner = workflows.template, workflows.nested.templates
    nested = tuple(
        NestedTemplate(
            name=found.metadata.name,
            generation=found.metadata.generation,
            digest=digest(found.spec.workflow),
            spec=found.spec.workflow,
        )
        for found in inner
    )
    return ResolvedTemplate(
        **({"name": template.metadata.name} if template else {}),
        generation=template.metadata.generation if template else run.metadata.generation,
        digest=digest(workflows.spec),
        spec=workflows.spec,
        **({"nested": nested} if nested else {}),
    )


def _tools_used(workflows: Iterable[Workflow]) -> Mapping[str, tuple[str, ...]]:
    """The servers that tasks call, in order, with their tools."""
    found: dict[str, set[str]] = {}
    for spec in workflows:
        for task in spec.every_task:
            if task.server and task.tool:
                found.setdefault(task.server, set()).add(task.tool)
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


@dataclass(frozen=True, slots=True)
class ToolMistakes:
    """What is wrong with the tools that a workflow calls."""

    lasting: tuple[Mistake, ...] = ()
    """Only a change of the workflow, or of a server, mends these."""
    passing: tuple[Mistake, ...] = ()
    """These may go away by themselves: the server is not there yet, or its tools are those of an earlier version."""


def check_tools(workflow: Workflow, servers: Mapping[str, MCPServer], path: str = "spec") -> ToolMistakes:
    """Check the tools, and sort the mistakes by whether the servers may still change what they said."""
    used = _tools_used([workflow])
    if used.keys() <= servers.keys() and _is_sound(workflow, *(servers[name] for name in used)):
        return ToolMistakes()
    found = checks.check_tools(workflow, servers, path)
    lasting = tuple(mistake for mistake in found if mistake.reason not in PASSING)
    if lasting and not all(_is_settled(server) for server in servers.values()):
        settled = {name: server for name, server in servers.items() if _is_settled(server)}
        sure = checks.check_tools(workflow, settled, path)
        lasting = tuple(mistake for mistake in sure if mistake.reason not in PASSING)
    return ToolMistakes(lasting, tuple(mistake for mistake in found if mistake not in lasting))


@remembered
def _is_sound(workflow: Workflow, *servers: MCPServer) -> bool:
    """Whether each tool is there and takes its arguments. `servers` are those that the tasks call."""
    return not checks.check_tools(workflow, {server.metadata.name: server for server in servers})


def _is_settled(server: MCPServer) -> bool:
    """Whether the recorded tools are those of the server's newest spec, and were seen at the last check."""
    status = server.status
    return (
        status.observed_generation == server.metadata.generation
        and conditions.is_true(status.conditions, ServerCondition.READY)
        and not conditions.is_true(status.conditions, ServerCondition.RECONCILING)
    )


@remembered
def digest(spec: Workflow | MCPServerSpec) -> str:
    """SHA-256 of a workflow or a server, the same for the same one however it was written."""
    canonical = orjson.dumps(spec.wire(), option=orjson.OPT_SORT_KEYS)
    return "sha256:" + hashlib.sha256(canonical).hexdigest()


def _server(server: MCPServer, tools: tuple[str, ...]) -> ResolvedServer:
    """The server as the run keeps it, with what the tools that it calls say of themselves."""
    fields: dict[str, Any] = {"digest": digest(server.spec)}
    if server.status.tools_digest:
        fields["tools_digest"] = server.status.tools_digest
    if "retry" in server.spec.model_fields_set:
        fields["retry"] = server.spec.retry
    known = {tool.name: tool for tool in server.status.tools}
    return ResolvedServer(
        name=server.metadata.name,
        url=manifests.server_url(server),
        timeout_seconds=server.spec.timeout_seconds,
        tools=tuple(ResolvedTool(name=name, repeatable=known[name].repeatable) for name in tools),
        **fields,
    )
