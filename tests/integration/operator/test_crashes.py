"""The operator dies between any two of its writes; another takes over, and the end is the same."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers.operator import Operator
from tests.integration.operator.conftest import NOWHERE, World
from tests.objects import a_run, a_server, a_template

WRITES_BEFORE_THE_CRASH = range(7)


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


@pytest.mark.parametrize("writes", WRITES_BEFORE_THE_CRASH)
async def test_a_crash_after_any_write_leads_to_the_same_end(world: World, writes: int) -> None:
    async with world.operator():
        await world.apply(a_server(), a_template(pod=NOWHERE))
        await world.until_condition(resources.WORKFLOW_TEMPLATES, "clock", "Ready", "True")
    await world.apply(a_run())

    crash = Crash(writes)
    async with Client(world.connection, gate=crash.check) as client:
        first = Operator(world.settings, client, world.probes)
        await first.sync()
        doomed = first.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await crash.reached.wait()
        for task in doomed:
            task.cancel()
        await asyncio.wait(doomed)

    async with world.operator():
        run = await world.until_phase("run", "Running")
        await world.until(resources.JOBS, run["status"]["jobName"], "created", lambda found: found)
        await world.succeed("run")
        ended = await world.until_phase("run", "Succeeded")
        assert [job["metadata"]["name"] for job in await world.jobs()] == [ended["status"]["jobName"]]
        assert ended["status"]["attempt"] == 1
