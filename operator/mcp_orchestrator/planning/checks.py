"""What is wrong with a workflow, before it runs: by itself, and against the tools of its servers.

Called by planning.templates, planning.resolution and the command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.mcpserver import MCPServer, ServerCondition, Tool
from mcp_orchestrator.api.workflowtemplate import Mistake, Task, TemplateReason, WorkflowTemplateSpec
from mcp_orchestrator.planning import arguments, expressions, graph, mistakes, parameters


def check_workflow(spec: WorkflowTemplateSpec, path: str = "spec") -> tuple[Mistake, ...]:
    """Everything that can be said without servers: names, parameters, the graph and the expressions."""
    return (
        *_duplicates(spec, path),
        *parameters.check_declarations(spec.parameters, f"{path}.parameters"),
        *_check_graph(spec, path),
        *_check_expressions(spec, path),
    )


def check_tools(
    spec: WorkflowTemplateSpec, servers: Mapping[str, MCPServer], path: str = "spec"
) -> tuple[Mistake, ...]:
    """Whether every task's server and tool exist, and whether the tool can take the arguments.

    `servers` are those of the namespace, by name. The workflow itself must be without mistakes.
    """
    declared = {parameter.name: parameter for parameter in spec.parameters}
    tools = {name: {tool.name: tool for tool in server.status.tools} for name, server in servers.items()}
    found: list[Mistake] = []
    for index, task in enumerate(spec.tasks):
        where = f"{path}.tasks[{index}]"
        if mistake := _check_tool(task, servers, tools, where):
            found.append(mistake)
        else:
            tool = tools[task.server][task.tool]
            found.extend(arguments.check(task, tool, declared, f"{where}.arguments"))
    return tuple(found)


# --- the workflow itself ---------------------------------------------------------------------------------------------


def _duplicates(spec: WorkflowTemplateSpec, path: str) -> Iterator[Mistake]:
    """The API server refuses them too; a workflow may come from elsewhere."""
    for field in ("parameters", "tasks", "outputs"):
        names = [item.name for item in getattr(spec, field)]
        for name, count in Counter(names).items():
            if count > 1:
                last = len(names) - 1 - names[::-1].index(name)
                message = f'"{name}" is the name of {count} {field}: give each its own'
                yield mistakes.a_mistake(f"{path}.{field}[{last}].name", TemplateReason.INVALID_SPEC, message)


def _check_graph(spec: WorkflowTemplateSpec, path: str) -> Iterator[Mistake]:
    names = {task.name for task in spec.tasks}
    for index, task in enumerate(spec.tasks):
        where = f"{path}.tasks[{index}]"
        for place, message in _dependency_faults(task, names):
            yield mistakes.a_mistake(f"{where}.dependsOn[{place}]", TemplateReason.INVALID_GRAPH, message)
        for argument, text in expressions.strings(task.arguments, f"{where}.arguments"):
            if task.name in expressions.references(text).tasks:
                message = f'the arguments of task "{task.name}" use its own result, which is not there before it runs'
                yield mistakes.a_mistake(argument, TemplateReason.INVALID_GRAPH, message)
    dependencies = graph.build(spec).dependencies
    others = {name: tuple(other for other in needed if other != name) for name, needed in dependencies.items()}
    if cycle := graph.find_cycle(graph.Graph(others)):
        message = f"these tasks wait for each other, and can never start: {' → '.join(cycle)}; take one dependency away"
        yield mistakes.a_mistake(f"{path}.tasks", TemplateReason.INVALID_GRAPH, message)


def _dependency_faults(task: Task, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    for place, name in enumerate(task.depends_on):
        if name == task.name:
            yield place, f'task "{name}" waits for itself: take it out'
        elif name not in names:
            hint = mistakes.suggestion(name, names) or f"; there are {mistakes.listing(names)}"
            yield place, f'unknown task "{name}"{hint}'
        elif name in task.depends_on[:place]:
            yield place, f'"{name}" stands here twice: take one out'


def _check_expressions(spec: WorkflowTemplateSpec, path: str) -> Iterator[Mistake]:
    declared = [parameter.name for parameter in spec.parameters]
    tasks = [task.name for task in spec.tasks]
    for index, task in enumerate(spec.tasks):
        where = f"{path}.tasks[{index}].arguments"
        yield from expressions.check(task.arguments, where, parameters=declared, tasks=tasks)
    for index, output in enumerate(spec.outputs):
        yield from expressions.check(output.value, f"{path}.outputs[{index}].value", parameters=declared, tasks=tasks)


# --- its servers -----------------------------------------------------------------------------------------------------


def _check_tool(
    task: Task, servers: Mapping[str, MCPServer], tools: Mapping[str, Mapping[str, Tool]], path: str
) -> Mistake | None:
    server = servers.get(task.server)
    if server is None:
        hint = mistakes.suggestion(task.server, servers)
        message = (
            f'there is no MCPServer "{task.server}" in the namespace{hint or ";"}'
            f'{" Otherwise" if hint else ""} create an MCPServer named "{task.server}"'
        )
        return mistakes.a_mistake(f"{path}.server", TemplateReason.SERVER_NOT_FOUND, message)
    if task.tool in tools[task.server]:
        return None
    if not server.status.tools and server.status.tool_count is None:
        message = f'the tools of MCPServer "{task.server}" are not known yet; {_why(server)}'
        return mistakes.a_mistake(f"{path}.server", TemplateReason.SERVER_NOT_READY, message)
    known = tools[task.server]
    hint = mistakes.suggestion(task.tool, known)
    message = (
        f'MCPServer "{task.server}" has no tool "{task.tool}"{hint}'
        f"{' It' if hint else '; it'} has {mistakes.listing(known) or 'none'}"
    )
    return mistakes.a_mistake(f"{path}.tool", TemplateReason.TOOL_NOT_FOUND, message)


def _why(server: MCPServer) -> str:
    ready = conditions.find(server.status.conditions, ServerCondition.READY)
    if ready is None or ready.status == conditions.ConditionStatus.TRUE:
        return "it is checked soon"
    return f"it is not ready: {ready.reason}" + (f": {ready.message}" if ready.message else "")
