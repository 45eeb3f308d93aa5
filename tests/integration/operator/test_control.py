"""Orders to runs, and runs that are too many, against a real API server: the test plays the runner."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_orchestrator.cluster import resources
from tests import objects
from tests.integration.operator.conftest import NOWHERE, Json, World, undeletable
from tests.integration.operator.test_runs import RUNS, ready
from tests.objects import a_server, a_task, a_template, condition
from tests.oracles import kstatus

WORKING = {"podName": "pod", "podUid": "uid", "startTime": "2026-01-02T03:04:05Z"}


async def order(world: World, name: str, **spec: Any) -> None:
    """Change the spec of a run, as `kubectl patch` does."""
    await world.client.merge(RUNS, name, world.namespace, {"spec": spec}, manager="kubectl")


def a_run(name: str = "run", **spec: Any) -> Json:
    """A run of the template `clock`."""
    return objects.a_run(name, templateRef={"name": "clock"}, **spec)


async def test_a_run_that_is_held_starts_when_it_is_let_go(running: World) -> None:
    await ready(running)
    await running.apply(a_run(suspend=True))
    held = await running.until_phase("run", "Suspended")
    assert held["status"]["waitingReason"] == "Suspended"
    assert kstatus.verdict(held) == kstatus.Verdict.IN_PROGRESS
    assert await running.jobs() == []

    await order(running, "run", suspend=False)
    started = await running.until_phase("run", "Running")
    assert started["status"]["attempt"] == 1


async def test_a_running_run_gives_its_slot_back_while_it_is_held_and_goes_on_later(world: World) -> None:
    async with world.operator(max_concurrent_workflows=1):
        await ready(world)
        await world.apply(a_run("first"))
        before = await world.until_phase("first", "Running")
        await world.play_runner("first", runner=WORKING)
        await world.apply(a_run("second"))
        await world.until_phase("second", "Queued")

        await order(world, "first", suspend=True)
        told = await world.until(RUNS, "first", "told", lambda run: "being suspended" in run["status"]["message"])
        assert told["status"]["observedGeneration"] == told["metadata"]["generation"]
        quiet = WORKING | {"outcome": "Suspended", "reason": "Suspended", "message": "held"}
        tasks = [{"name": "now", "phase": "Pending"}]
        await world.play_runner("first", runner=quiet, tasks=tasks)
        held = await world.until_phase("first", "Suspended")
        assert held["status"]["template"] == before["status"]["template"]
        await world.until_phase("second", "Running")

        await order(world, "first", suspend=False)
        await world.until_phase("first", "Queued")
        await world.succeed("second")
        after = await world.until_phase("first", "Running")
        assert (after["status"]["attempt"], after["status"]["resumptions"]) == (2, 1)
        assert after["status"]["jobName"] != before["status"]["jobName"]
        await world.until(resources.JOBS, after["status"]["jobName"], "created", lambda job: job)


async def test_a_pod_that_has_not_begun_is_taken_away_when_its_run_is_held(running: World) -> None:
    await ready(running)
    await running.apply(a_run())
    await running.until_phase("run", "Running")

    await order(running, "run", suspend=True)
    await running.until_phase("run", "Suspended")
    assert await running.jobs() == []


@pytest.mark.parametrize("mode", ["Graceful", "Immediate"])
async def test_a_run_that_has_not_begun_is_cancelled_at_once_also_when_it_is_held(running: World, mode: str) -> None:
    await ready(running)
    await running.apply(a_run("begun"), a_run("held", suspend=True))
    await running.until_phase("begun", "Running")
    await running.until_phase("held", "Suspended")

    await order(running, "begun", cancel=mode, suspend=True)
    await order(running, "held", cancel=mode)
    for name in ("begun", "held"):
        ended = await running.until_phase(name, "Cancelled")
        assert condition(ended, "Finished") | {"reason": "Cancelled", "status": "True"} == condition(ended, "Finished")
        assert kstatus.verdict(ended) == kstatus.Verdict.FAILED
    assert await running.jobs() == []


async def test_a_run_is_suspended_and_cancelled_from_its_first_moment(running: World) -> None:
    await ready(running)
    await running.apply(a_run(suspend=True, cancel="Graceful"))

    await running.until_phase("run", "Cancelled")


async def test_an_immediate_cancel_ends_the_pod_of_a_run_at_work(running: World) -> None:
    await ready(running, pod={})
    await running.apply(a_run())
    run = await running.until_phase("run", "Running")
    await running.play_runner("run", runner=WORKING)

    await order(running, "run", cancel="Immediate")
    ended = await running.until_phase("run", "Cancelled")
    assert ended["status"]["message"] == "spec.cancel is Immediate"
    assert await running.get(resources.JOBS, run["status"]["jobName"]) == {}


async def test_a_graceful_cancel_is_the_runners_work(running: World) -> None:
    await ready(running)
    await running.apply(a_run())
    await running.until_phase("run", "Running")
    await running.play_runner("run", runner=WORKING)
    await order(running, "run", cancel="Graceful")
    await running.until(RUNS, "run", "told", lambda run: "being cancelled" in run["status"]["message"])

    over = WORKING | {"outcome": "Cancelled", "reason": "Cancelled", "message": "cancelled; 0 of 1 tasks had ended"}
    await running.play_runner("run", runner=over)
    ended = await running.until_phase("run", "Cancelled")
    assert ended["status"]["message"] == "cancelled; 0 of 1 tasks had ended"
    assert "diagnosis" not in ended["status"]


async def test_a_held_run_gets_a_slot_once_more_for_its_finally_when_it_is_cancelled(running: World) -> None:
    await ready(running, **{"finally": [a_task("tidy")]})
    await running.apply(a_run())
    await running.until_phase("run", "Running")
    await order(running, "run", suspend=True)
    await running.until_phase("run", "Suspended")
    await order(running, "run", cancel="Graceful")
    # Nothing of it ran: there is nothing to tidy up.
    await running.until_phase("run", "Cancelled")

    await running.apply(a_run("other"))
    await running.until_phase("other", "Running")
    await running.play_runner("other", runner=WORKING)
    await order(running, "other", suspend=True)
    await running.play_runner("other", runner=WORKING | {"outcome": "Suspended", "reason": "Suspended"})
    await running.until_phase("other", "Suspended")
    await order(running, "other", cancel="Graceful")
    again = await running.until_phase("other", "Running")
    assert again["status"]["attempt"] == 2


async def test_a_run_is_not_over_while_its_job_may_not_be_deleted(running: World) -> None:
    await ready(running)
    container = {"name": "probe", "image": "probe"}
    probe = {
        "metadata": {"name": "probe", "namespace": running.namespace},
        "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    async with undeletable(running.client, resources.JOBS, probe):
        await running.apply(a_run())
        name = (await running.until_phase("run", "Running"))["status"]["jobName"]
        await running.until(resources.JOBS, name, "created", lambda job: job)
        kept = {"metadata": {"labels": {"keep": ""}}}
        await running.client.merge(resources.JOBS, name, running.namespace, kept, manager="test")
        await order(running, "run", cancel="Immediate")

        async def over() -> bool:
            return bool((await running.get(RUNS, "run"))["status"]["phase"] != "Running")

        await running.never("the run is over, and its pod is not", over)


# --- concurrency.policy ----------------------------------------------------------------------------------------------


async def test_a_run_too_many_is_left_out(running: World) -> None:
    await ready(running, concurrency={"maxRuns": 1, "policy": "Skip"})
    await running.apply(a_run("first"))
    await running.until_phase("first", "Running")
    await running.apply(a_run("second"))

    skipped = await running.until_phase("second", "Cancelled")
    assert condition(skipped, "Finished")["reason"] == "Skipped"
    assert skipped["status"]["message"] == "left out (concurrency.policy: Skip): 1 of 1 run: first"
    await running.succeed("first")
    await running.until_phase("first", "Succeeded")
    await running.apply(a_run("third"))
    await running.until_phase("third", "Running")


async def test_a_newer_run_takes_the_place_of_an_older_one(running: World) -> None:
    await ready(running, concurrency={"maxRuns": 1, "policy": "Replace"})
    await running.apply(a_run("a-first"))
    await running.until_phase("a-first", "Running")
    await running.play_runner("a-first", runner=WORKING)
    await running.apply(a_run("b-second"))
    await running.until_phase("b-second", "Queued")

    stopping = await running.until(RUNS, "a-first", "stopped", lambda run: run["status"].get("cancellation"))
    assert stopping["status"]["cancellation"]["reason"] == "Replaced"
    over = WORKING | {"outcome": "Cancelled", "reason": "Replaced", "message": "replaced by b-second"}
    await running.play_runner("a-first", runner=over)
    ended = await running.until_phase("a-first", "Cancelled")
    assert condition(ended, "Finished")["reason"] == "Replaced"
    await running.until_phase("b-second", "Running")


async def test_a_run_that_can_not_start_takes_nobodys_place(running: World) -> None:
    await ready(running, concurrency={"maxRuns": 1, "policy": "Replace"})
    await running.apply(a_run("a-first"))
    await running.until_phase("a-first", "Running")
    await running.play_runner("a-first", runner=WORKING)
    await running.apply(a_run("b-wrong", parameters={"nosuch": 1}))
    await running.until_phase("b-wrong", "Failed")

    async def stopped() -> bool:
        return "cancellation" in (await running.get(RUNS, "a-first"))["status"]

    await running.never("the run is stopped", stopped)


async def test_a_limit_that_is_lowered_stops_nobody_also_where_newer_runs_take_the_place_of_older_ones(
    running: World,
) -> None:
    await ready(running, concurrency={"maxRuns": 2, "policy": "Replace"})
    for name in ("first", "second"):
        await running.apply(a_run(name))
        await running.until_phase(name, "Running")
        await running.play_runner(name, runner=WORKING)
    await running.apply(a_template(pod=NOWHERE, concurrency={"maxRuns": 1, "policy": "Replace"}))

    async def stopped() -> bool:
        return "cancellation" in (await running.get(RUNS, "first"))["status"]

    await running.never("a run is stopped", stopped)
    await running.apply(a_run("third"))
    for name in ("first", "second"):
        found = await running.until(RUNS, name, "stopped", lambda run: run["status"].get("cancellation"))
        assert "WorkflowRun third takes its place" in found["status"]["cancellation"]["message"]


# --- what a run needs ------------------------------------------------------------------------------------------------


async def test_a_run_gives_a_server_up_that_does_not_come(running: World) -> None:
    running.probes.reports["time"] = "it does not answer"
    await running.apply(a_server(), a_template(serverWaitSeconds=1), a_run())

    ended = await running.until_phase("run", "Failed")
    assert condition(ended, "Finished")["reason"] == "ServerNotReady"
    assert ended["status"]["message"].startswith("the run has waited 1 s (serverWaitSeconds)")
    assert "attempt" not in ended["status"]


async def test_runs_wait_for_a_template_that_is_deleted_under_them_and_take_it_as_it_comes_back(world: World) -> None:
    async with world.operator(max_concurrent_workflows=0):
        await ready(world)
        await world.apply(a_run())
        await world.until_phase("run", "Queued")
        await world.client.delete(resources.WORKFLOW_TEMPLATES, "clock", world.namespace)
        gone = await world.until_phase("run", "Pending")
        assert gone["status"]["waitingReason"] == "TemplateNotFound"
        await ready(world, description="another one", timeoutSeconds=77)
        await world.until_phase("run", "Queued")
    async with world.operator(max_concurrent_workflows=1):
        started = await world.until_phase("run", "Running")
        assert started["status"]["template"]["spec"]["timeoutSeconds"] == 77
