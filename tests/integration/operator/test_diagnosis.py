"""Runs whose own pod or Job fails them: the status says why, shows what was seen, and what to do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from mcp_orchestrator.cluster import resources
from tests.integration.operator.conftest import NOWHERE, Json, World
from tests.integration.operator.test_runs import ready
from tests.objects import a_run
from tests.waiting import eventually

GONE = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


@pytest_asyncio.fixture
async def once(world: World) -> AsyncIterator[World]:
    """An operator that gives each run one pod only."""
    async with world.operator(retry_attempts=1):
        yield world


async def pod_of(world: World, name: str) -> Json:
    """The run's pod, which finds no node."""
    run = await world.until_phase(name, "Running")
    selector = f"batch.kubernetes.io/job-name={run['status']['jobName']}"

    async def found() -> Json | None:
        listing = await world.client.list_all(resources.PODS, world.namespace, label_selector=selector, convert=dict)
        return listing.items[0] if listing.items else None

    pod: Json = await eventually("the run's pod", found)
    return pod


async def set_status(world: World, pod: Json, **status: Any) -> None:
    """Write a pod's status, as a node does."""
    body = {"metadata": {"name": pod["metadata"]["name"], "namespace": world.namespace}, "status": status}
    await world.client.apply_status(resources.PODS, body, manager="node")


async def shorten_deadline(world: World, run: Json) -> None:
    """Let the Job's time be over."""
    body = {
        "metadata": {"name": run["status"]["jobName"], "namespace": world.namespace},
        "spec": {"activeDeadlineSeconds": 1},
    }
    await world.client.apply(resources.JOBS, body, manager="test")


def container(**state: Any) -> Json:
    return {"name": "runner", "image": "ours:1", "imageID": "", "ready": False, "restartCount": 0, "state": state}


def words_of(run: Json) -> tuple[str, str]:
    found = run["status"]["diagnosis"]
    seen = "\n".join(f"{piece['source']}: {piece['message']}" for piece in found["evidence"])
    return seen, "\n".join(found["recommendations"])


@pytest.mark.parametrize(
    ("status", "class_", "evidence", "advice"),
    [
        pytest.param(
            {"reason": "Evicted", "message": "The node was low on resource: memory."},
            "Evicted",
            "Failed: Evicted: The node was low on resource: memory.",
            "spec.pod.resources.requests",
            id="evicted",
        ),
        pytest.param(
            {"conditions": [GONE]},
            "Disrupted",
            "DisruptionTarget: EvictionByEvictionAPI: Eviction API: evicting",
            "create the run again",
            id="drained",
        ),
        pytest.param(
            {"containerStatuses": [container(terminated={"exitCode": 137, "reason": "OOMKilled"})]},
            "OutOfMemory",
            "container runner last ended: OOMKilled, exit code 137",
            "spec.pod.resources.limits.memory",
            id="out of memory",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container(terminated={"exitCode": 2, "reason": "Error", "message": "TOKEN=abc is wrong"})
                ]
            },
            "Runner",
            "exit code 2; it wrote last: TOKEN=[redacted] is wrong",
            "logs job/",
            id="a crash with its last words",
        ),
    ],
)
async def test_a_pod_that_fails_is_seen(
    once: World, status: dict[str, Any], class_: str, evidence: str, advice: str
) -> None:
    await ready(once, pod=NOWHERE)
    await once.apply(a_run())
    await set_status(once, await pod_of(once, "run"), phase="Failed", **status)
    ended = await once.until_phase("run", "Failed")
    seen, steps = words_of(ended)

    assert ended["status"]["diagnosis"]["class"] == class_
    assert evidence in seen
    assert "Job " in seen
    assert advice in steps
    assert "TOKEN=abc" not in str(ended)


@pytest.mark.parametrize(
    ("containers", "class_", "told", "advice"),
    [
        pytest.param((), "Unschedulable", "finds no node", "nodeSelector", id="no node"),
        pytest.param(
            (container(waiting={"reason": "ErrImagePull", "message": "not found"}),),
            "ImagePull",
            "image ours:1",
            "image.* in the chart's values",
            id="no image",
        ),
    ],
)
async def test_a_pod_that_never_starts_is_told_of_while_it_waits_and_at_the_end(
    once: World, containers: tuple[Json, ...], class_: str, told: str, advice: str
) -> None:
    await ready(once, pod=NOWHERE)
    await once.apply(a_run())
    if containers:
        await set_status(once, await pod_of(once, "run"), phase="Pending", containerStatuses=list(containers))
    waiting = await once.until(
        resources.WORKFLOW_RUNS, "run", "told", lambda run: run.get("status", {}).get("waitingReason") == class_
    )
    assert told in waiting["status"]["message"]
    await shorten_deadline(once, waiting)
    ended = await once.until_phase("run", "Failed")
    seen, steps = words_of(ended)

    assert ended["status"]["diagnosis"]["class"] == class_
    assert told in ended["status"]["message"]
    assert "DeadlineExceeded" in seen
    assert advice in steps


async def test_a_job_that_was_deleted_under_its_runner_says_what_to_do(once: World) -> None:
    await ready(once)
    await once.apply(a_run())
    run = await once.until_phase("run", "Running")
    await once.play_runner("run")
    await once.until(resources.JOBS, run["status"]["jobName"], "created", lambda job: job)
    await once.client.delete(resources.JOBS, run["status"]["jobName"], once.namespace)
    ended = await once.until_phase("run", "Failed")

    assert "See which tasks had ended" in words_of(ended)[1]
