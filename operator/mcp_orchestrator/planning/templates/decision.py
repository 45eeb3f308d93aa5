"""plan_template: whether a WorkflowTemplate can run, and what is wrong where. Called by controllers.templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.scheduling import ScheduleStatus
from mcp_orchestrator.api.workflowtemplate import (
    Mistake,
    TemplateCondition,
    TemplateReason,
    WorkflowTemplate,
    WorkflowTemplateStatus,
)
from mcp_orchestrator.planning.plan import Event, EventType, Plan
from mcp_orchestrator.planning.templates import schedules
from mcp_orchestrator.planning.workflows import checks, nesting, resolution

MAX_MISTAKES = 64


@dataclass(frozen=True, slots=True)
class ObservedTemplate:
    """A WorkflowTemplate, and the servers and templates of its namespace."""

    template: WorkflowTemplate
    servers: Mapping[str, MCPServer]
    templates: Mapping[str, WorkflowTemplate] = field(default_factory=dict)
    schedules: tuple[ScheduleStatus, ...] = ()
    """What `schedules` says that they have done and will do."""


def plan_template(observed: ObservedTemplate, now: datetime) -> Plan:
    """The template's status. It needs no timer: its servers' changes wake it."""
    template, workflow = observed.template, observed.template.spec.workflow
    nested = nesting.find(workflow, observed.templates, "spec", template.metadata.name)
    own = (
        (*checks.check_workflow(workflow), *schedules.check(template.spec))
        or nested.mistakes
        or nesting.check(workflow, nested, "spec")
    )
    tools = resolution.ToolMistakes() if own else _tools(observed, nested)
    verdicts = _verdicts(own, tools)
    mistakes = (*own, *tools.lasting, *tools.passing)
    fields = {
        "observed_generation": template.metadata.generation,
        "conditions": conditions.merge(template.status.conditions, verdicts, template.metadata.generation, now),
        "task_count": len(template.spec.tasks),
    }
    if mistakes:
        fields["errors"] = mistakes[:MAX_MISTAKES]
    if observed.schedules:
        fields["schedules"] = observed.schedules
    status = WorkflowTemplateStatus(**fields)
    if status == template.status:
        return Plan()
    return Plan(status=status.wire(), events=tuple(_events(template, verdicts[TemplateCondition.READY])))


def _tools(observed: ObservedTemplate, nested: nesting.Nested) -> resolution.ToolMistakes:
    """The mistakes about tools, here and in the workflows that tasks run; one that is missing may come as well."""
    inner = ((nesting.path_of(template), template.spec) for template in nested.templates)
    found = [
        resolution.check_tools(spec, observed.servers, path)
        for path, spec in (("spec", observed.template.spec), *inner)
    ]
    return resolution.ToolMistakes(
        lasting=tuple(mistake for one in found for mistake in one.lasting),
        passing=(*nested.missing, *(mistake for one in found for mistake in one.passing)),
    )


def summary(mistakes: tuple[Mistake, ...]) -> str:
    """The first mistake, and how many more there are."""
    more = len(mistakes) - 1
    return str(mistakes[0]) + (f" (and {more} more: see status.errors)" if more else "")


def _verdicts(own: tuple[Mistake, ...], tools: resolution.ToolMistakes) -> dict[str, Verdict]:
    lasting = own or tools.lasting
    mistakes = (*lasting, *tools.passing)
    ready = conditions.true(TemplateReason.READY)
    if mistakes:
        ready = conditions.false(mistakes[0].reason, summary(mistakes))
    waiting = bool(mistakes) and not lasting
    if own:
        resolved = conditions.unknown(own[0].reason, "the workflow itself must be mended first")
    elif mistakes:
        resolved = conditions.false(mistakes[0].reason, summary(mistakes))
    else:
        resolved = conditions.true(TemplateReason.TOOLS_RESOLVED, "every tool exists and takes the arguments")
    return {
        TemplateCondition.READY: ready,
        TemplateCondition.RECONCILING: conditions.true(ready.reason, ready.message)
        if waiting
        else conditions.false(ready.reason),
        TemplateCondition.STALLED: conditions.true(ready.reason, ready.message)
        if lasting
        else conditions.false(ready.reason),
        TemplateCondition.VALID: conditions.false(own[0].reason, summary(own))
        if own
        else conditions.true(TemplateReason.VALID, "parameters, graph, expressions and schedules are sound"),
        TemplateCondition.TOOLS_RESOLVED: resolved,
    }


def _events(template: WorkflowTemplate, ready: Verdict) -> Iterable[Event]:
    before = conditions.find(template.status.conditions, TemplateCondition.READY)
    if before and (before.status, before.reason) == (ready.status, ready.reason):
        return
    if ready.status == conditions.ConditionStatus.TRUE:
        yield Event(ready.reason, "The workflow can run: its graph is sound and its tools exist")
    else:
        passing = ready.reason in resolution.PASSING
        yield Event(ready.reason, ready.message, EventType.NORMAL if passing else EventType.WARNING)
