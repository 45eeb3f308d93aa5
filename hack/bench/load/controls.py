"""What this machine and this API server could do at best, for ratios: the operator's writes, without an operator."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from bench.load import workload
from bench.load.workload import Json
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.planning.runs import runstatus

CONDITIONS = ("Succeeded", "Finished", "Reconciling", "Stalled", "Admitted")
CONDITION = {"status": "True", "reason": "Admitted", "message": "the run has its slot", "observedGeneration": 1}
AT_ONCE = 16


async def rates(client: Client, namespace: str, runs: int) -> Mapping[str, float]:
    """Jobs a second that are created by POST alone, and with the status before each that admits its run.

    With the CPU time that the latter takes in this process: where others share the machine, that compares better.
    """
    await client.create(resources.NAMESPACES, {"metadata": {"name": namespace}})
    names = [f"control-{number}" for number in range(2 * runs)]
    await workload.submit(client, namespace, names)
    listed = await client.list_all(resources.WORKFLOW_RUNS, namespace, convert=lambda run: run)
    posted, admitted = listed.items[:runs], listed.items[runs:]

    async def admit(run: Json) -> None:
        name = f"{run['metadata']['name']}-job"
        await client.apply_status(resources.WORKFLOW_RUNS, admission(run, name), manager="bench")
        await client.create(resources.JOBS, workload.a_job(run, name, kept=False))

    async def post(run: Json) -> None:
        await client.create(resources.JOBS, workload.a_job(run, f"{run['metadata']['name']}-job", kept=True))

    found = {}
    for what, work, chosen in (("jobPosts", post, posted), ("bareAdmissions", admit, admitted)):
        began, cpu_began = time.monotonic(), time.process_time()
        await workload.in_parallel((partial(work, run) for run in chosen), AT_ONCE)
        found[f"{what}PerSecond"] = round(runs / (time.monotonic() - began), 1)
    # What was measured last.
    found["bareCpuMillisecondsPerRun"] = round(1000 * (time.process_time() - cpu_began) / runs, 2)
    return found


def admission(run: Json, job: str) -> Json:
    """A status of the size that admits a run of one task."""
    moment = run["metadata"]["creationTimestamp"]
    task = {"name": "now", "server": "time", "tool": "get_current_time", "arguments": {"timezone": "UTC"}}
    tools = [{"name": "get_current_time", "repeatable": False}]
    server = {"name": "time", "url": "http://time.bench.svc:8080/mcp", "toolsDigest": "sha256:2", "tools": tools}
    return {
        "metadata": {name: run["metadata"][name] for name in ("name", "namespace", "resourceVersion")},
        "status": {
            "observedGeneration": 1,
            "phase": "Running",
            "message": runstatus.STARTING,
            "conditions": [CONDITION | {"type": type_, "lastTransitionTime": moment} for type_ in CONDITIONS],
            "template": {"name": "clock", "generation": 1, "digest": f"sha256:{'0' * 64}", "spec": {"tasks": [task]}},
            "servers": [server | {"digest": f"sha256:{'0' * 64}", "timeoutSeconds": 30}],
            "attempt": 1,
            "jobName": job,
            "admittedAt": moment,
            "progress": "0/1",
            "traceparent": f"00-{'0' * 32}-{'1' * 16}-01",
        },
    }
