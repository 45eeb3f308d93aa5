"""Runs in a queue of Kueue, with the test in its place: it suspends Jobs as Kueue does. The Job controller is real."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_orchestrator.cluster import resources
from tests.integration.operator.conftest import NOWHERE, Json, World
from tests.objects import a_run, a_server, a_template, condition
from tests.waiting import eventually

RUNS, JOBS = resources.WORKFLOW_RUNS, resources.JOBS
LABELS = {"kueue.x-k8s.io/queue-name": "team-a", "kueue.x-k8s.io/priority-class": "urgent"}


@pytest.fixture
async def queued(world: World) -> Any:
    """A run that waits for Kueue, under an operator that gives a run one pod and no other."""
    async with world.operator(retry_attempts=1):
        await world.apply(a_server(), a_template(pod=NOWHERE))
        await world.until_condition(resources.WORKFLOW_TEMPLATES, "clock", "Ready", "True")
        body = a_run()
        body["metadata"]["labels"] = LABELS
        await world.apply(body)
        await world.until_phase("run", "Queued")
        yield world


async def job_of(world: World) -> Json:
    """The run's present Job."""
    name = (await world.get(RUNS, "run"))["status"]["jobName"]
    return await world.until(JOBS, name, "created", lambda found: found)


async def kueue_says(world: World, *, suspend: bool) -> Json:
    """Let the run's Job in, or take its pod away."""
    name = (await job_of(world))["metadata"]["name"]
    return await world.client.merge(JOBS, name, world.namespace, {"spec": {"suspend": suspend}}, manager="kueue")


async def pods_of(world: World, job: str) -> list[Json]:
    selector = f"batch.kubernetes.io/job-name={job}"
    listed = await world.client.list_all(resources.PODS, world.namespace, label_selector=selector, convert=dict)
    return list(listed.items)


async def test_a_run_in_a_queue_of_kueue_starts_when_kueue_lets_it_in(queued: World) -> None:
    waiting = await queued.get(RUNS, "run")
    job = await job_of(queued)
    name = job["metadata"]["name"]
    assert waiting["status"]["waitingReason"] == "KueueQueue"
    assert waiting["status"]["message"].startswith("waits for Kueue in the queue team-a: kubectl describe job ")
    assert condition(waiting, "Admitted")["reason"] == "KueueQueue"
    assert job["spec"]["suspend"] is True
    assert LABELS.items() <= job["metadata"]["labels"].items()
    assert not LABELS.keys() & job["spec"]["template"]["metadata"]["labels"].keys()
    await queued.until(JOBS, name, "held", lambda found: condition(found, "Suspended").get("status") == "True")
    assert await pods_of(queued, name) == []
    assert (await queued.get(RUNS, "run"))["metadata"]["resourceVersion"] == waiting["metadata"]["resourceVersion"]

    await kueue_says(queued, suspend=False)
    started = await queued.until_phase("run", "Running")
    assert "waitingReason" not in started["status"]
    assert condition(started, "Admitted")["status"] == "True"
    await eventually("a pod", lambda: pods_of(queued, name))
    await queued.succeed("run")
    ended = await queued.until_phase("run", "Succeeded")
    assert "pausedSeconds" not in ended["status"]
    assert ended["status"]["attempt"] == 1


