"""Orders to runs on a real cluster: the runner obeys, and what kstatus makes of each phase."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e import programs
from tests.e2e.servers import by_stdio, hold, let_go, the_programs
from tests.e2e.space import Space, eventually
from tests.objects import a_run, a_server, a_task, a_template
from tests.oracles import kstatus

PAIR = {
    "parameters": [{"name": "first"}, {"name": "second"}],
    "tasks": [hold("first", "${{ params.first }}"), hold("second", "${{ params.second }}", dependsOn=["first"])],
}
TIDY = {
    "tasks": [hold("work", "never")],
    "finally": [a_task("tidy", arguments={"timezone": "UTC"}, when="run.reason == 'Cancelled'")],
}


@pytest.fixture(scope="module")
def servers(space: Space) -> Space:
    space.apply(the_programs(), a_server(), by_stdio())
    space.apply(a_template("pair", **PAIR), a_template("tidy", **TIDY))
    space.apply(a_template("one", **TIDY, concurrency={"maxRuns": 1, "policy": "Replace"}))
    for name in ("time", "program"):
        space.wait(f"msrv/{name}", "Ready")
    return space


def run_of(template: str, name: str, **spec: Any) -> dict[str, Any]:
    return a_run(name, templateRef={"name": template}, **spec)


def begun(space: Space, name: str, task: str) -> None:
    """Wait until a task of the run is under way."""

    def check() -> bool:
        tasks = space.get("mrun", name).get("status", {}).get("tasks", [])
        return any(one["name"] == task and one["phase"] == "Running" for one in tasks)

    eventually(f"task {task} of {name} begins", check)


def phases(space: Space, name: str) -> dict[str, str]:
    return {task["name"]: task["phase"] for task in space.get("mrun", name)["status"]["tasks"]}


def test_a_run_is_held_in_its_middle_and_goes_on_without_doing_anything_twice(servers: Space) -> None:
    servers.apply(run_of("pair", "held", parameters={"first": "one", "second": "two"}))
    begun(servers, "held", "first")

    assert programs.run(servers, "suspend", "held").returncode == 0
    job = servers.get("mrun", "held")["status"]["jobName"]
    eventually("the runner hears of it", lambda: "the run is suspended" in servers.kubectl("logs", f"job/{job}"))
    let_go(servers, "one")
    servers.wait_for("mrun/held", "{.status.phase}", "Suspended")
    held = servers.get("mrun", "held")
    assert phases(servers, "held") == {"first": "Succeeded", "second": "Pending"}
    assert kstatus.verdict(held) == kstatus.Verdict.IN_PROGRESS
    assert "admittedAt" not in held["status"]
    assert "Suspended" in programs.run(servers, "get", "held").stdout

    let_go(servers, "two")
    assert programs.run(servers, "resume", "held").returncode == 0
    ended = servers.succeed("held")
    assert kstatus.verdict(ended) == kstatus.Verdict.CURRENT
    assert (ended["status"]["attempt"], ended["status"]["resumptions"]) == (2, 1)
    assert {task["name"]: task["attempts"] for task in ended["status"]["tasks"]} == {"first": 1, "second": 1}


def test_a_graceful_cancel_runs_finally_and_the_command_tells_it(servers: Space) -> None:
    servers.apply(run_of("tidy", "stopped"))
    begun(servers, "stopped", "work")

    done = programs.run(servers, "cancel", "stopped", "--wait")

    assert done.returncode == 0, done.stderr
    ended = servers.get("mrun", "stopped")
    assert ended["status"]["phase"] == "Cancelled"
    assert phases(servers, "stopped")["tidy"] == "Succeeded"
    assert kstatus.verdict(ended) == kstatus.Verdict.FAILED
    assert programs.run(servers, "watch", "stopped").returncode == 3
    eventually("the event", lambda: servers.events("WorkflowRun", "stopped")[-1]["reason"] == "Cancelled")


def test_an_immediate_cancel_ends_the_pod_and_runs_nothing_more(servers: Space) -> None:
    servers.apply(run_of("tidy", "killed"))
    begun(servers, "killed", "work")

    servers.kubectl("patch", "mrun", "killed", "--type", "merge", "-p", json.dumps({"spec": {"cancel": "Immediate"}}))

    ended = servers.finish("killed")
    assert ended["status"]["phase"] == "Cancelled"
    assert phases(servers, "killed")["tidy"] != "Succeeded"
    assert servers.children("pods", "killed") == []


def test_a_newer_run_replaces_an_older_one_which_tidies_up_first(servers: Space) -> None:
    servers.apply(run_of("one", "older"))
    begun(servers, "older", "work")
    servers.apply(run_of("one", "newer"))

    ended = servers.finish("older")
    assert ended["status"]["phase"] == "Cancelled"
    assert "WorkflowRun newer takes its place" in ended["status"]["message"]
    begun(servers, "newer", "work")
    pods = [pod["metadata"]["name"] for pod in servers.children("pods", "newer")]
    assert pods
    servers.kubectl("delete", "mrun", "newer")
    eventually(
        "the newer run's pod is gone", lambda: not {pod["metadata"]["name"] for pod in servers.list("pods")} & set(pods)
    )


def test_retry_keeps_what_a_cancelled_run_had_finished(servers: Space) -> None:
    servers.apply(run_of("pair", "halfway", parameters={"first": "half", "second": "never"}))
    let_go(servers, "half")
    begun(servers, "halfway", "second")
    programs.run(servers, "cancel", "halfway", "--wait")

    done = programs.run(servers, "retry", "halfway", "-p", "second=half", "--name", "rest", "--wait")

    assert done.returncode == 0, done.stdout + done.stderr
    first = next(task for task in servers.get("mrun", "rest")["status"]["tasks"] if task["name"] == "first")
    assert first["reusedFrom"] == "halfway"
