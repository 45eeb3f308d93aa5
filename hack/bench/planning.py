#!/usr/bin/env python3
"""What planning costs: CPU time to check and to resolve a template of 100 tasks with 16 edges each.

Run it as `hack/env python hack/bench/planning.py`. First: a template that was never seen; again: the same one, as for
each run of it. The median of several templates counts.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.base import ObjectMeta, TemplateReference
from mcp_orchestrator.api.mcpserver import MCPServer, MCPServerSpec, StdioSource
from mcp_orchestrator.api.mcpserverstatus import MCPServerStatus, Tool
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflowrun import WorkflowRun, WorkflowRunSpec
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate, WorkflowTemplateSpec
from mcp_orchestrator.planning.workflows import checks, resolution
from mcp_orchestrator.planning.workflows.resolution import Resolved, Surroundings

TEMPLATES = 9
BUDGET_MILLISECONDS = 20
SHAPES = {16: "all by name", 8: "half in arguments", 0: "all in arguments"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def workflow(number: int, named: int) -> WorkflowTemplateSpec:
    """100 tasks of 16 edges: so many by name, the others by an expression each that no other template has."""
    tasks = []
    for place in range(100):
        near, far = range(max(0, place - named), place), range(max(0, place - 16), max(0, place - named))
        arguments = {f"a{other}": f"${{{{ tasks.t{other}.result.x{number} }}}}" for other in far}
        names = tuple(f"t{other}" for other in near)
        tasks.append(Task(name=f"t{place}", server="s", tool="t", depends_on=names, arguments=arguments))
    return WorkflowTemplateSpec(tasks=tuple(tasks))


def surroundings(spec: WorkflowTemplateSpec) -> Surroundings:
    """The template, and a server that is ready and has the tool."""
    ready = conditions.merge((), {"Ready": conditions.true("Ready")}, 1, NOW)
    tool = Tool(name="t", digest="sha256:0", input_schema={"type": "object"})
    server = MCPServer(
        metadata=ObjectMeta(name="s", namespace="n", uid="u", generation=1),
        spec=MCPServerSpec(stdio=StdioSource(command="x")),
        status=MCPServerStatus(conditions=ready, tools=(tool,), tool_count=1, observed_generation=1),
    )
    metadata = ObjectMeta(name="template", namespace="n", uid="v", generation=1)
    return Surroundings({"template": WorkflowTemplate(metadata=metadata, spec=spec)}, {"s": server})


def spent(work: Callable[[], object]) -> float:
    """CPU milliseconds."""
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1000


def check(spec: WorkflowTemplateSpec) -> None:
    if found := checks.check_workflow(spec):
        raise SystemExit(f"the template has mistakes: {found[0]}")


def resolve(run: WorkflowRun, around: Surroundings) -> None:
    found = resolution.resolve(run, around)
    if not isinstance(found, Resolved):
        raise SystemExit(f"the run can't be admitted: {found}")


def main() -> int:
    run = WorkflowRun(
        metadata=ObjectMeta(name="run", namespace="n", uid="w", generation=1),
        spec=WorkflowRunSpec(template_ref=TemplateReference(name="template")),
    )
    figures: dict[str, list[float]] = {}
    check(workflow(TEMPLATES, 8))  # imports and first uses are nobody's template
    for named, shape in SHAPES.items():
        for number in range(TEMPLATES):
            spec = workflow(number, named)
            around = surroundings(spec)
            for what, work in (
                ("check, first", lambda spec=spec: check(spec)),
                ("check, again", lambda spec=spec: check(spec)),
                ("resolve the first run", lambda around=around: resolve(run, around)),
                ("resolve the next run", lambda around=around: resolve(run, around)),
            ):
                figures.setdefault(f"{shape}: {what}", []).append(spent(work))
    rows = {name: round(statistics.median(values), 2) for name, values in figures.items()}
    if "-o" in sys.argv and "json" in sys.argv:
        print(json.dumps({"cpuMilliseconds": rows}, indent=1))
        return 0
    print(f"{'100 tasks, 16 edges each':<48} {'CPU':>9}   budget {BUDGET_MILLISECONDS} ms")
    for name, value in rows.items():
        print(f"{name:<48} {value:>6.2f} ms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
