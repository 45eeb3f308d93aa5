"""The admission queue against a real API server: order, limits that change under it, and what waiting costs."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from mcp_orchestrator import telemetry
from mcp_orchestrator.cluster import resources
from tests.e2e import programs
from tests.integration.operator.conftest import NOWHERE, Json, World, is_seen
from tests.integration.operator.test_runs import RUNS, ready
from tests.objects import a_run, a_server, a_template
from tests.waiting import eventually


def run_of(name: str, template: str = "clock", **spec: Any) -> Json:
    """A run of that template."""
    return a_run(name, templateRef={"name": template}, **spec)


async def phases(world: World) -> dict[str, str]:
    """The phase of each run."""
    found = await world.client.list_all(RUNS, world.namespace, convert=dict)
    return {run["metadata"]["name"]: run.get("status", {}).get("phase", "") for run in found.items}


async def test_the_higher_priority_goes_first_and_can_be_given_while_a_run_waits(world: World) -> None:
    async with world.operator(max_concurrent_workflows=1):
        await ready(world)
        await world.apply(run_of("first"))
        await world.until_phase("first", "Running")
        for name, priority in (("plain", "medium"), ("low", "low"), ("raised", "low")):
            await world.apply(run_of(name, priority=priority))
            await world.until_phase(name, "Queued")
        await world.client.merge(RUNS, "raised", world.namespace, {"spec": {"priority": "high"}}, manager="kubectl")
        await world.until(RUNS, "raised", "seen", is_seen)

        order = []
        for before in ("first", "raised", "plain"):
            await world.succeed(before)
            await world.until_phase(before, "Succeeded")
            (now,) = [name for name, phase in (await settled(world)).items() if phase == "Running"]
            order.append(now)
        assert order == ["raised", "plain", "low"]


async def test_a_higher_priority_goes_first_also_after_a_restart(world: World) -> None:
    async with world.operator(max_concurrent_workflows=0):
        await ready(world)
        for number, priority in enumerate(("low", "low", "medium", "high")):
            await world.apply(run_of(f"run-{number}", priority=priority))
            await world.until_phase(f"run-{number}", "Queued")
    async with world.operator(max_concurrent_workflows=1):
        assert (await settled(world))["run-3"] == "Running"


async def test_it_is_measured_how_many_runs_hold_a_slot_and_how_many_wait_for_one(world: World) -> None:
    async with world.operator(max_concurrent_workflows=1):
        await ready(world)
        for name, phase in (("first", "Running"), ("second", "Queued"), ("third", "Queued")):
            await world.apply(run_of(name))
            await world.until_phase(name, phase)
        lines = telemetry.scrape(telemetry.OPERATOR)[0].decode().splitlines()
    assert {"mcp_orchestrator_active_workflows 1.0", "mcp_orchestrator_waiting_workflows 2.0"} <= {*lines}


async def settled(world: World) -> dict[str, str]:
    """The phases, once one run is under way."""
    found: dict[str, str] = {}

    async def check() -> bool:
        nonlocal found
        found = await phases(world)
        return "Running" in found.values()

    await eventually("a run is under way", check)
    return found


async def test_limits_of_a_template_and_of_a_server_hold_and_act_as_soon_as_they_change(running: World) -> None:
    server = a_server()
    server["spec"]["maxConcurrentRuns"] = 2
    await running.apply(server, a_template(pod=NOWHERE, concurrency={"maxRuns": 1}), a_template("other", pod=NOWHERE))
    await running.until_condition(resources.WORKFLOW_TEMPLATES, "other", "Ready", "True")
    await running.apply(run_of("a1"))
    await running.until_phase("a1", "Running")
    await running.apply(run_of("a2"))
    waiting = await running.until_condition(RUNS, "a2", "Admitted", "False", "TemplateLimit")
    assert waiting["status"]["message"] == "waits for a slot: WorkflowTemplate clock has its limit of 1 at once"
    await running.apply(run_of("b1", "other"))
    await running.until_phase("b1", "Running")
    await running.apply(run_of("b2", "other"))
    await running.until_condition(RUNS, "b2", "Admitted", "False", "ServerLimit")

    await running.apply(a_server())
    await running.until_phase("b2", "Running")
    assert (await running.get(RUNS, "a2"))["status"]["phase"] == "Queued"
    await running.apply(a_template(pod=NOWHERE))
    await running.until_phase("a2", "Running")
    # A limit that is lowered stops nobody.
    await running.apply(a_template(pod=NOWHERE, concurrency={"maxRuns": 0}))
    await running.until(resources.WORKFLOW_TEMPLATES, "clock", "seen", is_seen)
    await running.apply(run_of("a3"))
    held = await running.until_condition(RUNS, "a3", "Admitted", "False", "TemplateLimit")
    assert held["status"]["message"] == "waits: WorkflowTemplate clock has its limit of runs set to 0"
    assert (await running.get(RUNS, "a2"))["status"]["phase"] == "Running"


async def test_the_limits_file_is_read_again_when_it_changes(world: World, tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(json.dumps({"maxConcurrentRuns": 5, "namespaces": {world.namespace: 0}}))
    async with world.operator(limits_file=str(path)):
        await ready(world)
        await world.apply(run_of("run"))
        await world.until_condition(RUNS, "run", "Admitted", "False", "NamespaceLimit")

        new = tmp_path / "new"
        new.write_text(json.dumps({"maxConcurrentRuns": 5}))
        new.replace(path)
        await world.until_phase("run", "Running")


async def test_a_slot_that_moves_costs_no_write_to_the_runs_that_wait(world: World) -> None:
    async with world.operator(max_concurrent_workflows=1):
        await ready(world)
        await world.apply(run_of("r000", priority="high"))
        await world.until_phase("r000", "Running")
        names = [f"r{place:03}" for place in range(1, 60)]
        await asyncio.gather(*(world.apply(run_of(name)) for name in names))
        for name in names:
            await world.until_phase(name, "Queued")
        before = await versions(world)
        await world.succeed("r000")
        moved = {"r000"}
        for _ in range(3):
            under_way = (await settled_after(world, moved)).pop()
            moved.add(under_way)
            await world.succeed(under_way)
            await world.until_phase(under_way, "Succeeded")
        moved.add((await settled_after(world, moved)).pop())
        after = await versions(world)

    assert {name for name in before if before[name] != after[name]} == moved


async def settled_after(world: World, ended: set[str]) -> set[str]:
    """The runs under way that are not among those that have ended, once there is one."""
    found: set[str] = set()

    async def check() -> bool:
        nonlocal found
        found = {name for name, phase in (await phases(world)).items() if phase == "Running"} - ended
        return bool(found)

    await eventually("the next run is under way", check)
    return found


async def versions(world: World) -> dict[str, str]:
    """The version of each run."""
    found = await world.client.list_all(RUNS, world.namespace, convert=dict)
    return {run["metadata"]["name"]: run["metadata"]["resourceVersion"] for run in found.items}


async def test_the_queue_is_shown_with_order_reason_and_expected_start(world: World, kubeconfig: Path) -> None:
    async with world.operator(max_concurrent_workflows=1):
        await ready(world, estimatedDurationSeconds=600)
        await world.apply(a_template("none", pod=NOWHERE), run_of("first"))
        await world.until_phase("first", "Running")
        await world.apply(run_of("second"), run_of("third", priority="high"), run_of("lost", "missing"))
        for name in ("second", "third"):
            await world.until_phase(name, "Queued")
        await world.until_phase("lost", "Pending")

        await world.client.create(resources.CONFIG_MAPS, limits_of(world, "maxConcurrentRuns: 1"))
        shown = await queue(world, kubeconfig)
        told = json.loads(await queue(world, kubeconfig, "-o", "json"))

    lines = shown.splitlines()
    assert lines[0].split() == ["#", "RUN", "TEMPLATE", "PRIORITY", "WAITING", "EXPECTED", "START", "REASON"]
    # The queue is that of the whole cluster: runs of other namespaces may stand between these.
    assert [line.split()[1:4] for line in lines[1:4]] == [
        ["third", "clock", "high"],
        ["second", "clock", "medium"],
        ["lost", "missing", "medium"],
    ]
    assert "ClusterLimit: " in lines[1]
    assert lines[3].startswith("-")
    assert lines[4].endswith(" of 1 · 3 waiting")
    waiting = told["waiting"]
    assert [(place["run"], place["reason"]) for place in waiting] == [
        ("third", "ClusterLimit"),
        ("second", "ClusterLimit"),
        ("lost", "TemplateNotFound"),
    ]
    assert waiting[0]["position"] < waiting[1]["position"]
    assert waiting[2]["position"] is None


def limits_of(world: World, text: str) -> Json:
    """The ConfigMap that the chart makes of the operator's limits."""
    metadata = {"name": "limits", "namespace": world.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"limits.yaml": text}}


async def queue(world: World, kubeconfig: Path, *words: str) -> str:
    """What the program prints of the queue of the namespace."""
    process = await asyncio.create_subprocess_exec(
        *programs.command("queue", "-n", world.namespace, "--limits", f"{world.namespace}/limits", *words),
        env={"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()
