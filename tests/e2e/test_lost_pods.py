"""A run's pod is lost in the middle: the run goes on from its record, and does nothing twice that must not be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.servers import by_stdio, hold, let_go, the_programs
from tests.e2e.space import Space
from tests.objects import a_run

FIRST: dict[str, Any] = {"name": "first", "server": "program", "tool": "add", "arguments": {"a": 40, "b": 2}}


@pytest.fixture(scope="module")
def program(space: Space) -> Space:
    space.apply(the_programs(), by_stdio())
    space.wait("msrv/program", "Ready")
    return space


def lose_the_pod(space: Space, run: str) -> None:
    """Delete the run's pod as soon as its second task is under way, without any time to say goodbye."""
    space.wait_for(f"mrun/{run}", "{.status.tasks[1].phase}", "Running")
    pod = space.get("mrun", run)["status"]["runner"]["podName"]
    space.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def a_workflow(run: str, *, idempotent: bool = True) -> dict[str, Any]:
    work = hold("work", run, dependsOn=["first"], idempotent=idempotent)
    return {"tasks": [FIRST, work], "outputs": [{"name": "sum", "value": "${{ tasks.first.result.result }}"}]}


def go_on(space: Space, run: str) -> Any:
    """The status of the run at its end, to which another pod may bring it once it is at work."""
    space.wait_for(f"mrun/{run}", "{.status.tasks[1].attempts}", "2")
    let_go(space, run)
    return space.succeed(run)["status"]


def test_a_new_pod_goes_on_where_the_lost_one_was(program: Space) -> None:
    program.apply(a_run("survivor", template=a_workflow("survivor")))
    lose_the_pod(program, "survivor")
    status = go_on(program, "survivor")
    assert status["attempt"] == status["runner"]["attempt"] == 2
    assert status["outputs"] == {"sum": 42}
    tasks = {task["name"]: task for task in status["tasks"]}
    assert tasks["first"]["attempts"] == 1
    assert tasks["work"]["attempts"] == 2
    assert len(program.children("jobs", "survivor")) == 2
    assert "Interrupted" in [event["reason"] for event in program.events("WorkflowRun", "survivor")]


def test_a_pod_that_a_drain_evicts_is_followed_by_another(program: Space) -> None:
    program.apply(a_run("drained", template=a_workflow("drained")))
    program.wait_for("mrun/drained", "{.status.tasks[1].phase}", "Running")
    pod = program.get("mrun", "drained")["status"]["runner"]["podName"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": program.namespace},
    }
    path = f"/api/v1/namespaces/{program.namespace}/pods/{pod}/eviction"
    program.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    status = go_on(program, "drained")
    tasks = {task["name"]: task for task in status["tasks"]}
    assert status["attempt"] == 2
    assert (tasks["first"]["attempts"], tasks["work"]["attempts"]) == (1, 2)


def test_a_call_that_must_not_be_repeated_is_not(program: Space) -> None:
    program.apply(a_run("careful", template=a_workflow("careful", idempotent=False)))
    lose_the_pod(program, "careful")
    status = program.finish("careful")["status"]
    assert status["phase"] == "Failed"
    tasks = {task["name"]: task for task in status["tasks"]}
    assert (tasks["first"]["phase"], tasks["work"]["phase"]) == ("Succeeded", "Indeterminate")
    assert tasks["work"]["attempts"] == 1
    assert status["diagnosis"]["task"] == "work"
