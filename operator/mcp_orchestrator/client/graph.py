"""`mcp-orchestrator graph FILE`: the tasks of a workflow and what waits for what, as Mermaid text or an SVG picture."""

from __future__ import annotations

from collections.abc import Mapping

from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.client import drawing, sources
from mcp_orchestrator.client.drawing import Box, Part
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.client.findings import Rule
from mcp_orchestrator.client.sources import Document
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.planning.workflows import graph


def run(file: str, template: str, output: str) -> Exit:
    """The command. Raises Failed."""
    found = parts(_workflow(file, template))
    Terminal.of().line(drawing.svg(found) if output == "svg" else drawing.mermaid(found))
    return Exit.OK


def parts(spec: Workflow) -> tuple[Part, ...]:
    """The tasks, and those of finally if there are any. Raises Failed for tasks that wait for each other."""
    tasks = _part("tasks", spec.tasks, graph.build(spec.tasks))
    if not spec.finally_:
        return (tasks,)
    earlier = [task.name for task in spec.tasks]
    return tasks, _part("finally", spec.finally_, graph.build(spec.finally_, earlier))


def _part(title: str, tasks: tuple[Task, ...], found: graph.Graph) -> Part:
    if cycle := graph.find_cycle(found):
        raise Failed(f"these tasks wait for each other: {' → '.join(cycle)}", Exit.FAILED)
    layers = _layers(found)
    return Part(
        title,
        tuple(Box(task.name, _what(task), layers[task.name], task.template is not None) for task in tasks),
        tuple((name, other, other in node.needs) for name, node in found.nodes.items() for other in node.waits),
    )


def _layers(found: graph.Graph) -> Mapping[str, int]:
    """For each task, the length of the longest way to it. The graph has no cycle."""
    layers: dict[str, int] = {}
    while len(layers) < len(found.nodes):
        for name, node in found.nodes.items():
            if name not in layers and all(other in layers for other in node.waits):
                layers[name] = 1 + max((layers[other] for other in node.waits), default=-1)
    return layers


def _what(task: Task) -> str:
    called = f"workflow {task.template.name}" if task.template else f"{task.server}: {task.tool}"
    return f"{called}, for each" if task.for_each else called


def _workflow(file: str, name: str) -> Workflow:
    """The workflow that the file holds under that name, or the only one. Raises Failed."""
    found = sources.read([file])
    broken = [one for one in found.findings if one.rule == Rule.UNREADABLE]
    if broken:
        raise Failed(f"{file}:{broken[0].line}:{broken[0].column}: {broken[0].message}")
    workflows = {_name(one): one for one in found.documents if _holds_workflow(one)}
    if name and name not in workflows:
        raise Failed(f'{file} holds no workflow "{name}"; it holds {", ".join(workflows) or "none"}')
    if not name and len(workflows) != 1:
        raise Failed(f"{file} holds {len(workflows)} workflows: choose one with --template ({', '.join(workflows)})")
    return _spec(workflows[name or next(iter(workflows))])


def _name(document: Document) -> str:
    return str(document.metadata.get("name") or document.metadata.get("generateName") or "")


def _holds_workflow(document: Document) -> bool:
    spec = document.body.get("spec")
    return document.kind.model is WorkflowTemplate or (isinstance(spec, dict) and "template" in spec)


def _spec(document: Document) -> Workflow:
    body = {**document.body, "metadata": {"name": _name(document)}, "status": {}}
    found = read(WorkflowTemplate if document.kind.model is WorkflowTemplate else WorkflowRun, body)
    match found:
        case WorkflowTemplate():
            return found.spec
        case WorkflowRun() if found.spec.template:
            return found.spec.template
    why = found.message if isinstance(found, Unreadable) else "it has no workflow"
    raise Failed(f"{document.file}: {why}; mcp-orchestrator validate says where", Exit.FAILED)
