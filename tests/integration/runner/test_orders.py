"""Orders to the runner as the program that it is, by a real API server, and what real MCP servers see of them."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.runner import faulty_http
from tests.integration.runner.faulty_http import Faulty
from tests.integration.runner.scene import PATIENCE_SECONDS, Scene, a_task

from mcp_orchestrator import settings

ERAS = [pytest.param("modern", id="2026-07-28"), pytest.param("legacy", id="2025-11-25")]
FINALLY = a_task("clean-up", "add", {"a": "${{ run.reason == 'Cancelled' ? 1 : 0 }}", "b": 1}, server="y")
WORKFLOW = {
    "tasks": [a_task("long", "t"), a_task("next", "add", {"a": 1, "b": 1}, server="y", dependsOn=["long"])],
    "finally": [FINALLY],
}


def phases(status: dict[str, Any]) -> dict[str, str]:
    return {task["name"]: task["phase"] for task in status["tasks"]}


def told(status: dict[str, Any]) -> tuple[str, ...]:
    return tuple(status["runner"].get(name) for name in ("outcome", "reason", "message"))


async def test_a_suspended_run_waits_for_its_call_and_another_pod_goes_on(
    scene: Scene, faulty: Faulty, server: str
) -> None:
    servers = {"x": faulty.url("/held"), "y": server}
    await scene.admit(servers, WORKFLOW)
    async with scene.runner() as runner, asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
        await scene.order(suspend=True)
        await runner.tells("an order: the run is suspended")
        faulty.release.set()
        assert await runner.ended() == 0
    status = await scene.status()
    assert told(status) == ("Suspended", "Suspended", "the run is suspended, as spec.suspend asks")
    assert phases(status) == {"long": "Succeeded", "next": "Pending", "clean-up": "Pending"}
    assert "outputs" not in status
    assert not (scene.directory / "termination-log").exists()

    await scene.order(suspend=False)
    await scene.allow(servers, WORKFLOW, attempt=2)
    async with scene.runner(pod="fghij") as runner:
        assert await runner.ended() == 0
    status = await scene.status()
    assert told(status)[0] == "Succeeded"
    assert phases(status) == {"long": "Succeeded", "next": "Succeeded", "clean-up": "Succeeded"}
    assert len(faulty.calls()) == 1


async def test_a_suspension_that_is_taken_back_in_time_lets_the_run_go_on(
    scene: Scene, faulty: Faulty, server: str
) -> None:
    await scene.admit({"x": faulty.url("/held"), "y": server}, WORKFLOW)
    async with scene.runner() as runner, asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
        await scene.order(suspend=True)
        await runner.tells("an order: the run is suspended")
        await scene.order(suspend=False)
        await runner.tells("an order: to go on")
        faulty.release.set()
        assert await runner.ended() == 0
    assert told(await scene.status())[0] == "Succeeded"


@pytest.mark.parametrize("era", ERAS)
async def test_a_run_that_is_cancelled_gracefully_tells_its_server_and_runs_finally(
    scene: Scene, faulty: Faulty, server: str, era: str
) -> None:
    await scene.admit({"x": faulty.url(f"/silence?era={era}"), "y": server}, WORKFLOW)
    async with scene.runner() as runner, asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
        await scene.order(cancel="Graceful")
        assert await runner.ended() == 0
        # The newest revision knows no other farewell than the end of the call's own stream.
        await faulty.cancelled.wait()
        if era == "legacy":
            assert (await faulty.told.get())["requestId"] == faulty.requests[-1]["id"]
    status = await scene.status()
    assert told(status) == ("Cancelled", "Cancelled", "spec.cancel is Graceful")
    assert phases(status) == {"long": "Indeterminate", "next": "Skipped", "clean-up": "Succeeded"}
    assert [task.get("reason") for task in status["tasks"]] == [None, "RunCancelled", None]
    assert status["tasks"][0]["error"]["class"] == "Cancelled"
    assert status["tasks"][-1]["result"] == {"result": 2}


async def test_a_run_that_is_cancelled_immediately_ends_without_finally(
    scene: Scene, faulty: Faulty, server: str
) -> None:
    await scene.admit({"x": faulty.url("/silence"), "y": server}, WORKFLOW)
    async with scene.runner() as runner, asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
        await scene.order(cancel="Immediate")
        assert await runner.ended() == 0
        await faulty.cancelled.wait()
    status = await scene.status()
    assert told(status) == ("Cancelled", "Cancelled", "spec.cancel is Immediate")
    assert phases(status) == {"long": "Indeterminate", "next": "Skipped", "clean-up": "Skipped"}


async def test_a_pod_that_is_ended_before_it_hears_of_the_order_does_not_wait_for_its_calls(
    scene: Scene, faulty: Faulty, server: str
) -> None:
    """As the operator does it: the order stands in the run, and then the Job is deleted."""
    await scene.admit({"x": faulty.url("/silence"), "y": server}, WORKFLOW)
    async with scene.runner() as runner, asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
        await scene.order(cancel="Immediate")
        runner.process.send_signal(signal.SIGTERM)
        await runner.ended()
        await faulty.cancelled.wait()
    assert any(line["message"].startswith("an order: ") for line in runner.lines)


async def test_the_operator_s_own_order_is_obeyed_with_its_reason(scene: Scene, faulty: Faulty, server: str) -> None:
    servers = {"x": faulty.url("/silence"), "y": server}
    await scene.admit(servers, WORKFLOW)
    async with scene.runner() as runner, asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
        order = {"mode": "Graceful", "reason": "Replaced", "message": "run s takes its place"}
        await scene.allow(servers, WORKFLOW, cancellation=order)
        assert await runner.ended() == 0
    status = await scene.status()
    assert told(status) == ("Cancelled", "Replaced", "run s takes its place")
    assert status["tasks"][-1]["result"] == {"result": 2}


async def test_a_runner_that_finds_an_order_obeys_it_from_the_start(scene: Scene, faulty: Faulty, server: str) -> None:
    await scene.admit({"x": faulty.url("/good"), "y": server}, WORKFLOW, spec={"suspend": True})
    code, status, _ = await scene.run()
    assert (code, told(status)[0]) == (0, "Suspended")
    assert faulty.requests == []


@pytest.mark.parametrize(
    ("paused", "reason"), [pytest.param(3600, "Succeeded", id="paused"), pytest.param(0, "TimedOut", id="not paused")]
)
async def test_the_time_that_a_run_was_suspended_does_not_count(
    scene: Scene, server: str, paused: int, reason: str
) -> None:
    workflow = {"timeoutSeconds": 600, "tasks": [a_task("sum", "add", {"a": 1, "b": 1})]}
    start = (settings.clock() - timedelta(hours=1)).isoformat(timespec="seconds")
    first = {"podName": "r-old-abcde", "podUid": "u", "attempt": 1, "startTime": start, "outcome": "Suspended"}
    await scene.admit({"x": server}, workflow, attempt=2, runner=first, pausedSeconds=paused)
    _, status, _ = await scene.run()
    assert told(status)[1] == reason


async def test_all_calls_that_are_under_way_are_cancelled_at_once(scene: Scene, server: str) -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(faulty_http.serving()) for _ in range(3)]
        urls = {f"s{number}": found.url("/silence?era=legacy") for number, found in enumerate(servers)}
        items = {"items": list(range(5)), "maxParallel": 5}
        tasks = [{**a_task(f"t-{name}", "t", forEach=items), "server": name} for name in urls]
        await scene.admit({**urls, "y": server}, {"maxParallelTasks": 20, "tasks": tasks, "finally": [FINALLY]})
        async with scene.runner() as runner, asyncio.timeout(PATIENCE_SECONDS):
            for found in servers:
                await found.waiting.wait()
            await scene.order(cancel="Graceful")
            assert await runner.ended() == 0
            for found in servers:
                for _ in found.calls():
                    await found.told.get()
    assert phases(await scene.status())["clean-up"] == "Succeeded"
