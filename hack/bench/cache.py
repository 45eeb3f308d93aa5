#!/usr/bin/env python3
"""What a cache hit and a miss take in each store: runs of 100 tasks, one after the other, whose tools take no time.

Run it as `PYTHONPATH=.:hack hack/env python hack/bench/cache.py`. It brings up the cluster of the integration tests,
and a Valkey of its own. The first hit of a run makes its connection. A miss is what the store adds to a call: a look, a
lock, another look, and the answer's writing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests import cluster
from tests.integration.runner import keyvalue
from tests.integration.runner.cachestores import InCluster, Place, Valkey

from mcp_orchestrator.api.cache import Cache as Default
from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.resolved import ResolvedServer, ResolvedTool
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.cluster import config, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.runner.cache.sharing import Cache
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.engine import execute
from mcp_orchestrator.runner.engine.execute import Surroundings
from mcp_orchestrator.runner.reports import reporting
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.packs import Owner, Packs
from mcp_orchestrator.runner.results.records import UnitRecord

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


def workflow() -> Workflow:
    """Tasks in a chain, with arguments of their own."""
    tasks = [
        Task(name=f"t{i}", server="s", tool="t", arguments={"x": i}, depends_on=(f"t{i - 1}",) if i else ())
        for i in range(TASKS)
    ]
    return Workflow(tasks=tuple(tasks), cache=Default(ttl_seconds=600))


async def once(place: Place) -> tuple[TimedReport, list[float]]:
    """A run; its report and the milliseconds of each of its tasks."""
    report = TimedReport()
    async with place.store() as store:
        begun = time.perf_counter()
        cache = Cache(store, place.namespace, b"key")
        around = Surroundings(SERVERS)
        await execute.execute(workflow(), {}, around, Tools(), report, timeout_seconds=600, cache=cache)
    moments = [begun, *report.moments]
    return report, [(after - before) * 1000 for before, after in itertools.pairwise(moments)]


async def measure(place: Place) -> dict[str, float]:
    """Fill the cache, and measure the runs that follow: milliseconds by what they are of."""
    _, misses = await once(place)
    runs = [await once(place) for _ in range(ROUNDS)]
    if any(report.hits != TASKS for report, _ in runs):
        raise SystemExit("not every task was a hit")
    later = [spent for _, all_spent in runs for spent in all_spent[1:]]
    return {
        "first hit of a run, with its connection": statistics.median(spent[0] for _, spent in runs),
        "a later hit": statistics.median(later),
        "the slowest hit": max(spent for _, all_spent in runs for spent in all_spent),
        "a miss": statistics.median(misses[1:]),
    }


@asynccontextmanager
async def in_cluster() -> AsyncIterator[InCluster]:
    """A namespace of the cluster for tests."""
    connection, name = (
        config.load({"KUBECONFIG": str(cluster.kubeconfig("test", "fake"))}),
        f"bench-{uuid.uuid4().hex[:8]}",
    )
    async with Client(connection) as client:
        await client.create(resources.NAMESPACES, {"metadata": {"name": name}})
        try:
            yield InCluster(connection, name)
        finally:
            await client.delete(resources.NAMESPACES, name)


async def main() -> int:
    """Measure both stores."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        async with keyvalue.serving(Path(directory)) as server:
            found["Valkey"] = await measure(Valkey(server, "bench"))
    async with in_cluster() as place:
        found["the cluster"] = await measure(place)
    if "-o" in sys.argv and "json" in sys.argv:
        rounded = {store: {name: round(spent, 2) for name, spent in rows.items()} for store, rows in found.items()}
        print(json.dumps({"milliseconds": rounded}, indent=1))
        return 0
    print(
        f"{'milliseconds':<42}"
        + "".join(f"{store:>14}" for store in found)
        + f"   budget {BUDGET_MILLISECONDS:g} ms a hit"
    )
    for name in found["Valkey"]:
        print(f"{name:<42}" + "".join(f"{rows[name]:>14.2f}" for rows in found.values()))
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
