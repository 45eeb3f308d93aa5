"""`mcp-orchestrator plan`: what a run would do, as far as that is known before it, without calling a tool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from pydantic.alias_generators import to_camel

from mcp_orchestrator.api.base import ObjectMeta, TemplateReference
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.mcpserverstatus import Tool
from mcp_orchestrator.api.reading import read
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun, WorkflowRunSpec
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.client import given, localrun, localservers, manifests
from mcp_orchestrator.client.cluster import Access, Cluster, opened
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.client.localrun import Order
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.planning.workflows import graph, parameters, resolution
from mcp_orchestrator.planning.workflows.resolution import Resolved, Surroundings

M = TypeVar("M", MCPServer, WorkflowTemplate)


@dataclass(frozen=True, slots=True)
class Step:
    """A task, and what is known of its call."""

    name: str
    calls: str
    """SERVER.TOOL, or the workflow that it runs."""
    after: tuple[str, ...] = ()
    """The tasks that come before it."""
    read_only: bool | None = None
    """What the tool says of itself; None if it does not."""
    idempotent: bool | None = None
    destructive: bool | None = None
    when: str = ""
    for_each: str = ""
    """What it runs once for each of."""
    last: bool = False
    """Whether it is one of finally."""

    def wire(self) -> dict[str, Any]:
        """The step as JSON: only what is known."""
        named = {to_camel(name): value for name, value in asdict(self).items()}
        return {name: value for name, value in named.items() if value is not None and value not in ("", ())}

    @property
    def notes(self) -> Iterator[str]:
        """What is worth knowing of it."""
        if self.destructive and not self.read_only:
            yield "may destroy data"
        elif self.read_only:
            yield "only reads"
        elif self.read_only is None and self.destructive is None and "." in self.calls:
            yield "does not say what it may do"
        if self.for_each:
            yield f"once for each of {self.for_each}"
        if self.when:
            yield f"if {self.when}"
        if self.last:
            yield "at the end, whatever happened"


def run(order: Order, access: Access, output: str) -> Exit:
    """The command. Raises Failed, also for a run that could not start."""
    found, values, servers = asyncio.run(_resolved(order, access))
    tools = {(name, tool.name): tool for name, server in servers.items() for tool in server.status.tools}
    inner = {nested.name: nested.spec for nested in found.template.nested}
    steps = [*_steps(found.template.spec, "", inner, tools)]
    terminal = Terminal.of()
    if output == "json":
        name = found.template.name or order.template
        told = {"workflow": name, "parameters": values, "tasks": [step.wire() for step in steps]}
        terminal.data(told)
    else:
        _show(found, values, steps, terminal)
    return Exit.OK


def _show(found: Resolved, values: Mapping[str, Any], steps: list[Step], terminal: Terminal) -> None:
    spec = found.template.spec
    limit = f", within {spec.timeout_seconds} s" if spec.timeout_seconds else ""
    head = f"{len(steps)} task{'s'[: len(steps) != 1]} would run, at most {spec.max_parallel_tasks} at once{limit}"
    terminal.line(terminal.paint(head, "bold"))
    names, calls = (max(len(getattr(step, part)) for step in steps) for part in ("name", "calls"))
    for step in steps:
        after = (f"after {', '.join(step.after)}",) if step.after else ()
        notes = "; ".join((*step.notes, *after))
        terminal.hanging(f"  {step.name:<{names}}  {step.calls:<{calls}}  ", notes)
    if values:
        terminal.line(f"\n{terminal.paint('Parameters', 'bold')}")
        for name, value in values.items():
            terminal.hanging(f"  {name}: ", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    risky = [step.name for step in steps if step.destructive and not step.read_only]
    if risky:
        words = f"{len(risky)} of them may destroy data, as their tools say: {', '.join(risky)}"
        terminal.line(f"\n{terminal.paint(words, 'yellow')}")


def _steps(
    spec: Workflow,
    prefix: str,
    nested: Mapping[str, Workflow],
    tools: Mapping[tuple[str, str], Tool],
) -> Iterator[Step]:
    """The tasks in their order, those of nested workflows behind the task that runs them."""
    names = [task.name for task in spec.tasks]
    for tasks, ended in ((spec.tasks, ()), (spec.finally_, names)):
        edges = graph.build(tasks, ended).nodes
        for task in tasks:
            yield _step(task, prefix, edges[task.name].waits, tools, last=bool(ended))
            inner = nested.get(task.template.name) if task.template else None
            if inner:
                yield from _steps(inner, f"{prefix}{task.name}/", nested, tools)


def _step(
    task: Task, prefix: str, after: tuple[str, ...], tools: Mapping[tuple[str, str], Tool], *, last: bool
) -> Step:
    step = Step(
        name=f"{prefix}{task.name}",
        calls=f"workflow {task.template.name}" if task.template else f"{task.server}.{task.tool}",
        after=after,
        when=task.when or "",
        for_each=_shown(task.for_each.items) if task.for_each else "",
        last=last,
    )
    tool = tools.get((task.server or "", task.tool or ""))
    if tool is None:
        return step
    return replace(step, read_only=tool.read_only, idempotent=tool.idempotent, destructive=tool.destructive)


def _shown(items: Any) -> str:
    if isinstance(items, str):
        return items.removeprefix("${{").removesuffix("}}").strip()
    return f"{len(items)} items" if isinstance(items, list | dict) else str(items)


async def _resolved(order: Order, access: Access) -> tuple[Resolved, Mapping[str, Any], Mapping[str, MCPServer]]:
    """The run as it would be admitted now. Raises Failed with all that is wrong."""
    async with _around(order, access) as (run, around):
        found = resolution.resolve(run, around)
        if not isinstance(found, Resolved):
            raise Failed(f"the workflow can't run: {found.message}", Exit.FAILED)
        declared = found.template.spec.parameters
        values = parameters.resolve(declared, run.spec.parameters, "spec.parameters").values
        secret = {parameter.name for parameter in declared if parameter.sensitive}
        shown = {name: "(sensitive)" if name in secret else value for name, value in values.items()}
        return found, shown, around.servers


@asynccontextmanager
async def _around(order: Order, access: Access) -> AsyncIterator[tuple[WorkflowRun, Surroundings]]:
    """The run, and what stands beside it: among the files with their servers started, else in the cluster."""
    if order.files:
        held = manifests.load(order.files)
        run = localrun.run_of(order, held)
        localrun.check(run, held)
        wanted = [held.servers[name] for name in localrun.used(run, held)]
        async with localservers.running(wanted, held, localrun.START_SECONDS) as running:
            yield run, localrun.around(held, running)
        return
    async with opened(access) as cluster:
        templates = await _listed(cluster, resources.WORKFLOW_TEMPLATES, WorkflowTemplate)
        servers = await _listed(cluster, resources.MCP_SERVERS, MCPServer)
        template = templates.get(order.template)
        if template is None:
            raise cluster.no_template(order.template)
        values = given.parameters(order.parameters, template.spec.parameters)
        spec = WorkflowRunSpec(template_ref=TemplateReference(name=order.template), parameters=values)
        metadata = ObjectMeta(name="plan", namespace=cluster.namespace, uid="plan", generation=1)
        yield WorkflowRun(metadata=metadata, spec=spec), Surroundings(templates=templates, servers=servers)


async def _listed(cluster: Cluster, resource: Resource, model: type[M]) -> dict[str, M]:
    """The readable objects of a kind by name."""
    bodies = await cluster.client.list_all(resource, cluster.namespace, convert=dict)
    found = (read(model, body) for body in bodies.items)
    return {one.metadata.name: one for one in found if isinstance(one, model)}
