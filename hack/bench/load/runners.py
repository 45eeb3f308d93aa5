"""The runners of all runs, played: each takes its run's fence, and reports an end after a while, as a real one does.

A process of its own: `python -m bench.load.runners NAMESPACE SECONDS`. Its pods then end, as those of fake nodes do.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from mcp_orchestrator.api.base import RUNNER_MANAGER
from mcp_orchestrator.cluster import config, errors, resources, watch
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.watch import ChangeType
from mcp_orchestrator.planning.children.runjob import RUN_LABEL
from mcp_orchestrator.settings import clock

AGENT = "bench-runner"
Json = dict[str, Any]


async def main(namespace: str, seconds: float) -> None:
    """Play the runner of each pod that runs, for ever."""
    connection = replace(config.load(), headers={"User-Agent": AGENT})
    seen: set[str] = set()
    async with Client(connection, pool_limit=32) as client, asyncio.TaskGroup() as group:
        async for pod in pods(client, namespace):
            if pod["metadata"]["uid"] not in seen and pod.get("status", {}).get("phase") == "Running":
                seen.add(pod["metadata"]["uid"])
                group.create_task(play(client, pod, seconds))


async def pods(client: Client, namespace: str) -> AsyncIterator[Json]:
    """The runs' pods as they are, and after each change."""
    while True:
        listed = await client.list_all(resources.PODS, namespace, label_selector=RUN_LABEL, convert=dict)
        for pod in listed.items:
            yield pod
        since = listed.resource_version
        async for change in watch.changes(client, resources.PODS, namespace, since=since, label_selector=RUN_LABEL):
            if change.type in (ChangeType.ADDED, ChangeType.MODIFIED):
                yield change.object


async def play(client: Client, pod: Json, seconds: float) -> None:
    """Take the fence, work for a while, report, and end the pod."""
    metadata = pod["metadata"]
    run = next(env["value"] for env in pod["spec"]["containers"][0]["env"] if env["name"].endswith("_RUN_NAME"))
    runner = {"podName": metadata["name"], "podUid": metadata["uid"], "attempt": 1}
    runner["startTime"] = began = f"{clock():%Y-%m-%dT%H:%M:%SZ}"
    task: Json = {"name": "now", "attempts": 1, "startTime": began}
    try:
        tasks = [task | {"phase": "Running"}]
        await tell(client, metadata["namespace"], run, {"runner": runner, "tasks": tasks, "progress": "0/1"})
        await asyncio.sleep(seconds)
        result = {"phase": "Succeeded", "durationMilliseconds": int(seconds * 1000), "result": {"datetime": began}}
        ended = runner | {"outcome": "Succeeded", "reason": "Succeeded", "message": "all tasks succeeded"}
        await tell(client, metadata["namespace"], run, {"runner": ended, "tasks": [task | result], "progress": "1/1"})
        await client.apply(resources.PODS, exit_of(pod), manager=AGENT)
    except errors.NotFound:
        return  # the run was deleted


async def tell(client: Client, namespace: str, run: str, status: Json) -> None:
    """Apply the runner's part of a status."""
    body = {"metadata": {"name": run, "namespace": namespace}, "status": status}
    await client.apply_status(resources.WORKFLOW_RUNS, body, manager=RUNNER_MANAGER)


def exit_of(pod: Json) -> Json:
    """What makes a fake node end the pod."""
    metadata = {name: pod["metadata"][name] for name in ("name", "namespace")}
    return {"metadata": metadata | {"annotations": {"hack-cluster/exit-code": "0"}}}


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
