#!/usr/bin/env python3
"""What a cache hit takes: a run of 100 tasks, one after the other, whose answers are all there, against a real server.

Run it as `PYTHONPATH=.:hack hack/env python hack/bench/cache.py`. The first hit of a run makes its connection.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.integration.runner import keyvalue

from mcp_orchestrator.api.cache import Cache as Default
from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.workflowrun import ResolvedServer, ResolvedTool, TaskPhase
from mcp_orchestrator.api.workflowtemplate import Task, WorkflowTemplateSpec
from mcp_orchestrator.runner import execute, reporting
from mcp_orchestrator.runner.cache import Cache
from mcp_orchestrator.runner.calls import Call
from mcp_orchestrator.runner.execute import Surroundings
from mcp_orchestrator.runner.packs import Owner, Packs
from mcp_orchestrator.runner.records import UnitRecord
from mcp_orchestrator.runner.redisstore import RedisStore
from mcp_orchestrator.runner.results import Answer

ROUNDS = 7
TASKS = 100
BUDGET_MILLISECONDS = 50.0
SERVERS = {"s": ResolvedServer(name="s", url="http://s", tools=(ResolvedTool(name="t", repeatable=True),))}


class Tools:
    """Tools that answer at once with 10 KB."""

    async def call(self, call: Call) -> Answer:
        return Answer.of({"unit": call.unit, "text": "x" * 10_000})


class TimedReport(reporting.Report):
    """The report that a runner keeps, with the moment at which each task succeeded."""

    def __init__(self) -> None:
        identity = reporting.Identity("pod", "uid", datetime(2026, 1, 1, tzinfo=UTC))
        super().__init__([], identity, Packs(Owner("namespace", "run", "uid", "job")))
        self.moments: list[float] = []
        self.hits = 0

    def update(self, record: UnitRecord) -> None:
        """Take note."""
        super().update(record)
        if record.phase == TaskPhase.SUCCEEDED:
            self.moments.append(time.perf_counter())
            self.hits += record.cache == CacheUse.HIT

    async def commit(self) -> None:
        """Nothing is waited for."""


def workflow() -> WorkflowTemplateSpec:
    """Tasks in a chain, with arguments of their own."""
    tasks = [
        Task(name=f"t{i}", server="s", tool="t", arguments={"x": i}, depends_on=(f"t{i - 1}",) if i else ())
        for i in range(TASKS)
    ]
    return WorkflowTemplateSpec(tasks=tuple(tasks), cache=Default(ttl_seconds=600))


async def once(url: str) -> tuple[TimedReport, list[float]]:
    """A run; its report and the milliseconds of each of its tasks."""
    report = TimedReport()
    async with RedisStore(url) as store:
        begun = time.perf_counter()
        cache = Cache(store, "bench", b"key")
        around = Surroundings(SERVERS)
        await execute.execute(workflow(), {}, around, Tools(), report, timeout_seconds=600, cache=cache)
    moments = [begun, *report.moments]
    return report, [(after - before) * 1000 for before, after in itertools.pairwise(moments)]


async def main() -> int:
    """Fill the cache, and measure the runs that follow."""
    with tempfile.TemporaryDirectory() as directory:
        async with keyvalue.serving(Path(directory)) as server:
            await once(server.url)
            runs = [await once(server.url) for _ in range(ROUNDS)]
    if any(report.hits != TASKS for report, _ in runs):
        raise SystemExit("not every task was a hit")
    later = [spent for _, all_spent in runs for spent in all_spent[1:]]
    rows = {
        "first hit of a run, with its connection": statistics.median(spent[0] for _, spent in runs),
        "a later hit": statistics.median(later),
        "the slowest hit": max(spent for _, all_spent in runs for spent in all_spent),
    }
    if "-o" in sys.argv and "json" in sys.argv:
        print(json.dumps({"milliseconds": {name: round(spent, 2) for name, spent in rows.items()}}, indent=1))
        return 0
    print(f"{'what':<42} {'milliseconds':>13}   budget {BUDGET_MILLISECONDS:g} ms")
    for name, spent in rows.items():
        print(f"{name:<42} {spent:>13.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
