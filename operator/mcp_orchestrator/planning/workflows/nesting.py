"""Workflows that stand in other workflows: found, checked, and bounded. Called by resolution and templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflow import MAX_DEPTH, MAX_NESTED, Workflow
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason, WorkflowTemplate
from mcp_orchestrator.planning import expressions, mistakes
from mcp_orchestrator.planning.workflows import checks, parameters
from mcp_orchestrator.planning.workflows.remembering import remembered

SNAPSHOT_BYTES = 64 * 1024
"""The most that all workflows of a run take as JSON: its status keeps them."""


@dataclass(frozen=True, slots=True)
class Nested:
    """The workflows that a workflow's tasks run, and those that theirs run, each once, in the order of mention."""

    templates: tuple[WorkflowTemplate, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    """What only a change of a workflow mends."""
    missing: tuple[Mistake, ...] = ()
    """WorkflowTemplates that are not there, and may come."""


def find(workflow: Workflow, templates: Mapping[str, WorkflowTemplate], path: str, name: str = "") -> Nested:
    """Look up what the workflow's tasks run. `path` is where it stands, `name` that of its WorkflowTemplate if any."""
    search = _Search(templates)
    search.look(workflow, path, (name,) if name else ())
    return Nested(tuple(search.found.values()), tuple(search.mistakes), tuple(search.missing))


def check(workflow: Workflow, nested: Nested, path: str) -> tuple[Mistake, ...]:
    """What is wrong with the nested workflows, with the parameters that they are given, and with the size of it all."""
    found: list[Mistake] = []
    specs = {template.metadata.name: template.spec for template in nested.templates}
    for template in nested.templates:
        found += checks.check_workflow(template.spec, path_of(template))
    for where, spec in ((path, workflow), *((path_of(template), template.spec) for template in nested.templates)):
        for place, task, _ in checks.tasks_of(spec, where):
            if task.template and task.template.name in specs:
                found += _check_parameters(task, specs[task.template.name], f"{place}.parameters")
    if not found and len(specs) > MAX_NESTED:
        message = (
            f"its tasks lead to {len(specs)} other workflows, and {MAX_NESTED} is the most; put some of them together"
        )
        found.append(mistakes.a_mistake(path, TemplateReason.INVALID_SPEC, message))
    if not found and (size := snapshot_bytes(workflow, nested)) > SNAPSHOT_BYTES:
        parts = f" with the {len(specs)} that its tasks run" if specs else ""
        message = (
            f"the workflow{parts} has {size / 1024:.0f} KiB as JSON, and the limit is {SNAPSHOT_BYTES // 1024} KiB: "
            "give large texts as parameters, or let a tool fetch them"
        )
        found.append(mistakes.a_mistake(path, TemplateReason.INVALID_SPEC, message))
    return tuple(found)


def path_of(template: WorkflowTemplate) -> str:
    """Where the workflow of a WorkflowTemplate stands, for paths of mistakes."""
    return f"WorkflowTemplate {template.metadata.name} spec"


def snapshot_bytes(workflow: Workflow, nested: Nested) -> int:
    """The size of all workflows as JSON."""
    return sum(map(_bytes, (workflow, *(found.spec.workflow for found in nested.templates))))


@remembered
def _bytes(workflow: Workflow) -> int:
    return len(orjson.dumps(workflow.wire()))


class _Search:
    def __init__(self, templates: Mapping[str, WorkflowTemplate]) -> None:
        self._templates = templates
        self.found: dict[str, WorkflowTemplate] = {}
        self.mistakes: list[Mistake] = []
        self.missing: list[Mistake] = []
        self._looked: set[tuple[str, int]] = set()
        """Workflows with their levels: what stands below is the same whichever way led there. One that leads back to
        itself is found from any way, as a circle or as too many levels."""

    def look(self, workflow: Workflow, path: str, chain: tuple[str, ...], depth: int = 1) -> None:
        """Look at the tasks of one workflow, `depth` levels from the top; `chain` are the names that led to it."""
        for where, task, _ in checks.tasks_of(workflow, path):
            if task.template is None:
                continue
            name, place = task.template.name, f"{where}.template.name"
            template = self._templates.get(name)
            if name in chain:
                way = " → ".join((*chain[chain.index(name) :], name))
                self._refuse(place, f"the workflow leads back to itself: {way}; take one of these tasks out")
            elif template is None:
                self._miss(place, name)
            elif depth >= MAX_DEPTH:
                way = " → ".join((*chain, name))
                self._refuse(place, f"workflows stand more than {MAX_DEPTH} levels deep in each other: {way}")
            else:
                self.found.setdefault(name, template)
                if (name, depth) not in self._looked:
                    self._looked.add((name, depth))
                    self.look(template.spec, path_of(template), (*chain, name), depth + 1)

    def _refuse(self, place: str, message: str) -> None:
        mistake = mistakes.a_mistake(place, TemplateReason.INVALID_GRAPH, message)
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)

    def _miss(self, place: str, name: str) -> None:
        hint = mistakes.suggestion(name, self._templates)
        message = (
            f'there is no WorkflowTemplate "{name}" in the namespace{hint or ";"}'
            f"{' Otherwise' if hint else ''} create it"
        )
        mistake = mistakes.a_mistake(place, TemplateReason.TEMPLATE_NOT_FOUND, message)
        if mistake not in self.missing:
            self.missing.append(mistake)


def _check_parameters(task: Task, workflow: Workflow, path: str) -> Iterator[Mistake]:
    """The parameters that a task gives; what expressions come to is known only when it runs, and checked then."""
    declared = {parameter.name: parameter for parameter in workflow.parameters}
    for name in task.parameters:
        if name not in declared:
            hint = mistakes.suggestion(name, declared) or f"; it has {mistakes.listing(declared) or 'none'}"
            yield parameters.a_mistake(mistakes.at(path, name), f'the workflow has no parameter "{name}"{hint}')
    for name, parameter in declared.items():
        if name not in task.parameters:
            if parameter.required:
                yield parameters.a_mistake(
                    mistakes.at(path, name), "it is missing, and has no default: give it a value"
                )
        elif not any("${{" in text for _, text in expressions.strings(task.parameters[name], "")):
            yield from parameters.unfit(parameter, task.parameters[name], mistakes.at(path, name))
