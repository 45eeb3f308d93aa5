"""Ended runs, deleted runs, and runs that start by the clock, with the rights that the chart gives."""

from __future__ import annotations

import pytest

from tests import cluster
from tests.e2e.servers import by_stdio, hold, the_programs
from tests.e2e.space import Space, eventually
from tests.objects import DEMO_IMAGE, a_run, a_server, a_template, condition

SERVER = "everything"
ECHO = {"name": "say", "server": SERVER, "tool": "echo", "arguments": {"message": "${{ params.words }}"}}
WORDS = [{"name": "words", "default": "hello"}]
LARGE = "x" * 40_000
"""More than stands on a run: it becomes a ConfigMap."""
GIT = {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}
OF_THE_NAMESPACE = {
    "serviceaccount/mcp-orchestrator-runner",
    "rolebinding.rbac.authorization.k8s.io/mcp-orchestrator-runner",
}
"""What the first run leaves on purpose."""


@pytest.fixture(scope="module")
def echo(space: Space) -> Space:
    everything = a_server(SERVER, stdio={"image": DEMO_IMAGE, "command": "mcp-server-everything"})
    space.apply(the_programs(), everything, by_stdio())
    for name in (SERVER, "program"):
        space.wait(f"msrv/{name}", "Ready")
    return space


def everything(space: Space) -> set[str]:
    """All objects of the namespace, of every kind that the API server has, but for Events."""
    listed = cluster.kubectl(space.kubeconfig, "api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kinds = ",".join(name for name in listed if not name.startswith("events"))
    return set(space.kubectl("get", kinds, "-o", "name").split())


def test_a_run_that_is_deleted_takes_its_pod_along_and_leaves_nothing(echo: Space) -> None:
    before = everything(echo)
    echo.apply(
        a_run("working", template={"tasks": [hold("work")]}),
        a_run("ended", template={"tasks": [ECHO], "parameters": WORDS}, parameters={"words": LARGE}),
        a_run("failed", templateRef={"name": "clock"}, parameters={"no": 1}),
        a_template(tasks=[ECHO], parameters=WORDS),
        a_run("waiting", templateRef={"name": "missing"}),
    )
    echo.succeed("ended")
    echo.finish("failed")
    echo.wait_for("mrun/working", "{.status.tasks[0].phase}", "Running")
    assert any(name.startswith("configmap/ended-") for name in everything(echo) - before)
    echo.kubectl("delete", "mrun", "--all", "--wait=false")
    echo.kubectl("delete", "mtpl", "--all")
    eventually("all is gone", lambda: everything(echo) - before <= OF_THE_NAMESPACE)


def test_ended_runs_go_and_those_of_git_only_lose_their_children(echo: Space) -> None:
    echo.apply(a_template("tidy", tasks=[ECHO], parameters=WORDS, history={"succeeded": 0}))
    owned = a_run("owned", templateRef={"name": "tidy"}, parameters={"words": LARGE})
    owned["metadata"] |= GIT
    echo.apply(owned, a_run("free", templateRef={"name": "tidy"}))
    echo.wait("mrun/owned", "ChildrenPruned")
    eventually(
        "the other run is gone", lambda: not echo.kubectl("get", "mrun", "free", "-o", "name", "--ignore-not-found")
    )
    run = echo.get("mrun", "owned")
    assert (run["status"]["phase"], condition(run, "ChildrenPruned")["reason"]) == ("Succeeded", "HistoryLimit")
    pack = run["status"]["tasks"][0]["resultRef"].partition("/")[0]
    left = f"job/{run['status']['jobName']}", f"configmap/{pack}"
    eventually("its children are gone", lambda: not echo.kubectl("get", *left, "-o", "name", "--ignore-not-found"))
    eventually("its pod is gone", lambda: not echo.children("pods", "owned"))


def test_a_schedule_starts_a_run(echo: Space) -> None:
    echo.apply(a_template("often", tasks=[ECHO], parameters=WORDS, schedules=[{"name": "often", "cron": "* * * * *"}]))
    (run,) = eventually("a run", lambda: echo.list("mrun", "-l", "mcp-orchestrator.io/schedule=often"))
    assert run["metadata"]["ownerReferences"][0]["kind"] == "WorkflowTemplate"
    echo.succeed(run["metadata"]["name"])
    last = echo.get("mtpl", "often")["status"]["schedules"][0]["lastScheduleTime"]
    assert last >= run["metadata"]["annotations"]["mcp-orchestrator.io/scheduled-time"]
    echo.kubectl("delete", "mtpl", "often")
