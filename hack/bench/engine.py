#!/usr/bin/env python3
"""What the engine costs: CPU time of each task beside its tool call, and the memory of a run with 1,000 units.

Run it as `hack/env python hack/bench/engine.py`. Each shape is run several times; the median counts.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from mcp_orchestrator.api.resolved import ResolvedServer, ResolvedTool
from mcp_orchestrator.api.task import ForEach, Task
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrunstatus import Outcome
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.engine import execute
from mcp_orchestrator.runner.engine.execute import Surroundings
from mcp_orchestrator.runner.reports import reporting
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.packs import Owner, Packs

ROUNDS = 7
BUDGET_MILLISECONDS = 0.3
SERVERS = {"s": ResolvedServer(name="s", url="http://s", tools=(ResolvedTool(name="t", repeatable=True),))}


@dataclass(frozen=True, slots=True)
class Shape:
    """A workflow, and how many tool calls it makes."""

    name: str
    workflow: Workflow
    calls: int


class Tools:
    """Tools that answer at once."""

    async def call(self, call: Call) -> Answer:
        return Answer.of({"unit": call.unit, "text": "x" * 100})


def a_task(name: str, arguments: dict[str, object] | None = None, **fields: object) -> Task:
    return Task.model_validate({"name": name, "server": "s", "tool": "t", "arguments": arguments or {}, **fields})


def shapes() -> list[Shape]:
    wide = [a_task(f"t{i}") for i in range(100)]
    chain = [a_task("t0"), *(a_task(f"t{i}", {"x": f"${{{{ tasks.t{i - 1}.result.text }}}}"}) for i in range(1, 100))]
    dense = [
        a_task(f"t{i}", dependsOn=[f"t{other}" for other in range(max(0, i - 16), i)], when="params.go")
        for i in range(100)
    ]
    each = ForEach(items="${{ params.items }}", max_parallel=64)
    fan = [Task(name="fan", server="s", tool="t", arguments={"x": "${{ item.n + 1 }}"}, for_each=each)]
    return [
        Shape("100 tasks, none depends on another", _workflow(wide), 100),
        Shape("100 tasks in a chain, each reads the last one's result", _workflow(chain), 100),
        Shape("100 tasks with 16 dependencies and a condition each", _workflow(dense), 100),
        Shape("1,000 items, each with an expression", _workflow(fan), 1000),
    ]


def _workflow(tasks: list[Task]) -> Workflow:
    return Workflow(tasks=tuple(tasks), max_parallel_tasks=64)


async def once(shape: Shape) -> float:
    """CPU seconds of one run, with the report that a runner keeps."""
    params = {"go": True, "items": [{"n": n} for n in range(1000)]}
    report = new_report(shape)
    begun = time.process_time()
    ending = await execute.execute(shape.workflow, params, Surroundings(SERVERS), Tools(), report, timeout_seconds=600)
    report.snapshot()
    spent = time.process_time() - begun
    if ending.outcome != Outcome.SUCCEEDED:
        raise SystemExit(f"{shape.name}: {ending.message}")
    return spent


class KeptReport(reporting.Report):
    """The report that a runner keeps, with nobody to send it to."""

    async def commit(self) -> None:
        """Nothing is waited for: what an API server takes is not the engine's."""


def new_report(shape: Shape) -> KeptReport:
    """An empty report of the workflow."""
    tasks = [task.name for task in shape.workflow.tasks]
    identity = reporting.Identity("pod", "uid", datetime(2026, 1, 1, tzinfo=UTC))
    return KeptReport(tasks, identity, Packs(Owner("namespace", "run", "uid", "job")))


def main() -> int:
    rows = []
    for shape in shapes():
        asyncio.run(once(shape))
        spent = statistics.median(asyncio.run(once(shape)) for _ in range(ROUNDS))
        rows.append({"shape": shape.name, "cpuMillisecondsPerCall": round(spent / shape.calls * 1000, 4)})
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if "-o" in sys.argv and "json" in sys.argv:
        print(json.dumps({"rows": rows, "peakMebibytes": round(memory, 1)}, indent=1))
        return 0
    print(f"{'shape':<58} {'CPU per call':>13}   budget {BUDGET_MILLISECONDS} ms")
    for row in rows:
        print(f"{row['shape']:<58} {row['cpuMillisecondsPerCall']:>10.3f} ms")
    print(f"peak memory of the process: {memory:.1f} MiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
