"""A run's pod is lost in the middle: the run goes on from its record, and does nothing twice that must not be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.space import Space
from tests.objects import DEMO_IMAGE, a_run, a_server

STDIO = {"image": DEMO_IMAGE, "command": "mcp-server-everything"}
WORK: dict[str, Any] = {
    "name": "work",
    "server": "everything",
    "tool": "trigger-long-running-operation",
    "arguments": {"duration": 6, "steps": 2},
}
FIRST: dict[str, Any] = {"name": "first", "server": "everything", "tool": "echo", "arguments": {"message": "once"}}


@pytest.fixture(scope="module")
def everything(space: Space) -> Space:
    space.apply(a_server("everything", stdio=STDIO))
    space.wait("msrv/everything", "Ready")
    return space


def lose_the_pod(space: Space, run: str) -> None:
    """Delete the run's pod as soon as its second task is under way, without any time to say goodbye."""
    space.wait_for(f"mrun/{run}", "{.status.tasks[1].phase}", "Running")
    pod = space.get("mrun", run)["status"]["runner"]["podName"]
    space.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def a_workflow(**work: Any) -> dict[str, Any]:
    outputs = [{"name": "said", "value": "${{ tasks.first.result }}"}]
    return {"tasks": [FIRST, {**WORK, **work, "dependsOn": ["first"]}], "outputs": outputs}


def test_a_new_pod_goes_on_where_the_lost_one_was(everything: Space) -> None:
    everything.apply(a_run("survivor", template=a_workflow()))
    lose_the_pod(everything, "survivor")
    status = everything.succeed("survivor")["status"]
    assert status["attempt"] == status["runner"]["attempt"] == 2
    assert status["outputs"] == {"said": "Echo: once"}
    tasks = {task["name"]: task for task in status["tasks"]}
    assert tasks["first"]["attempts"] == 1
    assert tasks["work"]["attempts"] == 2
    assert len(everything.children("jobs", "survivor")) == 2
    assert "Interrupted" in [event["reason"] for event in everything.events("WorkflowRun", "survivor")]


def test_a_pod_that_a_drain_evicts_is_followed_by_another(everything: Space) -> None:
    everything.apply(a_run("drained", template=a_workflow(arguments={"duration": 20, "steps": 2})))
    everything.wait_for("mrun/drained", "{.status.tasks[1].phase}", "Running")
    pod = everything.get("mrun", "drained")["status"]["runner"]["podName"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": everything.namespace},
    }
    path = f"/api/v1/namespaces/{everything.namespace}/pods/{pod}/eviction"
    everything.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    status = everything.succeed("drained")["status"]
    tasks = {task["name"]: task for task in status["tasks"]}
    assert status["attempt"] == 2
    assert (tasks["first"]["attempts"], tasks["work"]["attempts"]) == (1, 2)


def test_a_call_that_must_not_be_repeated_is_not(everything: Space) -> None:
    everything.apply(a_run("careful", template=a_workflow(idempotent=False)))
    lose_the_pod(everything, "careful")
    status = everything.finish("careful")["status"]
    assert status["phase"] == "Failed"
    tasks = {task["name"]: task for task in status["tasks"]}
    assert (tasks["first"]["phase"], tasks["work"]["phase"]) == ("Succeeded", "Indeterminate")
    assert tasks["work"]["attempts"] == 1
    assert status["diagnosis"]["task"] == "work"
