"""Runs with an idempotency key against a real API server: one key, one execution. The test plays the runner."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from mcp_orchestrator.cluster import resources
from mcp_orchestrator.controllers.expiry import of_receipts
from mcp_orchestrator.settings import clock
from tests import objects
from tests.integration.operator.conftest import Json, World
from tests.integration.operator.test_runs import RUNS, ready
from tests.objects import condition
from tests.oracles import kstatus
from tests.waiting import eventually

RECEIPTS = resources.RUN_RECEIPTS
WORKING = {"podName": "pod", "podUid": "uid", "startTime": "2026-01-02T03:04:05Z"}
CITY = {"name": "city", "default": "Bonn"}


def a_run(name: str, key: str = "deploy-1", **spec: Any) -> Json:
    """A run of the template `clock` with a key."""
    return objects.a_run(name, templateRef={"name": "clock"}, idempotencyKey=key, **spec)


async def receipts(world: World) -> list[Json]:
    """What the receipts of the namespace say."""
    return list((await world.client.list_all(RECEIPTS, world.namespace, convert=lambda one: dict(one["spec"]))).items)


async def execute(world: World, name: str) -> Json:
    """Make a run, and play its runner to a good end."""
    await world.apply(a_run(name))
    await world.until_phase(name, "Running")
    await world.succeed(name)
    return await world.until_phase(name, "Succeeded")


async def test_a_second_run_of_a_key_ends_as_the_first_did_with_its_outputs(running: World) -> None:
    await ready(running)
    first = await execute(running, "first")
    (receipt,) = await receipts(running)
    assert (receipt["run"], receipt["phase"]) == ({"name": "first", "uid": first["metadata"]["uid"]}, "Succeeded")
    until, ended = (datetime.fromisoformat(text) for text in (receipt["until"], first["status"]["completionTime"]))
    assert until - ended == timedelta(days=30)

    await running.apply(a_run("second"))
    second = await running.until_phase("second", "Succeeded")
    assert condition(second, "Succeeded")["reason"] == "AlreadyExecuted"
    assert second["status"]["message"] == f"taken over from run first: {first['status']['message']}"
    assert second["status"]["outputs"] == first["status"]["outputs"] == {"when": "now"}
    assert kstatus.verdict(second) == kstatus.Verdict.CURRENT
    assert len(await running.jobs()) == 1
    assert await receipts(running) == [receipt]


async def test_a_run_that_is_made_anew_after_it_was_deleted_is_not_executed_again(running: World) -> None:
    await ready(running)
    await execute(running, "migrate")
    await running.client.delete(RUNS, "migrate", running.namespace)
    await running.until_gone(RUNS, "migrate")
    await running.client.delete(resources.WORKFLOW_TEMPLATES, "clock", running.namespace)

    await running.apply(a_run("migrate"))
    again = await running.until_phase("migrate", "Succeeded")
    assert condition(again, "Finished")["reason"] == "AlreadyExecuted"
    assert again["status"]["outputs"] == {"when": "now"}
    assert "jobName" not in again["status"]


async def test_a_failure_is_taken_over_with_a_sentence_of_diagnosis(running: World) -> None:
    await ready(running)
    await running.apply(a_run("first"))
    await running.until_phase("first", "Running")
    over = WORKING | {"outcome": "Failed", "reason": "TaskFailed", "message": "task now failed"}
    error = {"class": "Auth", "message": "HTTP 401"}
    await running.play_runner("first", runner=over, tasks=[{"name": "now", "phase": "Failed", "error": error}])
    first = await running.until_phase("first", "Failed")

    await running.apply(a_run("second"))
    second = await running.until_phase("second", "Failed")
    words = f"taken over from run first: {first['status']['message']}"
    assert (second["status"]["message"], second["status"]["diagnosis"]["summary"]) == (words, words)
    assert "diagnose first" in second["status"]["diagnosis"]["recommendations"][0]
    assert len(await running.jobs()) == 1


async def test_other_parameters_under_a_key_in_use_are_refused_also_while_its_run_works(running: World) -> None:
    await ready(running, parameters=[CITY])
    await running.apply(a_run("first", parameters={"city": "Ulm"}))
    await running.until_phase("first", "Running")
    await running.apply(a_run("second", parameters={"city": "Kiel"}))
    refused = await running.until_phase("second", "Failed")
    assert condition(refused, "Finished")["reason"] == "IdempotencyConflict"
    assert refused["status"]["message"] == "run first has the same spec.idempotencyKey and other parameters"
    assert refused["status"]["diagnosis"]["recommendations"] == [
        "Create a run with the parameters of first to have its outcome, or create a run with another "
        "spec.idempotencyKey, or without one."
    ]
    await running.apply(a_run("third", key="deploy-2", parameters={"city": "Kiel"}))
    await running.until_phase("third", "Running")


async def test_of_five_runs_made_at_once_one_is_executed_and_the_others_wait_for_its_outcome(running: World) -> None:
    names = [f"run-{number}" for number in range(5)]
    await running.apply(*(a_run(name) for name in names))
    await ready(running)

    async def phases() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in names:
            run = await running.get(RUNS, name)
            status = run["status"]
            found.setdefault(status.get("waitingReason") or status.get("phase", ""), []).append(name)
        return found

    async def settled() -> Any:
        found = await phases()
        return found if {word: len(runs) for word, runs in found.items()} == {"Running": 1, "KeyInUse": 4} else None

    (winner,) = (await eventually("one runs, four wait", settled))["Running"]
    await eventually("a Job", running.jobs)
    await running.succeed(winner)
    for name in names:
        ended = await running.until_phase(name, "Succeeded")
        assert ended["status"]["outputs"] == {"when": "now"}
    assert len(await running.jobs()) == 1


@pytest.mark.parametrize("end", ["cancelled", "deleted"])
async def test_a_run_of_which_nothing_ran_does_not_use_its_key_up(running: World, end: str) -> None:
    await ready(running)
    await running.apply(a_run("first"))
    await running.until_phase("first", "Running")
    if end == "cancelled":
        await running.client.merge(
            RUNS, "first", running.namespace, {"spec": {"cancel": "Immediate"}}, manager="kubectl"
        )
        await running.until_phase("first", "Cancelled")
    else:
        await running.client.delete(RUNS, "first", running.namespace)
        await running.until_gone(RUNS, "first")

    await running.apply(a_run("second"))
    second = await running.until_phase("second", "Running")
    (receipt,) = await receipts(running)
    assert receipt["run"] == {"name": "second", "uid": second["metadata"]["uid"]}


async def test_a_run_that_is_held_keeps_its_key_and_goes_on(running: World) -> None:
    await ready(running)
    await running.apply(a_run("first"))
    await running.until_phase("first", "Running")
    await running.play_runner("first", runner=WORKING)
    await running.client.merge(RUNS, "first", running.namespace, {"spec": {"suspend": True}}, manager="kubectl")
    await running.play_runner("first", runner=WORKING | {"outcome": "Suspended", "reason": "Suspended"})
    await running.until_phase("first", "Suspended")
    await running.apply(a_run("second"))
    await running.until_condition(RUNS, "second", "Admitted", "False", "KeyInUse")

    await running.client.merge(RUNS, "first", running.namespace, {"spec": {"suspend": False}}, manager="kubectl")
    await running.until_phase("first", "Running")


async def test_a_run_that_takes_an_outcome_over_displaces_no_other(running: World) -> None:
    await ready(running, concurrency={"maxRuns": 1, "policy": "Replace"})
    await execute(running, "first")
    await running.apply(objects.a_run("other"))
    await running.until_phase("other", "Running")

    await running.apply(a_run("second"))
    await running.until_phase("second", "Succeeded")
    other = await running.get(RUNS, "other")
    assert "cancellation" not in other["status"]


async def test_a_run_with_a_new_key_takes_the_place_of_an_older_one(running: World) -> None:
    await ready(running, concurrency={"maxRuns": 1, "policy": "Replace"})
    await running.apply(a_run("a-first"))
    await running.until_phase("a-first", "Running")
    await running.play_runner("a-first", runner=WORKING)
    await running.apply(a_run("b-second", key="deploy-2"))

    stopping = await running.until(RUNS, "a-first", "stopped", lambda run: run["status"].get("cancellation"))
    assert stopping["status"]["cancellation"]["reason"] == "Replaced"


async def test_a_new_key_waits_for_room_and_those_that_are_known_do_not(world: World) -> None:
    async with world.operator(max_receipts=2):
        await ready(world)
        first = await execute(world, "first")
        await world.apply(a_run("working", key="deploy-2"))
        await world.until_phase("working", "Running")
        await world.apply(a_run("new", key="deploy-3"), a_run("known"), objects.a_run("plain"))

        waiting = await world.until_phase("new", "Pending")
        assert condition(waiting, "Admitted")["reason"] == "ReceiptLimit"
        known = await world.until_phase("known", "Succeeded")
        assert known["status"]["outputs"] == first["status"]["outputs"]
        await world.until_phase("plain", "Running")
        assert sorted(one["run"]["name"] for one in await receipts(world)) == ["first", "working"]

        (over,) = [
            one
            for one in (await world.client.list_all(RECEIPTS, world.namespace, convert=dict)).items
            if one["spec"]["run"]["name"] == "first"
        ]
        await world.client.delete(RECEIPTS, over["metadata"]["name"], world.namespace)
        await ready(world, description="a change, by which waiting runs are looked at again")
        await world.until_phase("new", "Running")
        assert sorted(one["run"]["name"] for one in await receipts(world)) == ["new", "working"]


async def test_receipts_that_are_over_are_deleted(world: World) -> None:
    moment = clock()
    for number, until in enumerate((moment - timedelta(seconds=1), moment + timedelta(hours=1))):
        spec = {
            "template": "clock",
            "run": {"name": f"run-{number}", "uid": "uid"},
            "parametersDigest": "sha256:0",
            "until": until.isoformat(),
        }
        await world.client.create(RECEIPTS, objects.an_object("RunReceipt", f"{number:064}", spec, world.namespace))
    await of_receipts(world.client, (world.namespace,)).tidy()
    assert [one["run"]["name"] for one in await receipts(world)] == ["run-1"]
