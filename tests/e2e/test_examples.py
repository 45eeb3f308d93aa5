"""The examples that need no key and no internet, applied as their README says, and looked at as a person would."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.e2e.release import moment
from tests.e2e.space import Space, eventually
from tests.objects import a_run, condition

REPOSITORY = "/workspace/field-notes"
SERVERS = [
    pytest.param("clock", "mcp-time", 2, id="clock"),
    pytest.param("time", "mcp-time", 2, id="time"),
    pytest.param("memory", "memory-server", 9, id="memory"),
    pytest.param("filesystem", "secure-filesystem-server", 14, id="filesystem"),
    pytest.param("git", "mcp-git", 12, id="git"),
    pytest.param("everything", "mcp-servers/everything", 13, id="everything"),
    pytest.param("everything-http", "mcp-servers/everything", 13, id="everything-http"),
]
RUNS = ["hello-1", "field-notes-1", "everything-1"]


@pytest.fixture(scope="module")
def examples(space: Space) -> Space:
    """All of them at once, runs and servers together: the runs wait until their servers are ready."""
    space.apply_example("hello", "field-notes", "everything")
    space.apply(a_run("everything-1", template=both_everythings()))
    for run in RUNS:
        space.wait(f"mrun/{run}", "Finished")
    return space


def both_everythings() -> dict[str, Any]:
    """A workflow that calls the same tools of the server behind a gateway and of the container that serves HTTP."""
    tasks: list[dict[str, Any]] = []
    for name, server in (("stdio", "everything"), ("http", "everything-http")):
        number = "${{ 40 + 2 }}" if name == "http" else 40
        tasks.append({"name": f"{name}-sum", "server": server, "tool": "get-sum", "arguments": {"a": number, "b": 2}})
        said = f"${{{{ tasks['{name}-sum'].result }}}} by way of {name}"
        tasks.append({"name": f"{name}-echo", "server": server, "tool": "echo", "arguments": {"message": said}})
    outputs = [{"name": name, "value": f"${{{{ tasks['{name}-echo'].result }}}}"} for name in ("stdio", "http")]
    return {"tasks": tasks, "outputs": outputs}


@pytest.fixture(scope="module")
def note(examples: Space) -> dict[str, Any]:
    """The outputs of the run field-notes-1."""
    return dict(examples.succeed("field-notes-1")["status"]["outputs"])


@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_was_applied_together_with_its_servers_succeeds(examples: Space, run: str) -> None:
    found = examples.succeed(run)
    status, tasks = found["status"], len(found["status"]["tasks"])
    assert status["progress"] == f"{tasks}/{tasks}"
    assert {task["phase"] for task in status["tasks"]} == {"Succeeded"}
    stated = {entry["type"]: entry["status"] for entry in status["conditions"]}
    assert stated == {
        "Succeeded": "True", "Finished": "True", "Admitted": "True", "Reconciling": "False", "Stalled": "False"
    }  # fmt: skip
    assert status["observedGeneration"] == found["metadata"]["generation"]


def test_the_hour_is_the_hour_of_the_run(examples: Space) -> None:
    status = examples.succeed("hello-1")["status"]
    words = status["outputs"]["greeting"].removeprefix("Hello! In Asia/Tokyo it is ").removesuffix(".")
    told = datetime.fromisoformat(words)
    assert told.utcoffset() == timedelta(hours=9)
    assert abs(moment(words) - moment(status["completionTime"])) < timedelta(minutes=10)


def test_the_commit_is_in_the_repository(examples: Space, note: dict[str, Any]) -> None:
    log = examples.execute("deploy/git", "git", "-C", REPOSITORY, "log", "--format=%H %an %s")
    author = "Field Notes"
    assert log == f"{note['commit'].split()[-1]} {author} Field notes, {note['datetime']}: two herons at the pond\n"
    assert note["commit"].split()[-1] in note["history"]


def test_the_note_is_on_the_volume(examples: Space, note: dict[str, Any]) -> None:
    written = examples.execute("deploy/filesystem", "cat", f"{REPOSITORY}/{note['datetime']}.md")
    assert written.strip() == note["note"].strip()
    assert written.startswith(f"# visit {note['datetime']}\n\nAda saw two herons at the pond.\nIt was a ")


def test_the_visit_is_in_the_knowledge_graph(examples: Space, note: dict[str, Any]) -> None:
    graph = [json.loads(line) for line in examples.execute("deploy/memory", "cat", "/tmp/memory.jsonl").splitlines()]
    assert [entry["name"] for entry in graph] == [f"visit {note['datetime']}"]


def test_a_container_that_serves_http_answers_as_the_program_behind_a_gateway_does(examples: Space) -> None:
    outputs = examples.succeed("everything-1")["status"]["outputs"]
    assert outputs["stdio"] == "Echo: The sum of 40 and 2 is 42. by way of stdio"
    assert outputs["http"] == "Echo: The sum of 42 and 2 is 44. by way of http"


@pytest.mark.parametrize(("name", "calls_itself", "tools"), SERVERS)
def test_a_server_is_ready_and_tells_what_it_is(examples: Space, name: str, calls_itself: str, tools: int) -> None:
    examples.wait(f"msrv/{name}", "Ready")
    status = examples.get("msrv", name)["status"]
    assert status["serverInfo"]["name"] == calls_itself
    assert status["serverInfo"]["version"]
    assert status["serverInfo"]["protocolVersion"]
    assert status["toolCount"] == len(status["tools"]) == tools
    assert status["address"]["url"] == f"http://{name}.{examples.namespace}.svc:8080/mcp"
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert condition({"status": status}, "Stalled")["status"] == "False"


def test_kubectl_get_reads_well(examples: Space) -> None:
    shown = [line.split() for line in examples.kubectl("get", "msrv,mtpl,mrun").splitlines()]
    group = "mcp-orchestrator.io"
    assert ["NAME", "SOURCE", "READY", "REASON", "TOOLS", "REPLICAS", "AGE"] in shown
    assert ["NAME", "READY", "REASON", "TASKS", "AGE"] in shown
    assert ["NAME", "TEMPLATE", "PHASE", "PROGRESS", "WAITING", "DURATION", "AGE"] in shown
    rows = {line[0]: line[1:] for line in shown if line and "/" in line[0]}
    assert rows[f"mcpserver.{group}/git"][:-1] == ["stdio", "True", "Ready", "12", "1"]
    assert rows[f"mcpserver.{group}/everything-http"][:-1] == ["http", "True", "Ready", "13", "1"]
    assert rows[f"workflowtemplate.{group}/field-notes"][:-1] == ["True", "Ready", "7"]
    # A run that has ended waits for nothing: that cell is empty.
    template, phase, progress, duration, _ = rows[f"workflowrun.{group}/field-notes-1"]
    assert (template, phase, progress) == ("field-notes", "Succeeded", "7/7")
    assert duration.endswith("s")


def test_kubectl_describe_tells_what_happened_once_and_in_order(examples: Space) -> None:
    def told() -> list[str] | None:
        reasons = [event["reason"] for event in examples.events("WorkflowRun", "field-notes-1")]
        return reasons if "Succeeded" in reasons else None

    reasons = eventually("the event of the end", told)
    assert reasons[-2:] == ["Admitted", "Succeeded"]
    assert len(reasons) == len(set(reasons)), reasons
    described = examples.kubectl("describe", "mrun", "field-notes-1")
    assert "7 tasks succeeded" in described.partition("Events:")[2]


@pytest.mark.parametrize(("name", "calls_itself", "tools"), SERVERS)
def test_a_server_that_starts_in_good_order_causes_no_alarm(
    examples: Space, name: str, calls_itself: str, tools: int
) -> None:
    alarms = [event for event in examples.events("MCPServer", name) if event["type"] == "Warning"]
    # A busy machine may need longer than a check waits: then that is told, and rightly.
    assert [event["message"] for event in alarms if event["reason"] != "Timeout"] == []


@pytest.mark.parametrize("run", RUNS)
def test_a_run_is_one_job_and_one_pod(examples: Space, run: str) -> None:
    jobs, pods = examples.children("jobs", run), examples.children("pods", run)
    status = examples.get("mrun", run)["status"]
    assert [job["metadata"]["name"] for job in jobs] == [status["jobName"]]
    assert [pod["metadata"]["name"] for pod in pods] == [status["runner"]["podName"]]
    assert [owner["name"] for owner in jobs[0]["metadata"]["ownerReferences"]] == [run]


def test_every_pod_is_restricted(examples: Space) -> None:
    """The namespace admits no other; this is about what the standard leaves open."""
    pods = examples.list("pods", "-l", "app.kubernetes.io/managed-by=mcp-orchestrator")
    assert len(pods) == len(SERVERS) + len(RUNS)
    for pod in pods:
        assert pod["spec"]["securityContext"]["runAsUser"] == 10001
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
    refused = [event for event in examples.list("events") if "violates PodSecurity" in event.get("message", "")]
    assert refused == []


@pytest.mark.parametrize(("workload", "container"), [("deploy/git", "gateway"), ("deploy/everything-http", "server")])
def test_a_server_runs_as_nobody_in_particular_and_can_write_only_to_tmp(
    examples: Space, workload: str, container: str
) -> None:
    assert examples.execute(workload, "id", "-u", container=container) == "10001\n"
    said = examples.execute(workload, "touch", "/opt/mark", container=container, check=False)
    assert "Read-only file system" in said
    assert examples.execute(workload, "touch", "/tmp/mark", container=container) == ""
