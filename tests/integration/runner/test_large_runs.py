"""Runs whose results are far too large for a status, against a real API server and real servers of MCP and S3."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.integration.runner.bucket import BUCKET, KEYS, Bucket
from tests.integration.runner.faulty_http import Faulty
from tests.integration.runner.scene import Scene, a_task
from tests.waiting import eventually

from mcp_orchestrator import settings
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.runner import fence, main
from mcp_orchestrator.runner.results import packs

STATUS_BYTES = 256 * 1024
NOWHERE = "http://127.0.0.1:9/mcp"


class Scales(Client):
    """A client that weighs the whole status after each write to it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.weights: list[int] = []

    async def apply_status(self, resource: resources.Resource, body: dict[str, Any], **how: Any) -> dict[str, Any]:
        answer = await super().apply_status(resource, body, **how)
        self.weights.append(len(orjson.dumps(answer["status"])))
        return answer


async def execute(scene: Scene, connection: Connection, store: settings.ObjectStore | None) -> list[int]:
    """Execute the run in this process; what its status weighed at each write."""
    pod = fence.Pod("r", scene.namespace, "r-job-abcde", "uid-of-abcde")
    environment = main.Environment("r", scene.namespace, pod.name, pod.uid, 600, "INFO", "production", "", "", store)
    async with Scales(connection) as client:
        run = await fence.take(client, pod, settings.clock())
        await main.execute_taken(client, run, pod, environment, main.Stopper())
        return client.weights


EASY = [a_task(f"task-{number}", "big", {"kib": 1024 + number}) for number in range(100)]
HARD = [a_task(f"task-{number}", "noise", {"kib": 1024, "seed": number}) for number in range(100)]


