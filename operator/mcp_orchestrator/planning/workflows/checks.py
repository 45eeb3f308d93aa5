"""What is wrong with a workflow, before it runs: by itself, and against the tools of its servers.

Called by planning.templates.decision, `resolution` and the command line. Names and graph are checked here, each task's
own fields by `taskchecks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.mcpserverstatus import ServerCondition, Tool
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason
from mcp_orchestrator.planning import expressions, mistakes
from mcp_orchestrator.planning.workflows import arguments, graph, parameters, taskchecks
from mcp_orchestrator.planning.workflows.remembering import remembered


@remembered
def check_workflow(spec: Workflow, path: str = "spec") -> tuple[Mistake, ...]:
    """Everything that can be said without servers: names, parameters, the graph and the expressions."""
    return (
        *_duplicates(spec, path),
        *parameters.check_declarations(spec.parameters, f"{path}.parameters"),
        *_check_tasks(spec, path),
        *_check_cycles(spec, path),
        *_check_outputs(spec, path),
    )


def check_tools(spec: Workflow, servers: Mapping[str, MCPServer], path: str = "spec") -> tuple[Mistake, ...]:
    """Whether every task's server and tool exist, and whether the tool can take the arguments.

    `servers` are those of the namespace, by name. The workflow itself must be without mistakes. Tasks that run another
    workflow are left out: that workflow's own tasks call tools.
    """
    declared = {parameter.name: parameter for parameter in spec.parameters}
    tools = {name: {tool.name: tool for tool in server.status.tools} for name, server in servers.items()}
    found: list[Mistake] = []
    for where, task, final in tasks_of(spec, path):
        if task.server is None or task.tool is None:
            continue
        if mistake := _check_tool(task.server, task.tool, servers, tools, where):
            found.append(mistake)
        else:
            tool = tools[task.server][task.tool]
            found.extend(arguments.check(task, tool, declared, f"{where}.arguments", final=final))
            found.extend(_check_cache(task, tool, f"{where}.cache"))
    return tuple(found)


# --- the workflow itself ---------------------------------------------------------------------------------------------


def tasks_of(spec: Workflow, path: str) -> Iterator[tuple[str, Task, bool]]:
    """Every task with its path, and whether it is one of finally."""
    for field, listed, final in (("tasks", spec.tasks, False), ("finally", spec.finally_, True)):
        yield from ((f"{path}.{field}[{index}]", task, final) for index, task in enumerate(listed))


def _duplicates(spec: Workflow, path: str) -> Iterator[Mistake]:
    """The API server refuses most of them too; a workflow may come from elsewhere."""
    for field in ("parameters", "tasks", "outputs"):
        names = [item.name for item in getattr(spec, field)]
        for name, count in Counter(names).items():
            if count > 1:
                last = len(names) - 1 - names[::-1].index(name)
                message = f'"{name}" is the name of {count} {field}: give each its own'
                yield mistakes.a_mistake(f"{path}.{field}[{last}].name", TemplateReason.INVALID_SPEC, message)
    earlier = {task.name for task in spec.tasks}
    for index, task in enumerate(spec.finally_):
        if task.name in earlier:
            message = f'"{task.name}" is the name of another task: give each its own'
            yield mistakes.a_mistake(f"{path}.finally[{index}].name", TemplateReason.INVALID_SPEC, message)
        earlier.add(task.name)


def _check_tasks(spec: Workflow, path: str) -> Iterator[Mistake]:
    tasks = {task.name: task for task in spec.tasks}
    everything = tasks | {task.name: task for task in spec.finally_}
    declared = tuple(parameter.name for parameter in spec.parameters)
    for where, task, final in tasks_of(spec, path):
        names = taskchecks.Names(parameters=declared, tasks=everything if final else tasks, final=final)
        yield from taskchecks.check(task, names, where)


def _check_cycles(spec: Workflow, path: str) -> Iterator[Mistake]:
    """Tasks that wait for each other; one that waits for itself is told by taskchecks."""
    earlier = tuple(task.name for task in spec.tasks)
    for field, found in (
        ("tasks", graph.build(spec.tasks)),
        ("finally", graph.build(spec.finally_, earlier)),
    ):
        others = {
            name: graph.Node(waits=tuple(other for other in node.waits if other != name))
            for name, node in found.nodes.items()
        }
        if cycle := graph.find_cycle(graph.Graph(others)):
            message = (
                f"these tasks wait for each other, and can never start: {' → '.join(cycle)}; take one dependency away"
            )
            yield mistakes.a_mistake(f"{path}.{field}", TemplateReason.INVALID_GRAPH, message)


def _check_outputs(spec: Workflow, path: str) -> Iterator[Mistake]:
    declared = [parameter.name for parameter in spec.parameters]
    tasks = [task.name for task in spec.tasks]
    for index, output in enumerate(spec.outputs):
        yield from expressions.check(output.value, f"{path}.outputs[{index}].value", parameters=declared, tasks=tasks)


# --- its servers -----------------------------------------------------------------------------------------------------


def _check_cache(task: Task, tool: Tool, path: str) -> Iterator[Mistake]:
    """A task that asks for a cache itself must get one; the workflow's default passes over tools that it is not for."""
    wanted = task.cache is not None and task.cache.ttl_seconds and not task.cache.force
    if wanted and not (tool.repeatable if task.idempotent is None else task.idempotent):
        what = (
            f'tool "{tool.name}" declares neither that it only reads nor that a repeated call is harmless'
            if task.idempotent is None
            else "the task says idempotent: false"
        )
        remedy = "leave cache out, or set cache.force: true if all that counts is the answer"
        yield mistakes.a_mistake(
            path, TemplateReason.INVALID_SPEC, f"{what}, so its answers are not taken again: {remedy}"
        )


def _check_tool(
    name: str,
    tool: str,
    servers: Mapping[str, MCPServer],
    tools: Mapping[str, Mapping[str, Tool]],
    path: str,
) -> Mistake | None:
    server = servers.get(name)
    if server is None:
        hint = mistakes.suggestion(name, servers)
        message = (
            f'there is no MCPServer "{name}" in the namespace{hint or ";"}'
            f'{" Otherwise" if hint else ""} create an MCPServer named "{name}"'
        )
        return mistakes.a_mistake(f"{path}.server", TemplateReason.SERVER_NOT_FOUND, message)
    if tool in tools[name]:
        return None
    if not server.status.tools and server.status.tool_count is None:
        message = f'the tools of MCPServer "{name}" are not known yet; {_why(server)}'
        return mistakes.a_mistake(f"{path}.server", TemplateReason.SERVER_NOT_READY, message)
    known = tools[name]
    hint = mistakes.suggestion(tool, known)
    message = (
        f'MCPServer "{name}" has no tool "{tool}"{hint}'
        f"{' It' if hint else '; it'} has {mistakes.listing(known) or 'none'}"
    )
    return mistakes.a_mistake(f"{path}.tool", TemplateReason.TOOL_NOT_FOUND, message)


def _why(server: MCPServer) -> str:
    ready = conditions.find(server.status.conditions, ServerCondition.READY)
    if ready is None or ready.status == conditions.ConditionStatus.TRUE:
        return "it is checked soon"
    return f"it is not ready: {ready.reason}" + (f": {ready.message}" if ready.message else "")
