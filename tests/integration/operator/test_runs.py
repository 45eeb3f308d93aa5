"""WorkflowRuns from their first sight to their end, with the test in the place of the runner."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from mcp_orchestrator.api.base import RUNNER_MANAGER
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.controllers.operator import Operator
from tests.integration.operator.conftest import NOWHERE, World
from tests.objects import a_run, a_server, a_task, a_template, condition
from tests.waiting import eventually

RUNS = resources.WORKFLOW_RUNS


async def ready(world: World, **template: Any) -> None:
    """A server that answers and a template that uses it."""
    await world.apply(a_server(), a_template(**({"pod": NOWHERE} | template)))
    await world.until_condition(resources.WORKFLOW_TEMPLATES, "clock", "Ready", "True")


async def test_a_run_goes_from_its_slot_to_its_end_as_its_runner_reports(running: World) -> None:
    await ready(running)
    await running.apply(a_run())
    run = await running.until_phase("run", "Running")
    status = run["status"]
    assert status["template"]["name"] == "clock"
    assert status["template"]["spec"]["tasks"][0]["name"] == "now"
    assert [server.pop("digest")[:7] for server in status["servers"]] == ["sha256:"]
    assert status["servers"] == [
        {
            "name": "time",
            "url": f"http://time.{running.namespace}.svc:8080/mcp",
            "toolsDigest": "sha256:2",
            "tools": [{"name": "get_current_time", "repeatable": False}],
            "timeoutSeconds": 30,
        }
    ]
    assert status["progress"] == "0/1"
    job = await running.until(resources.JOBS, status["jobName"], "created", lambda found: found)
    assert job["metadata"]["ownerReferences"][0]["uid"] == run["metadata"]["uid"]

    await running.succeed("run")
    ended = await running.until_condition(RUNS, "run", "Finished", "True")
    assert ended["status"]["phase"] == "Succeeded"
    assert ended["status"]["progress"] == "1/1"
    assert ended["status"]["outputs"] == {"when": "now"}
    assert ended["status"]["tasks"][0]["result"] == {"datetime": "2026-01-02T03:04:05Z"}
    assert [condition(ended, type_)["status"] for type_ in ("Succeeded", "Reconciling", "Stalled")] == [
        "True",
        "False",
        "False",
    ]
    assert ended["status"]["template"] == status["template"]


async def test_a_failed_task_becomes_a_diagnosis(running: World) -> None:
    await ready(running)
    await running.apply(a_run())
    await running.until_phase("run", "Running")
    error = {"class": "Auth", "message": "HTTP 401"}
    runner = {"podName": "p", "podUid": "u", "outcome": "Failed", "reason": "TaskFailed", "message": "task now failed"}
    await running.play_runner("run", runner=runner, tasks=[{"name": "now", "phase": "Failed", "error": error}])
    ended = await running.until_phase("run", "Failed")
    assert ended["status"]["diagnosis"]["class"] == "Auth"
    assert ended["status"]["diagnosis"]["task"] == "now"
    assert "MCPServer time sends no key" in ended["status"]["diagnosis"]["recommendations"][0]
    assert condition(ended, "Stalled")["status"] == "True"
    assert condition(ended, "Succeeded")["reason"] == "TaskFailed"


async def test_a_run_waits_for_its_template_and_its_server_and_then_starts(running: World) -> None:
    await running.apply(a_run())
    await running.until_condition(RUNS, "run", "Admitted", "False", "TemplateNotFound")
    await running.apply(a_template(pod=NOWHERE))
    await running.until_condition(RUNS, "run", "Admitted", "False", "ServerNotFound")
    running.probes.reports["time"] = "it does not answer"
    await running.apply(a_server())
    waiting = await running.until_condition(RUNS, "run", "Admitted", "False", "ServerNotReady")
    assert waiting["status"]["waitingReason"] == "ServerNotReady"
    del running.probes.reports["time"]
    started = await running.until_phase("run", "Running")
    assert "waitingReason" not in started["status"]


async def test_no_more_runs_start_than_the_limit_allows_and_the_oldest_goes_first(world: World) -> None:
    async with world.operator(max_concurrent_workflows=1):
        await ready(world)
        await world.apply(a_run("first"))
        await world.until_phase("first", "Running")
        for name in ("second", "third"):
            await world.apply(a_run(name))
            await world.until_condition(RUNS, name, "Admitted", "False", "ClusterLimit")
        await world.succeed("first")
        await world.until_phase("second", "Running")
        assert (await world.get(RUNS, "third"))["status"]["phase"] == "Queued"
        await world.succeed("second")
        await world.until_phase("third", "Running")

        async def all_made() -> bool:
            return sorted(job["metadata"]["name"][:5] for job in await world.jobs()) == ["first", "secon", "third"]

        await eventually("each run has its Job", all_made)


async def test_a_pod_that_ends_without_a_report_fails_the_run(running: World) -> None:
    await ready(running, pod={})
    await running.apply(a_run())
    await running.end_pods_of("run", exit_code=0)
    ended = await running.until_phase("run", "Failed")
    assert condition(ended, "Succeeded")["reason"] == "RunnerFailed"
    assert "ended without a report" in ended["status"]["message"]


async def test_a_job_that_is_deleted_under_its_runner_fails_the_run(running: World) -> None:
    await ready(running)
    await running.apply(a_run())
    run = await running.until_phase("run", "Running")
    await running.until(resources.JOBS, run["status"]["jobName"], "created", lambda job: job)
    await running.play_runner("run")
    await running.client.delete(resources.JOBS, run["status"]["jobName"], running.namespace)
    ended = await running.until_phase("run", "Failed")
    assert condition(ended, "Succeeded")["reason"] == "JobDeleted"


async def test_a_runner_that_began_is_known_though_the_end_of_its_job_is_seen_first(world: World) -> None:
    """Two watches tell of runs and of Jobs, and neither waits for the other."""
    async with world.operator():
        await ready(world)
    await world.apply(a_run())
    hard_of_hearing = Operator(world.settings, world.client, world.probes)
    await hard_of_hearing.sync()
    tasks = hard_of_hearing.start()  # without kopf, and so without news of runs
    run = await world.until_phase("run", "Running")
    await world.until(resources.JOBS, run["status"]["jobName"], "created", lambda found: found)
    await world.play_runner("run")
    await world.client.delete(resources.JOBS, run["status"]["jobName"], world.namespace)
    ended = await world.until_phase("run", "Failed")
    assert condition(ended, "Succeeded")["reason"] == "JobDeleted"
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_job_that_is_deleted_before_its_runner_began_is_made_again(running: World) -> None:
    await ready(running)
    await running.apply(a_run())
    run = await running.until_phase("run", "Running")
    job = await running.until(resources.JOBS, run["status"]["jobName"], "created", lambda found: found)
    uid = job["metadata"]["uid"]
    await running.client.delete(resources.JOBS, job["metadata"]["name"], running.namespace)
    await running.until(
        resources.JOBS, job["metadata"]["name"], "made again", lambda found: found["metadata"]["uid"] != uid
    )


async def test_a_run_says_that_a_quota_refuses_what_its_pod_needs(running: World) -> None:
    await running.forbid("serviceaccounts")
    await ready(running)
    await running.apply(a_run())

    told = await running.until(RUNS, "run", "told", lambda run: "exceeded quota" in run["status"].get("message", ""))
    assert told["status"]["message"].startswith("the run's Job can't be created: serviceaccounts")


BAD_RUNS = [
    pytest.param({}, {"parameters": {"zoen": 1}}, "InvalidParameter", "zone", id="an-unknown-parameter"),
    pytest.param(
        {"parameters": [{"name": "zone"}]}, {}, "InvalidParameter", "spec.parameters.zone", id="a-missing-parameter"
    ),
    pytest.param(
        {"parameters": [{"name": "zone", "schema": {"type": "integer"}}]},
        {"parameters": {"zone": "x"}},
        "InvalidParameter",
        "spec.parameters.zone",
        id="an-ill-typed-parameter",
    ),
    pytest.param(
        {"tasks": [a_task(tool="get_curent_time")]}, {}, "TemplateInvalid", "get_current_time", id="an-unknown-tool"
    ),
    pytest.param(
        {"tasks": [a_task(arguments={"timezone": 5})]},
        {},
        "TemplateInvalid",
        "tasks[0].arguments.timezone",
        id="an-argument-of-the-wrong-type",
    ),
    pytest.param(
        {"tasks": [a_task("a", dependsOn=["b"]), a_task("b", dependsOn=["a"])]},
        {},
        "TemplateInvalid",
        "a → b",
        id="a-cycle",
    ),
    pytest.param(
        {"tasks": [a_task(arguments={"timezone": "${{ params. }}"})]},
        {},
        "TemplateInvalid",
        "tasks[0].arguments.timezone",
        id="a-broken-expression",
    ),
    pytest.param(
        {"tasks": [a_task(arguments={"timezone": "${{ tasks.nwo.result }}"})]},
        {},
        "TemplateInvalid",
        "nwo",
        id="an-unknown-task",
    ),
]


@pytest.mark.parametrize(("template", "run", "reason", "words"), BAD_RUNS)
async def test_a_run_that_can_never_start_ends_with_the_path_to_the_mistake(
    running: World, template: dict[str, Any], run: dict[str, Any], reason: str, words: str
) -> None:
    parameters = {"parameters": [{"name": "zone", "default": "UTC"}]}
    await running.apply(a_server(), a_template(**(parameters | template)))
    await running.until_condition(resources.MCP_SERVERS, "time", "Ready", "True")
    await running.apply(a_run(templateRef={"name": "clock"}, **run))
    ended = await running.until_condition(RUNS, "run", "Finished", "True")
    assert ended["status"]["phase"] == "Failed"
    assert condition(ended, "Succeeded")["reason"] == reason
    assert words in ended["status"]["message"]
    assert ended["status"]["diagnosis"]["recommendations"]
    assert await running.jobs() == []


async def test_an_inline_workflow_runs_without_a_template(running: World) -> None:
    await running.apply(a_server())
    await running.until_condition(resources.MCP_SERVERS, "time", "Ready", "True")
    await running.apply(a_run(template={"tasks": [a_task()], "pod": NOWHERE}))
    run = await running.until_phase("run", "Running")
    assert "name" not in run["status"]["template"]


async def test_an_operator_of_many_namespaces_serves_the_last_of_them(world: World, connection: Connection) -> None:
    """Each has its watches, which never end: they must not take the connections of other requests."""
    others = tuple(f"{world.namespace}-{number}" for number in range(30))
    # The others are not there, so that nobody can be given rights in them.
    everywhere = replace(world, connection=connection)
    async with everywhere.operator(watch_namespaces=(*others, world.namespace)):
        await ready(world)
        await world.apply(a_run())
        await world.until_phase("run", "Running")


async def test_what_administrators_gave_the_runners_account_stays_and_reaches_the_pods(running: World) -> None:
    """A private registry needs pull secrets, and some clouds an annotation: the account is where both belong."""
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/results"}
    metadata = {"name": RUNNER_MANAGER, "namespace": running.namespace, "annotations": role}
    account = {"metadata": metadata, "imagePullSecrets": [{"name": "registry"}]}
    await running.client.create(resources.SERVICE_ACCOUNTS, account)
    await ready(running)
    await running.apply(a_run())

    async def pods() -> list[Any]:
        selector = "app.kubernetes.io/component=run"
        return (
            await running.client.list_all(resources.PODS, running.namespace, label_selector=selector, convert=dict)
        ).items

    (pod,) = await eventually("the run's pod", pods)
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    found = await running.get(resources.SERVICE_ACCOUNTS, RUNNER_MANAGER)
    assert found["metadata"]["annotations"] == role
    assert found["automountServiceAccountToken"] is True