async def stored_bytes(scene: Scene) -> int:
    """What the run's ConfigMaps hold, compressed."""
    found = await scene.client.list_all(resources.CONFIG_MAPS, scene.namespace, convert=dict)
    texts = [text for body in found.items for text in body.get("binaryData", {}).values()]
    return sum(len(text) // 4 * 3 - text.count("=") for text in texts)


@pytest.mark.parametrize(
    "tasks", [pytest.param(EASY, id="easy to compress"), pytest.param(HARD, id="hard to compress")]
)
async def test_a_hundred_results_of_1_mib_fit_into_an_object_store(
    scene: Scene, connection: Connection, server: str, store: Bucket, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    await scene.admit({"x": server}, {"maxParallelTasks": 10, "tasks": tasks})
    weights = await execute(scene, connection, store.settings())
    assert max(weights) <= STATUS_BYTES
    status = await scene.status()
    assert (status["runner"]["outcome"], status["progress"]) == ("Succeeded", "100/100")
    references = [task["resultRef"] for task in status["tasks"]]
    assert {reference.removeprefix(f"s3://{BUCKET}/") for reference in references} == store.objects().keys()
    assert len(set(references)) == 100
    assert await stored_bytes(scene) == 0


async def test_a_hundred_results_of_1_mib_that_compress_well_fit_into_config_maps(
    scene: Scene, connection: Connection, server: str
) -> None:
    await scene.admit({"x": server}, {"maxParallelTasks": 10, "tasks": EASY})
    weights = await execute(scene, connection, None)
    assert max(weights) <= STATUS_BYTES
    status = await scene.status()
    assert (status["runner"]["outcome"], status["progress"]) == ("Succeeded", "100/100")
    assert all(task["resultRef"].startswith("r-job-results-") for task in status["tasks"])


async def test_what_config_maps_of_a_run_have_no_room_for_fails_its_task_and_the_run_ends_in_words(
    scene: Scene, connection: Connection, server: str
) -> None:
    await scene.admit({"x": server}, {"maxParallelTasks": 10, "tasks": HARD})
    weights = await execute(scene, connection, None)
    assert max(weights) <= STATUS_BYTES
    status = await scene.status()
    runner = status["runner"]
    assert (runner["outcome"], runner["reason"]) == ("Failed", "TaskFailed")
    words = r"failed: ResultTooLarge: the results of the run would have 58\d\.\d KiB more when compressed"
    assert re.search(words, runner["message"])
    assert packs.TOTAL_BYTES - 1024 * 1024 < await stored_bytes(scene) <= packs.TOTAL_BYTES
    kept = [task for task in status["tasks"] if task["phase"] == "Succeeded"]
    assert len(kept) > 50
    assert all("resultRef" in task for task in kept)


def workflow() -> dict[str, Any]:
    """A task with a large result, and one that needs it."""
    words = {"a": "${{ size(tasks.large.result.result) }}", "b": 0}
    tasks = [
        a_task("large", "noise", {"kib": 100, "seed": 1}, idempotent=True),
        a_task("next", "add", words, idempotent=True, server="y"),
    ]
    return {"tasks": tasks, "outputs": [{"name": "sum", "value": "${{ tasks.next.result.result }}"}]}


async def test_a_new_pod_takes_results_over_from_the_store(
    scene: Scene, server: str, faulty: Faulty, store: Bucket
) -> None:
    await scene.admit({"x": server, "y": faulty.url("/silence")}, workflow())
    async with scene.runner(**store.environ()) as runner:

        async def is_on_record() -> bool:
            tasks = (await scene.status()).get("tasks")
            return bool(tasks and tasks[0]["phase"] == "Succeeded")

        await eventually("a large result on record", is_on_record)
        runner.process.kill()
    (first,) = store.objects()
    # The server of the large result is gone: it can't be asked again.
    await scene.allow({"x": NOWHERE, "y": server}, workflow(), attempt=2, jobName="r-job-b")
    code, status, _ = await scene.run(pod="b-other", **store.environ())
    assert (code, status["runner"]["outcome"], status["outputs"]) == (0, "Succeeded", {"sum": 100 * 1024})
    assert status["tasks"][0]["resultRef"] == f"s3://{BUCKET}/{first}"
    assert list(store.objects()) == [first]


@asynccontextmanager
async def a_failed_run(scene: Scene, server: str, store: Bucket) -> AsyncIterator[Path]:
    """A run with a large result that failed after it; the file of the result."""
    await scene.admit({"x": server, "y": NOWHERE}, workflow())
    code, status, _ = await scene.run(**store.environ())
    assert (code, status["runner"]["outcome"], status["tasks"][0]["phase"]) == (0, "Failed", "Succeeded")
    (path,) = store.objects().values()
    yield path


async def test_a_run_that_resumes_another_takes_its_results_over_and_keeps_them_itself(
    scene: Scene, server: str, store: Bucket
) -> None:
    async with a_failed_run(scene, server, store):
        await scene.admit({"x": NOWHERE, "y": server}, workflow(), "again", {"resumeFrom": "r"})
        code, status, runner = await scene.run("again", **store.environ())
    assert (code, status["runner"]["outcome"], status["outputs"]) == (0, "Succeeded", {"sum": 100 * 1024})
    assert status["tasks"][0]["reusedFrom"] == "r"
    uid = runner.lines[-1]["uid"]
    key = status["tasks"][0]["resultRef"].removeprefix(f"s3://{BUCKET}/")
    assert key.startswith(f"a/b/{scene.namespace}/{uid}/")
    assert key in store.objects()
    assert len(store.objects()) == 2


@pytest.mark.parametrize("lost", [pytest.param(True, id="lost"), pytest.param(False, id="changed")])
async def test_a_tool_is_asked_again_for_a_result_that_the_store_lost(
    scene: Scene, server: str, store: Bucket, lost: bool
) -> None:
    async with a_failed_run(scene, server, store) as path:
        path.unlink() if lost else path.write_bytes(b"rubbish")
        await scene.admit({"x": server, "y": server}, workflow(), "again", {"resumeFrom": "r"})
        code, status, runner = await scene.run("again", **store.environ())
    assert (code, status["runner"]["outcome"], status["outputs"]) == (0, "Succeeded", {"sum": 100 * 1024})
    assert any("can't be taken over" in line["message"] for line in runner.lines)


async def test_keys_of_the_store_stand_neither_in_the_status_nor_in_the_log(
    scene: Scene, server: str, store: Bucket
) -> None:
    await scene.admit({"x": server, "y": server}, workflow())
    code, status, runner = await scene.run(
        **store.environ() | {"AWS_SECRET_ACCESS_KEY": "wr0ng", "MCP_ORCHESTRATOR_LOG_LEVEL": "DEBUG"}
    )
    assert (code, status["runner"]["outcome"]) == (0, "Succeeded")
    assert status["tasks"][0]["resultRef"].startswith("r-job-results-0/")
    assert any("SignatureDoesNotMatch" in line["message"] for line in runner.lines)
    told = orjson.dumps([status, runner.lines]).decode()
    assert not any(secret in told for secret in (*KEYS.values(), "wr0ng"))
