"""The runner as the program that it is, against a real API server and real MCP servers."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from tests.integration.runner import keyvalue
from tests.integration.runner.faulty_http import Faulty
from tests.integration.runner.scene import PATIENCE_SECONDS, TRACE, Scene, a_task

from mcp_orchestrator.cluster import resources

STRANGE = "DEL \x7f NEL \x85 LS \u2028 NUL \x00 ESC \x1b[31m \U0001f600 \ufffe"


async def cancelled(faulty: Faulty) -> None:
    """Wait until the server has seen the end of its call."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await faulty.cancelled.wait()


async def test_a_workflow_is_executed_and_reported(scene: Scene, server: str) -> None:
    workflow = {
        "parameters": [{"name": "n", "schema": {"type": "integer"}}, {"name": "words"}],
        "tasks": [
            a_task("first", "add", {"a": "${{ params.n }}", "b": 1}),
            a_task("second", "add", {"a": "${{ tasks.first.result.result }}", "b": 10}),
            a_task("meta", "echo_meta", dependsOn=["second"]),
        ],
        "outputs": [
            {"name": "sum", "value": "${{ tasks.second.result.result }}"},
            {"name": "words", "value": "${{ params.words }}"},
        ],
    }
    await scene.admit({"x": server}, workflow, parameters={"n": 31, "words": STRANGE})
    code, status, runner = await scene.run()
    assert code == 0
    assert status["runner"] | {"startTime": ""} == {
        "podName": "r-job-abcde",
        "podUid": "uid-of-abcde",
        "attempt": 1,
        "startTime": "",
        "outcome": "Succeeded",
        "reason": "Succeeded",
        "message": "3 tasks succeeded",
    }
    assert status["outputs"] == {"sum": 42, "words": STRANGE}
    assert status["progress"] == "3/3"
    assert [(task["name"], task["phase"]) for task in status["tasks"]] == [
        ("first", "Succeeded"),
        ("second", "Succeeded"),
        ("meta", "Succeeded"),
    ]
    assert status["tasks"][1]["result"] == {"result": 42}
    assert status["tasks"][2]["result"]["meta"]["traceparent"] == TRACE
    # The operator's part stays as it was.
    assert (status["phase"], status["jobName"], status["attempt"]) == ("Running", "r-job", 1)
    told = [(line["message"], line.get("task")) for line in runner.lines]
    assert told == [
        *((f"task {what}", name) for name in ("first", "second", "meta") for what in ("running", "succeeded")),
        ("run succeeded", None),
    ]
    assert all(line["trace_id"] == "0af7651916cd43dd8448eb211c80319c" for line in runner.lines)
    assert all(line["name"] == "r" and line["uid"] for line in runner.lines)


async def test_a_failed_run_is_reported_and_the_process_has_done_its_work(scene: Scene, server: str) -> None:
    workflow = {
        "parameters": [{"name": "words"}],
        "tasks": [
            a_task("bad", "fail", {"message": "${{ params.words }}"}),
            a_task("after", "add", {"a": 1, "b": 1}, dependsOn=["bad"]),
        ],
    }
    await scene.admit({"x": server}, workflow, parameters={"words": "s3cret words \u2028\x7f"})
    code, status, runner = await scene.run()
    assert code == 0
    assert status["runner"]["outcome"] == "Failed"
    assert status["runner"]["reason"] == "TaskFailed"
    assert status["runner"]["message"].startswith('task "bad" failed: Tool: ')
    assert "s3cret words" in status["runner"]["message"]
    assert [task["phase"] for task in status["tasks"]] == ["Failed", "Skipped"]
    assert "s3cret" not in json.dumps(runner.lines)
    assert not (scene.directory / "termination-log").exists()


async def test_results_of_any_size_are_bounded_in_the_status_and_whole_for_later_tasks(
    scene: Scene, server: str
) -> None:
    workflow = {
        "maxParallelTasks": 8,
        "tasks": [
            *(a_task(f"big{number}", "big", {"kib": 30}) for number in range(8)),
            a_task("huge", "big", {"kib": 3000}),
        ],
        "outputs": [{"name": "length", "value": "${{ size(tasks.huge.result.result) }}"}],
    }
    await scene.admit({"x": server}, workflow)
    code, status, _ = await scene.run()
    assert code == 0
    assert status["outputs"] == {"length": 3_072_000}
    inline = [task for task in status["tasks"] if "result" in task]
    assert len(inline) == 5
    assert all(len(task["resultPreview"].encode()) <= 1024 for task in status["tasks"] if "result" not in task)
    assert status["tasks"][-1]["resultBytes"] > 3_072_000


async def test_a_run_that_takes_too_long_is_ended(scene: Scene, faulty: Faulty) -> None:
    workflow = {"timeoutSeconds": 15, "tasks": [a_task("endless", "t", timeoutSeconds=60)]}
    await scene.admit({"x": faulty.url("/silence")}, workflow)
    code, status, _ = await scene.run()
    assert code == 0
    assert (status["runner"]["outcome"], status["runner"]["reason"]) == ("Failed", "TimedOut")
    assert status["tasks"][0]["error"]["class"] == "Timeout"
    await cancelled(faulty)


