"""The operator dies between any two of its writes; another takes over, and the end is the same."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.operator import Operator
from mcp_orchestrator.controllers.store import Key
from mcp_orchestrator.planning.children import manifests
from mcp_orchestrator.planning.runs import endings
from tests.integration.operator.conftest import NOWHERE, Json, World
from tests.objects import a_run, a_server, a_template, condition
from tests.waiting import PATIENCE_SECONDS, eventually

WRITES_BEFORE_THE_CRASH = range(7)
WRITES_WITH_A_KEY = range(8)
"""One more: the receipt of the key."""
WRITES_OF_THE_END = range(3)
"""Outcome, status and event of a run with a key."""
WRITES_OF_AN_ATTEMPT = range(6)
"""Account, binding, status, event and Job: after the last there is nothing left to crash at."""
ATTEMPTS = 3
RUNNER = {"podName": "pod", "podUid": "uid", "startTime": "2026-01-02T03:04:05Z"}


class Crash:
    """A gate that lets so many writes through and then none: to the cluster, a process that died there."""

    def __init__(self, writes: int) -> None:
        self._left = writes
        self.reached = asyncio.Event()

    def check(self) -> None:
        """Raises errors.NotLeader from the fatal write on."""
        if self._left == 0:
            self.reached.set()
            raise errors.NotLeader("crashed")
        self._left -= 1


async def live_until_the_crash(world: World, writes: int, patience_seconds: float = PATIENCE_SECONDS) -> bool:
    """An operator that dies after so many writes, or when patience is at its end; whether it came so far."""
    crash = Crash(writes)
    async with Client(world.connection, gate=crash.check) as client:
        operator = Operator(world.settings, client, world.probes)
        await operator.sync()
        doomed = operator.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                await crash.reached.wait()
        for task in doomed:
            task.cancel()
        await asyncio.wait(doomed)
    return crash.reached.is_set()


async def make_ready(world: World, pod: Json) -> None:
    """A server that answers, and a template that uses it."""
    async with world.operator():
        await world.apply(a_server(), a_template(pod=pod))
        await world.until_condition(resources.WORKFLOW_TEMPLATES, "clock", "Ready", "True")


@pytest.mark.parametrize("writes", WRITES_BEFORE_THE_CRASH)
async def test_a_crash_after_any_write_leads_to_the_same_end(world: World, writes: int) -> None:
    await make_ready(world, NOWHERE)
    await world.apply(a_run())
    assert await live_until_the_crash(world, writes)
    async with world.operator():
        run = await world.until_phase("run", "Running")
        await world.until(resources.JOBS, run["status"]["jobName"], "created", lambda found: found)
        await world.succeed("run")
        ended = await world.until_phase("run", "Succeeded")
        assert [job["metadata"]["name"] for job in await world.jobs()] == [ended["status"]["jobName"]]
        assert ended["status"]["attempt"] == 1


def a_run_with_a_key(name: str) -> Json:
    return a_run(name, templateRef={"name": "clock"}, idempotencyKey="once")


@pytest.mark.parametrize("writes", WRITES_WITH_A_KEY)
async def test_a_crash_after_any_write_of_a_run_with_a_key_executes_it_once(world: World, writes: int) -> None:
    await make_ready(world, NOWHERE)
    await world.apply(a_run_with_a_key("run"))
    assert await live_until_the_crash(world, writes)
    await world.apply(a_run_with_a_key("other"))
    async with world.operator():
        (job,) = await eventually("a Job", world.jobs)
        await world.succeed(job["metadata"]["ownerReferences"][0]["name"])
        for name in ("run", "other"):
            await world.until_phase(name, "Succeeded")
        assert len(await world.jobs()) == 1


@pytest.mark.parametrize("writes", WRITES_OF_THE_END)
async def test_a_crash_after_any_write_of_the_end_loses_no_outcome(world: World, writes: int) -> None:
    await make_ready(world, NOWHERE)
    async with world.operator():
        await world.apply(a_run_with_a_key("run"))
        await world.until_phase("run", "Running")
    await world.succeed("run")
    assert await live_until_the_crash(world, writes)
    async with world.operator():
        await world.until_phase("run", "Succeeded")
        await world.client.delete(resources.WORKFLOW_RUNS, "run", world.namespace)
        await world.until_gone(resources.WORKFLOW_RUNS, "run")
        await world.apply(a_run_with_a_key("run"))
        again = await world.until_phase("run", "Succeeded")
        assert condition(again, "Succeeded")["reason"] == "AlreadyExecuted"


async def lose_the_pod(world: World, attempt: int) -> None:
    """The runner of that attempt reports its start, and then its pod fails, and with it the Job."""
    tasks = [{"name": "now", "phase": "Running", "attempts": attempt}]
    await world.play_runner("run", runner=RUNNER | {"attempt": attempt}, tasks=tasks, progress="0/1")
    await world.end_pods_of("run", exit_code=137)
    job = (await world.get(resources.WORKFLOW_RUNS, "run"))["status"]["jobName"]
    await world.until(resources.JOBS, job, "failed", endings.has_ended)


async def until_attempt(world: World, attempt: int) -> None:
    """The run's status tells of the attempt, and its Job is there."""
    run = await world.until(
        resources.WORKFLOW_RUNS, "run", f"attempt {attempt}", lambda found: found["status"].get("attempt") == attempt
    )
    await world.until(resources.JOBS, run["status"]["jobName"], "created", lambda found: found)


