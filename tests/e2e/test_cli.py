"""Runs from the command line, on a real cluster: the exit code tells how they ended, and each can be looked at."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mcp_orchestrator import MCPOrchestrator
from mcp_orchestrator.client.exits import Failed
from tests.e2e import programs
from tests.e2e.servers import by_stdio, hold, the_programs
from tests.e2e.space import FINAL_PHASES, PATIENCE_SECONDS, Space, eventually
from tests.objects import DEMO_IMAGE, a_run, a_server, a_task, a_template

NUMBERS = {
    "parameters": [{"name": "zone"}, {"name": "count", "schema": {"type": "integer"}, "default": 1}],
    "tasks": [a_task(arguments={"timezone": "${{ params.zone }}"})],
    "outputs": [
        {"name": "when", "value": "${{ tasks.now.result.timezone }}"},
        {"name": "next", "value": "${{ params.count + 1 }}"},
    ],
}
HELD = hold("work", "never")


@pytest.fixture(scope="module")
def servers(space: Space) -> Space:
    everything = a_server("everything", stdio={"image": DEMO_IMAGE, "command": "mcp-server-everything"})
    space.apply(the_programs(), a_server(), everything, by_stdio())
    space.apply(a_template("zones", **NUMBERS), a_template("slow", tasks=[HELD]))
    for name in ("time", "everything", "program"):
        space.wait(f"msrv/{name}", "Ready")
    return space


def test_a_run_is_followed_to_its_end_and_tells_its_outputs(servers: Space) -> None:
    done = programs.run(servers, "run", "zones", "-p", "zone=Asia/Tokyo", "-p", "count=41", "--name", "one", "--follow")

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert any(line.startswith("now: Succeeded  ") for line in lines)
    assert any(line.startswith("one succeeded in ") for line in lines)
    assert lines[-2:] == ["next: 42", "when: Asia/Tokyo"]
    assert servers.get("mrun", "one")["spec"]["parameters"] == {"zone": "Asia/Tokyo", "count": 41}


def test_a_run_that_fails_fails_the_command_and_says_where_to_look(servers: Space) -> None:
    done = programs.run(servers, "run", "zones", "-p", "zone=Nowhere", "--name", "bad", "--wait")

    assert done.returncode == 1
    assert "bad failed in " in done.stdout
    assert f"mcp-orchestrator diagnose bad -n {servers.namespace}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["run", "no-such-template"], 4, 'there is no template "no-such-template"', id="no template"),
        pytest.param(["run"], 2, "name the template", id="no name"),
        pytest.param(["run", "zones", "-p", "zone"], 2, "NAME=VALUE", id="a parameter without a value"),
        pytest.param(["run", "zones", "-p", "count=x"], 2, "-p count: it must be JSON of type integer", id="no number"),
        pytest.param(["run", "zones", "-p", "zone=@nowhere"], 2, "nowhere: No such file", id="no file"),
        pytest.param(["run", "zones", "-p", "zone=UTC", "--name", "twice"], 2, "already", id="a name that is taken"),
        pytest.param(["run", "zones", "-f", "x.yaml"], 2, "kubectl apply -f", id="files without --local"),
        pytest.param(["run", "zones", "--timeout", "-1"], 2, "whole number above 0", id="no time"),
        pytest.param(["watch", "nobody"], 4, 'there is no run "nobody"', id="nothing to watch"),
        pytest.param(["get", "nobody"], 4, 'there is no run "nobody"', id="nothing to see"),
        pytest.param(["results", "nobody"], 4, 'there is no run "nobody"', id="no results"),
        pytest.param(["logs", "nobody"], 4, 'there is no run "nobody"', id="no log"),
        pytest.param(["list", "--context", "x"], 5, "x", id="no cluster"),
    ],
)
def test_what_can_not_be_done_is_said_in_words_with_a_code_of_its_own(
    servers: Space, arguments: list[str], code: int, words: str
) -> None:
    servers.apply(a_run("twice", templateRef={"name": "zones"}, parameters={"zone": "UTC"}))
    done = programs.run(servers, *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_does_not_fit_ends_with_its_mistake(servers: Space) -> None:
    done = programs.run(servers, "run", "zones", "-p", "zoen=UTC", "--wait")

    assert done.returncode == 1
    assert 'did you mean "zone"?' in done.stdout


def test_patience_has_an_end_and_the_run_goes_on(servers: Space) -> None:
    done = programs.run(servers, "run", "slow", "--name", "long", "--wait", "--patience", "2")

    assert done.returncode == 124
    assert "long has not ended within 2 s, and goes on" in done.stderr
    assert servers.get("mrun", "long")["status"].get("phase") not in FINAL_PHASES


def test_a_run_that_is_deleted_meanwhile_is_told(servers: Space) -> None:
    words = programs.command("run", "slow", "-n", servers.namespace, "--name", "doomed", "--follow")
    with subprocess.Popen(
        words, env=programs.environ(servers), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        eventually("the run", lambda: "doomed" in servers.kubectl("get", "mrun", "-o", "name"))
        servers.wait_for("mrun/doomed", "{.status.phase}", "Running")
        servers.kubectl("delete", "mrun", "doomed")
        _, told = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 4
    assert "doomed was deleted before it ended" in told


def test_an_interrupted_command_leaves_the_run_alone(servers: Space) -> None:
    words = programs.command("run", "slow", "-n", servers.namespace, "--name", "left", "--follow")
    with subprocess.Popen(
        words, env=programs.environ(servers), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        eventually("the run", lambda: "left" in servers.kubectl("get", "mrun", "-o", "name"))
        servers.wait_for("mrun/left", "{.status.tasks[0].phase}", "Running")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130
    assert "left goes on; to follow it: mcp-orchestrator watch left" in told
    assert "Traceback" not in told
    assert servers.get("mrun", "left")["status"]["phase"] == "Running"


def test_runs_can_be_listed_seen_and_their_results_read(servers: Space) -> None:
    said = {"name": "work", "server": "everything", "tool": "echo", "arguments": {"message": "y" * 40_000}}
    servers.apply(a_run("large", template={"tasks": [said]}))
    servers.succeed("large")
    programs.run(servers, "run", "zones", "-p", "zone=UTC", "--name", "seen", "--wait")

    table = programs.run(servers, "list").stdout.splitlines()
    assert table[0].split() == ["RUN", "TEMPLATE", "PHASE", "PROGRESS", "WAITING", "DURATION", "MESSAGE"]
    assert any(line.startswith("seen ") and "Succeeded" in line for line in table)
    only = json.loads(programs.run(servers, "list", "--template", "zones", "-o", "json").stdout)["items"]
    assert {run["spec"]["templateRef"]["name"] for run in only} == {"zones"}
    assert "✓ now" in programs.run(servers, "get", "seen").stdout
    assert yaml.safe_load(programs.run(servers, "results", "seen", "-o", "yaml").stdout) == {"when": "UTC", "next": 2}
    whole = programs.run(servers, "results", "large", "--task", "work").stdout
    assert whole == f"Echo: {'y' * 40_000}\n"
    log = programs.run(servers, "logs", "seen").stdout.splitlines()
    assert [line[10:] for line in log] == ["task running  now", "task succeeded  now", "run succeeded"]
    lines = programs.run(servers, "logs", "seen", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["task running", "task succeeded", "run succeeded"]


def test_a_failed_runs_outputs_are_no_outputs(servers: Space) -> None:
    servers.apply(a_run("none", template={"tasks": [a_task(arguments={"timezone": "Nowhere"})]}))
    servers.finish("none")
    done = programs.run(servers, "results", "none")

    assert (done.returncode, done.stdout) == (1, "")
    assert "none has no outputs: it is Failed" in done.stderr


def test_the_python_client_runs_a_workflow_and_writes_what_pipelines_read(
    servers: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(servers.kubeconfig))
    orchestrator = MCPOrchestrator(namespace=servers.namespace)
    good = asyncio.run(orchestrator.execute_workflow("zones", {"zone": "UTC"}, results_directory=str(tmp_path)))
    bad = asyncio.run(orchestrator.execute_workflow("zones", {"zone": "Nowhere"}))

    assert good.succeeded
    assert (good.outputs, good.tasks_completed, good.tasks_total) == ({"when": "UTC", "next": 2}, 1, 1)
    written = json.loads((tmp_path / "workflow_results.json").read_text())
    assert (written["status"], written["tasks_completed"], written["run"]) == ("completed", 1, good.run)
    assert written["execution_time"] == good.execution_time > 0
    assert (bad.status, bad.tasks_completed) == ("failed", 0)
    assert "Nowhere" in bad.error
    with pytest.raises(Failed, match='there is no template "gone"'):
        asyncio.run(orchestrator.execute_workflow("gone"))


def test_a_plan_on_the_cluster_says_what_would_run(servers: Space) -> None:
    done = programs.run(servers, "plan", "zones", "-p", "zone=UTC")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "1 task would run, at most 3 at once",
        "  now  time.get_current_time  only reads",
        "",
        "Parameters",
        "  zone: UTC",
        "  count: 1",
    ]


def test_a_run_on_this_machine_comes_to_the_same_as_on_the_cluster(servers: Space, tmp_path: Path) -> None:
    here = a_server(stdio={"command": "mcp-server-time", "args": ["--local-timezone", "UTC"]})
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([here, a_template("zones", **NUMBERS)]))
    arguments = ["-p", "zone=Asia/Tokyo", "-p", "count=7", "-o", "json"]
    words = programs.command("run", "zones", "--local", "-f", str(tmp_path), *arguments)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    local = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "PATH": path})
    there = programs.run(servers, "run", "zones", "--wait", *arguments)

    mine, theirs = json.loads(local.stdout), json.loads(there.stdout)["status"]
    assert mine["outputs"] == theirs["outputs"] == {"when": "Asia/Tokyo", "next": 8}
    assert [(task["name"], task["phase"]) for task in mine["tasks"]] == [
        (task["name"], task["phase"]) for task in theirs["tasks"]
    ]