async def test_a_run_whose_pod_kueue_takes_away_waits_again_and_goes_on_as_another_attempt(queued: World) -> None:
    first = await kueue_says(queued, suspend=False)
    await queued.until_phase("run", "Running")
    tasks = [{"name": "now", "phase": "Running"}]
    await queued.play_runner("run", tasks=tasks)
    for attempt in (2, 3):
        before = await kueue_says(queued, suspend=True)
        again = await queued.until(RUNS, "run", "again", lambda run, now=attempt: run["status"].get("attempt") == now)
        status = again["status"]
        assert (status["phase"], status["waitingReason"]) == ("Queued", "KueueQueue")
        assert status["resumptions"] == attempt - 1
        assert (status["tasks"], status["servers"][0]["name"]) == (tasks, "time")
        assert status["jobName"] != before["metadata"]["name"]
        assert (await job_of(queued))["spec"]["suspend"] is True
        await queued.until_gone(JOBS, before["metadata"]["name"])
        await kueue_says(queued, suspend=False)
        await queued.until_phase("run", "Running")
        runner = {"podName": "pod", "podUid": f"uid-{attempt}", "attempt": attempt, "startTime": "2026-01-02T03:04:05Z"}
        await queued.play_runner("run", tasks=tasks, runner=runner)

    async def without_pods() -> bool:
        return not await pods_of(queued, first["metadata"]["name"])

    await eventually("the end of the first pod", without_pods)
    assert len(await queued.jobs()) == 1
    ended = {**runner, "outcome": "Succeeded"}
    await queued.play_runner("run", tasks=[{"name": "now", "phase": "Succeeded"}], runner=ended)
    assert (await queued.until_phase("run", "Succeeded"))["status"]["resumptions"] == 2


async def test_a_run_that_kueue_stops_before_its_runner_began_waits_with_the_same_job(queued: World) -> None:
    job = await kueue_says(queued, suspend=False)
    await queued.until_phase("run", "Running")
    await eventually("a pod", lambda: pods_of(queued, job["metadata"]["name"]))
    await kueue_says(queued, suspend=True)
    waiting = await queued.until_phase("run", "Queued")
    assert (waiting["status"]["attempt"], waiting["status"]["jobName"]) == (1, job["metadata"]["name"])
    assert "resumptions" not in waiting["status"]
    await kueue_says(queued, suspend=False)
    await queued.until_phase("run", "Running")


@pytest.mark.parametrize("queue", ["team-b", None])
async def test_a_run_that_waits_in_the_wrong_queue_is_helped_by_another_label_or_by_none(
    queued: World, queue: str | None
) -> None:
    before = (await job_of(queued))["metadata"]["name"]
    labels = {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": queue}}}
    await queued.client.merge(RUNS, "run", queued.namespace, labels, manager="kubectl")
    again = await queued.until(RUNS, "run", "again", lambda run: run["status"].get("attempt") == 2)
    assert (again["status"]["phase"], again["status"].get("kueueQueue")) == ("Queued" if queue else "Running", queue)

    job = await job_of(queued)
    assert job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") == queue
    assert job["spec"]["suspend"] is bool(queue)
    await queued.until_gone(JOBS, before)
    if queue:
        await kueue_says(queued, suspend=False)
        await queued.until_phase("run", "Running")
    await eventually("a pod", lambda: pods_of(queued, job["metadata"]["name"]))


async def test_the_job_of_an_earlier_attempt_is_deleted_also_by_another_operator(world: World) -> None:
    async with world.operator():
        await world.apply(a_server(), a_template(pod=NOWHERE))
        await world.until_condition(resources.WORKFLOW_TEMPLATES, "clock", "Ready", "True")
        body = a_run()
        body["metadata"]["labels"] = LABELS
        await world.apply(body)
        await world.until_phase("run", "Queued")
        first = await kueue_says(world, suspend=False)
        await world.until_phase("run", "Running")
        await world.play_runner("run")
        await kueue_says(world, suspend=True)
        await world.until(RUNS, "run", "again", lambda run: run["status"].get("attempt") == 2)
        await job_of(world)
        await world.until_gone(JOBS, first["metadata"]["name"])
    # As if the operator had been killed between the status and the deletion.
    left = {name: first[name] for name in ("apiVersion", "kind", "spec")}
    known = ("name", "namespace", "labels", "ownerReferences")
    left["metadata"] = {name: first["metadata"][name] for name in known}
    left["spec"] = {"suspend": True, "template": first["spec"]["template"]}
    for side in (left["metadata"], left["spec"]["template"]["metadata"]):
        side["labels"] = {name: value for name, value in side["labels"].items() if "controller-uid" not in name}
    await world.client.create(JOBS, left)
    async with world.operator():
        await world.until_gone(JOBS, first["metadata"]["name"])
    assert len(await world.jobs()) == 1