@pytest.mark.parametrize("writes", WRITES_OF_AN_ATTEMPT)
async def test_a_crash_after_any_write_of_another_attempt_skips_none_and_makes_one_job_for_each(
    world: World, writes: int
) -> None:
    await make_ready(world, {})
    async with world.operator():
        await world.apply(a_run())
        await until_attempt(world, 1)
    # A run under way needs them no more, and without them all writes are the run's.
    await world.client.delete(resources.WORKFLOW_TEMPLATES, "clock", world.namespace)
    await world.client.delete(resources.MCP_SERVERS, "time", world.namespace)
    for attempt in range(2, ATTEMPTS + 1):
        await lose_the_pod(world, attempt - 1)
        left = writes < WRITES_OF_AN_ATTEMPT[-1]
        assert await live_until_the_crash(world, writes, PATIENCE_SECONDS if left else 2) == left
        async with world.operator():
            await until_attempt(world, attempt)
            if attempt == ATTEMPTS:
                await lose_the_pod(world, ATTEMPTS)
                ended = await world.until_phase("run", "Failed")
    assert condition(ended, "Succeeded")["reason"] == "RunnerFailed"
    assert ended["status"]["attempt"] == ATTEMPTS
    uid = ended["metadata"]["uid"]
    assert sorted(job["metadata"]["name"] for job in await world.jobs()) == sorted(
        manifests.job_name("run", uid, attempt) for attempt in range(1, ATTEMPTS + 1)
    )


@pytest.mark.parametrize("order", [{"cancel": "Immediate"}, {"suspend": True}])
async def test_who_has_not_heard_of_a_job_yet_asks_for_it_before_the_run_is_stopped(world: World, order: Json) -> None:
    await make_ready(world, NOWHERE)
    async with world.operator():
        await world.apply(a_run("run", templateRef={"name": "clock"}))
        name = (await world.until_phase("run", "Running"))["status"]["jobName"]
        await world.until(resources.JOBS, name, "created", lambda job: job)
    await world.client.merge(resources.WORKFLOW_RUNS, "run", world.namespace, {"spec": order}, manager="kubectl")
    async with Client(world.connection) as client:
        successor = Operator(world.settings, client, world.probes)
        await successor.sweeper.sweep()
        records.Waker(successor.store, successor.queue.add)
        successor.queue.add(Key(records.RUN, world.namespace, "run"))
        tasks = successor.start()
        await world.until_phase("run", "Suspended" if "suspend" in order else "Cancelled")
        assert await world.get(resources.JOBS, name) == {}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
