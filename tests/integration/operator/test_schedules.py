"""Runs that start by themselves, at the times that their template says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mcp_orchestrator import settings
from mcp_orchestrator.cluster import resources
from tests.integration.operator.conftest import NOWHERE, World, is_seen
from tests.objects import a_server, a_template
from tests.waiting import eventually

TEMPLATES, RUNS = resources.WORKFLOW_TEMPLATES, resources.WORKFLOW_RUNS
HOURLY = {"name": "hourly", "cron": "0 * * * *"}


async def a_scheduled_template(world: World, *schedules: dict[str, Any], **spec: Any) -> Any:
    """A template whose schedules were seen; an hour lies before their next time, as far as the operator knows."""
    world.clock.ahead = datetime(2030, 1, 1, 9, 30, tzinfo=UTC) - settings.clock()
    await world.apply(a_server(), a_template(**({"pod": NOWHERE} | spec), schedules=list(schedules)))
    await world.until_condition(TEMPLATES, "clock", "Ready", "True")
    return await until_next(world, "2030-01-01T10:00:00Z")


async def until_next(world: World, time: str) -> Any:
    """The template, once its first schedule is due next at that time."""
    return await world.until(
        TEMPLATES,
        "clock",
        f"due at {time}",
        lambda found: found["status"].get("schedules", [{}])[0].get("nextScheduleTime") == time,
    )


async def runs(world: World) -> list[dict[str, Any]]:
    """All runs, in the order of their names."""
    found = await world.client.list_all(RUNS, world.namespace, convert=dict)
    return sorted(found.items, key=lambda run: str(run["metadata"]["name"]))


async def test_a_run_starts_at_each_time_and_belongs_to_its_template(running: World) -> None:
    parameters = [{"name": "zone", "schema": {"type": "string"}}]
    template = await a_scheduled_template(running, HOURLY | {"parameters": {"zone": "CET"}}, parameters=parameters)
    assert await runs(running) == []
    await running.pass_time("clock", minutes=31)
    template = await until_next(running, "2030-01-01T11:00:00Z")
    (run,) = await runs(running)
    assert run["metadata"]["name"].startswith("clock-hourly-203001011000-")
    assert run["metadata"]["ownerReferences"][0]["uid"] == template["metadata"]["uid"]
    assert run["spec"] == {"templateRef": {"name": "clock"}, "parameters": {"zone": "CET"}}
    assert template["status"]["schedules"] == [
        {"name": "hourly", "lastScheduleTime": "2030-01-01T10:00:00Z", "nextScheduleTime": "2030-01-01T11:00:00Z"}
    ]
    started = await running.until_phase(run["metadata"]["name"], "Running")
    assert "schedules" not in started["status"]["template"]["spec"]

    await running.pass_time("clock", hours=1)
    await until_next(running, "2030-01-01T12:00:00Z")
    assert len(await runs(running)) == 2
    await running.client.delete(TEMPLATES, "clock", running.namespace)
    await running.until_gone(RUNS, run["metadata"]["name"])


async def test_a_time_that_was_missed_is_made_up_for_once_and_told(world: World) -> None:
    async with world.operator():
        await a_scheduled_template(world, HOURLY)
    await world.pass_time(hours=5)
    async with world.operator():
        await until_next(world, "2030-01-01T15:00:00Z")
        (run,) = await runs(world)
        assert "-203001011400-" in run["metadata"]["name"]

        async def told() -> bool:
            found = (await world.client.list_all(resources.EVENTS, world.namespace, convert=dict)).items
            notes = [event["note"] for event in found if event["reason"] == "MissedSchedule"]
            return any("was due 4 times while nobody could start its run" in note for note in notes)

        await eventually("the event", told)


async def test_a_run_that_is_there_already_is_not_made_again(world: World) -> None:
    async with world.operator():
        await a_scheduled_template(world, HOURLY)
    before = await world.get(TEMPLATES, "clock")
    await world.pass_time(minutes=31)
    async with world.operator():
        await until_next(world, "2030-01-01T11:00:00Z")
    first = await runs(world)
    status = {"schedules": before["status"]["schedules"]}
    await world.client.apply_status(
        TEMPLATES,
        {"metadata": {"name": "clock", "namespace": world.namespace}, "status": status},
        manager="lost-leader",
    )
    async with world.operator():
        await until_next(world, "2030-01-01T11:00:00Z")
    assert [run["metadata"]["uid"] for run in await runs(world)] == [run["metadata"]["uid"] for run in first]


async def test_a_suspended_schedule_starts_nothing_then_and_nothing_afterwards(running: World) -> None:
    await a_scheduled_template(running, HOURLY)
    await running.apply(a_template(pod=NOWHERE, schedules=[HOURLY | {"suspend": True}]))
    await running.until(
        TEMPLATES, "clock", "suspended", lambda found: found["status"]["schedules"] == [{"name": "hourly"}]
    )
    await running.pass_time("clock", hours=3)
    await running.apply(a_template(pod=NOWHERE, schedules=[HOURLY]))
    await until_next(running, "2030-01-01T13:00:00Z")
    assert await runs(running) == []


async def test_a_wrong_schedule_is_a_mistake_of_the_template(running: World) -> None:
    never = {"name": "never", "cron": "0 0 30 2 *"}
    await running.apply(a_server(), a_template(schedules=[never]))
    found = await running.until_condition(TEMPLATES, "clock", "Stalled", "True", "InvalidSchedule")
    assert found["status"]["errors"][0]["path"] == "spec.schedules[0].cron"
    await running.apply(a_template(schedules=[HOURLY]))
    await running.until_condition(TEMPLATES, "clock", "Ready", "True")


async def test_a_run_that_may_not_be_made_is_told_and_holds_nothing_up(running: World) -> None:
    await a_scheduled_template(running, HOURLY)
    await running.forbid("workflowruns.mcp-orchestrator.io")
    await running.pass_time("clock", minutes=31)
    template = await until_next(running, "2030-01-01T11:00:00Z")
    assert template["status"]["schedules"] == [{"name": "hourly", "nextScheduleTime": "2030-01-01T11:00:00Z"}]
    assert await runs(running) == []


async def test_of_scheduled_runs_ten_are_kept(running: World) -> None:
    await a_scheduled_template(running, HOURLY | {"parameters": {"no": "such"}}, parameters=[{"name": "no"}])
    await running.apply(
        a_template(pod=NOWHERE, parameters=[{"name": "no"}], schedules=[HOURLY | {"parameters": {"no": 1}}])
    )
    await running.until(TEMPLATES, "clock", "seen", is_seen)
    for hour in range(12):
        await running.pass_time("clock", hours=1)
        await until_next(running, f"2030-01-01T{11 + hour}:00:00Z")
        (*_, newest) = await runs(running)
        await running.until_phase(newest["metadata"]["name"], "Running")
        await running.succeed(newest["metadata"]["name"])

    async def ten() -> bool:
        return len(await runs(running)) == 10

    await eventually("ten are left", ten)