async def test_a_pod_that_is_asked_to_stop_stops_its_calls_and_leaves_the_run_open(
    scene: Scene, faulty: Faulty
) -> None:
    workflow = {"tasks": [a_task("endless", "t"), a_task("never", "t", dependsOn=["endless"])]}
    await scene.admit({"x": faulty.url("/silence")}, workflow)
    async with scene.runner() as runner, asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
        runner.process.send_signal(signal.SIGTERM)
        assert await runner.ended() == 1
    assert "asked to stop (SIGTERM)" in (scene.directory / "termination-log").read_text()
    status = await scene.status()
    # What is open is left to another pod.
    assert "outcome" not in status["runner"]
    assert [task["phase"] for task in status["tasks"]] == ["Running", "Pending"]
    await cancelled(faulty)


async def test_a_deleted_run_stops_its_calls(scene: Scene, faulty: Faulty) -> None:
    workflow = {"tasks": [a_task("quick", "add", {"a": 1, "b": 1}), a_task("endless", "t")]}
    workflow["tasks"][0]["server"] = "y"
    await scene.admit({"x": faulty.url("/silence"), "y": faulty.url("/silence")}, workflow)
    async with scene.runner() as runner, asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
        await scene.client.delete(resources.WORKFLOW_RUNS, "r", scene.namespace)
        runner.process.send_signal(signal.SIGTERM)
        assert await runner.ended() == 0
    assert any("the run was deleted" in line["message"] for line in runner.lines)
    await cancelled(faulty)


async def test_of_two_pods_one_executes_the_run(scene: Scene, faulty: Faulty) -> None:
    await scene.admit({"x": faulty.url("/good")}, {"tasks": [a_task("a", "t")]})
    async with scene.runner(pod="one11") as one, scene.runner(pod="two22") as two:
        codes = await asyncio.gather(one.ended(), two.ended())
    assert set(codes) == {0}
    assert len(faulty.calls()) == 1
    idle = [runner for runner in (one, two) if not any(line.get("task") for line in runner.lines)]
    assert len(idle) == 1
    assert "executes the run" in idle[0].lines[-1]["message"]
    assert (await scene.status())["runner"]["outcome"] == "Succeeded"


async def test_a_run_that_is_not_there_is_nobody_s_failure(scene: Scene) -> None:
    async with scene.runner() as runner:
        assert await runner.ended() == 0
    assert "not there any more" in runner.lines[-1]["message"]


async def test_a_run_that_was_never_admitted_is_the_runner_s_failure(scene: Scene, server: str) -> None:
    await scene.client.create(
        resources.WORKFLOW_RUNS,
        {
            "apiVersion": "mcp-orchestrator.io/v1alpha1",
            "kind": "WorkflowRun",
            "metadata": {"name": "r", "namespace": scene.namespace},
            "spec": {"templateRef": {"name": "x"}},
        },
    )
    async with scene.runner() as runner:
        assert await runner.ended() == 1
    assert "status.template" in (scene.directory / "termination-log").read_text()


async def test_a_pod_that_is_asked_to_stop_while_the_api_server_is_away_stops(scene: Scene) -> None:
    kubeconfig = scene.directory / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    async with scene.runner(KUBECONFIG=str(kubeconfig)) as runner, asyncio.timeout(PATIENCE_SECONDS):
        assert runner.process.stdout
        first = json.loads(await runner.process.stdout.readline())
        assert "can't be taken yet" in first["message"]
        runner.process.send_signal(signal.SIGTERM)
        assert await runner.ended() == 1
    assert "asked to stop before the run began" in (scene.directory / "termination-log").read_text()


async def test_without_a_cluster_the_remedy_is_in_the_termination_message(scene: Scene) -> None:
    async with scene.runner(KUBECONFIG="/nowhere") as runner:
        assert await runner.ended() == 1
    assert "/nowhere" in (scene.directory / "termination-log").read_text()


@pytest.mark.parametrize("place", ["valkey", "cluster"])
async def test_a_later_run_takes_the_answer_of_an_earlier_one_and_the_log_tells(
    scene: Scene, server: str, tmp_path: Path, place: str
) -> None:
    workflow = {
        "cache": {"ttlSeconds": 60},
        "tasks": [a_task("sum", "add", {"a": 1, "b": "${{ 1 + 1 }}"}, idempotent=True), a_task("meta", "echo_meta")],
    }
    async with keyvalue.serving(tmp_path) as store:
        told = {"MCP_ORCHESTRATOR_CACHE_URL": store.url} if place == "valkey" else {}
        for name, use in (("first", "Miss"), ("second", "Hit")):
            await scene.admit({"x": server}, workflow, name)
            code, status, runner = await scene.run(name, **told)
            assert code == 0
            shown = {task["name"]: task for task in status["tasks"]}
            assert shown["sum"]["result"] == {"result": 3}
            assert shown["sum"]["cache"] == use
            assert shown["sum"].get("attempts") == (1 if use == "Miss" else None)
            assert "cache" not in shown["meta"]
            assert [line["cache"] for line in runner.lines if "cache" in line] == [use]
        found = await scene.client.list_all(resources.CACHED_ANSWERS, scene.namespace, convert=dict)
        keys = list(await store.contents())
        assert (len(keys), len(found.items)) == ((1, 0) if place == "valkey" else (0, 1))
        assert all(key.startswith(f"mcp-orchestrator:{scene.namespace}:") for key in keys)
